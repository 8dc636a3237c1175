"""What is served of a customer, beside its plainest form."""

import math
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from models.customers.attributes import customer_pairs, pack_pairs
from models.shard.write import rfc3339

CENTURY = 3_200_000_000_000_000
"""In microseconds."""


@given(st.integers(-CENTURY // 2, 2 * CENTURY), st.booleans())
def test_a_time_is_written_as_datetime_writes_it(micros, whole):
    seconds = float(micros // 1_000_000) if whole else micros / 1e6
    text = datetime.fromtimestamp(math.floor(seconds), UTC).isoformat()
    assert rfc3339(seconds) == text.replace("+00:00", "Z")


def test_equal_values_of_different_kinds_stay_different_attributes():
    found = [customer_pairs({"a": value}) for value in (True, 1.0, "1.0", -0.0, 0.0)]
    assert len({pack_pairs(pairs) for pairs in found}) == 5
