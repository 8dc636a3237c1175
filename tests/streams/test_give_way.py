"""A process that only learns gives way, also where the system weighs sessions and not processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli.run import BEHIND

TELL = """
import os
from pathlib import Path
from streams.cli.run import give_way
give_way()
group = Path("/proc/self/autogroup")
print(os.nice(0), group.read_text() if group.exists() else "")
"""


def weight(words):
    """Of a session, the last word; none where it was never told apart from the system's own (the file is empty)."""
    return words[-1] if words else ""


def told(*, own_session):
    before = subprocess.run(
        [sys.executable, "-c", "import os; print(os.nice(0))"], capture_output=True, text=True, check=True, timeout=60
    )
    done = subprocess.run(
        [sys.executable, "-c", TELL], capture_output=True, text=True, check=True, timeout=60,
        start_new_session=own_session,
    )  # fmt: skip
    nice, *group = done.stdout.split()
    return int(nice) - int(before.stdout), weight(group)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this system weighs no sessions")
def test_one_that_leads_its_session_gives_way_to_other_sessions():
    assert told(own_session=True) == (BEHIND, str(BEHIND))


def test_one_in_anothers_session_leaves_that_as_it_is():
    nice, group = told(own_session=False)
    own = Path("/proc/self/autogroup")
    assert nice == BEHIND
    assert group == weight(own.read_text().split() if own.exists() else [])
