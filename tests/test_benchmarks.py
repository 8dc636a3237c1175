"""Benchmarks are started by hand, so that what they import may have gone unnoticed."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.parametrize("name", ["bench", "soak", "parts", "market", "first_try", "floor"])
def test_it_finds_what_it_imports(name):
    program = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import {name}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
