"""What of a commit leaves for Kafka is cut into records of a bounded size."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commit import Commit, Place
from streams import outgoing
from streams.outgoing import read_examples, records

ROWS = st.lists(st.fixed_dictionaries({"n": st.integers(), "text": st.text(max_size=60)}), min_size=1, max_size=40)


def cut(rows, bound):
    commit = Commit(Place())
    commit.examples["sentiment"] = rows
    with patch.object(outgoing, "MAX_BYTES", bound):
        return [record.value for record in records(commit)]


@given(ROWS, st.integers(1, 500))
def test_rows_come_back_in_their_order_whatever_the_bound(rows, bound):
    found = [read_examples(body) for body in cut(rows, bound)]
    assert {task for task, _ in found} == {"sentiment"}
    assert [row for _, some in found for row in some] == rows


@given(ROWS, st.integers(1, 500))
def test_a_record_is_larger_than_the_bound_only_where_a_row_is(rows, bound):
    around = len(cut([{}], 10_000)[0]) - len("{}")
    for body in cut(rows, bound):
        assert len(body) - around <= bound or len(read_examples(body)[1]) == 1


@pytest.mark.parametrize("count", [1, 10, 100])
def test_what_fits_is_one_record(count):
    assert len(cut([{"text": "line\nbreak"}] * count, 10_000)) == 1
