"""Every invariant that docs/design.md lists names a test that there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_invariant_names_tests_that_exist():
    known = {
        (file.name, name)
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    page, file, named = (ROOT / "docs" / "design.md").read_text(), "", []
    for match in re.finditer(r"`(test_\w+\.py)?::(test_\w+)`", page):
        file = match[1] or file
        named.append((file, match[2]))
    assert len(named) >= 25
    assert [one for one in named if one not in known] == []
