"""How often something large may be written."""

import pytest

from streams.pace import AT_ONCE, BYTES_PER_SECOND, SOONEST, Pace


def test_a_burst_goes_on_at_once():
    pace = Pace()
    assert [pace.after(AT_ONCE // 4, now) for now in (0.0, 0.5, 1.0, 1.5)] == [SOONEST] * 4


@pytest.mark.parametrize("size", [10_000, 700_000, 5_000_000, 100_000_000])
def test_in_the_long_run_the_rate_holds(size):
    pace, now, written = Pace(), 1_000.0, 0
    for _ in range(200):
        written += size
        now += pace.after(size, now)
    assert written <= AT_ONCE + BYTES_PER_SECOND * (now - 1_000.0) + 1.0
    assert now - 1_000.0 <= max(200 * SOONEST, written / BYTES_PER_SECOND)


def test_after_a_rest_there_is_as_much_as_at_first_and_not_more():
    pace = Pace()
    waited = pace.after(3 * AT_ONCE, 0.0)
    assert waited == 2 * AT_ONCE / BYTES_PER_SECOND
    assert pace.after(AT_ONCE, 1e6) == SOONEST
    assert pace.after(AT_ONCE, 1e6) == AT_ONCE / BYTES_PER_SECOND
