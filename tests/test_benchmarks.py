"""Benchmarks are started by hand, so that what they import may have gone unnoticed."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"


MARKET = """
import asyncio
from pathlib import Path
from events import simulated
from market import arrivals, compare, least
from models.serving_set import ServingSet
from stage import make_settings
from streams.worker import make_shop

shop = make_shop(make_settings("none:1", "redis://none", Path(), 2))
on, off = asyncio.run(compare(arrivals(simulated(20, 200, 1), 2), shop, ServingSet(), 30))
assert len(least([on], "heart")) == len(least([off], "heart")) > 2
"""


def run(program):
    there = f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", there + program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["bench", "soak", "parts", "market", "first_try", "floor"])
def test_it_finds_what_it_imports(name):
    run(f"import {name}")


def test_a_shop_without_market_and_brands_is_compared_with_one_that_has_them():
    run(MARKET)
