"""How many records a shard takes at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.stride import FIRST, LEAST, Stride

LONGEST = 0.5


def after(cost, chunks=20, most=2_000, waiting=10**6):
    """Take chunks whose records cost so many seconds each."""
    stride = Stride(most, LONGEST)
    for _ in range(chunks):
        size = min(stride.limit, waiting)
        stride.took(size, size * cost)
    return stride.limit


def test_a_backlog_makes_chunks_grow_to_what_a_commit_may_hold():
    assert Stride(2_000, LONGEST).limit == FIRST
    assert after(1e-4) == 2_000


@pytest.mark.parametrize("cost", [1e-3, 2e-3, 5e-3])
def test_they_stay_as_large_as_can_be_handled_in_time(cost):
    assert after(cost) * cost == pytest.approx(LONGEST, rel=0.02)


def test_without_a_backlog_they_stay_as_they_are():
    assert after(1e-4, waiting=3) == FIRST


def test_a_chunk_that_takes_long_makes_the_next_smaller_even_where_it_is_not_full():
    stride = Stride(2_000, LONGEST)
    stride.took(100, 2.0)
    assert stride.limit == LEAST
    stride = Stride(2_000, LONGEST)
    stride.took(400, 1.0)
    assert stride.limit == 200


def test_without_a_bound_in_time_the_machine_says_nothing():
    stride = Stride(2_000)
    for seconds in (60.0, 1e-6, 5.0):
        stride.took(stride.limit, seconds)
    assert stride.limit == 2_000


def test_a_pause_of_the_machine_is_made_good_again():
    stride = Stride(2_000, LONGEST)
    stride.took(500, 60.0)
    for _ in range(6):
        stride.took(stride.limit, stride.limit * 1e-4)
    assert stride.limit == 2_000


@given(st.integers(1, 5_000), st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.0, 100.0)), max_size=30))
def test_it_is_never_more_than_a_commit_may_hold_and_never_nothing(most, chunks):
    stride = Stride(most, LONGEST)
    for size, seconds in chunks:
        stride.took(size, seconds)
        assert min(LEAST, most) <= stride.limit <= most
