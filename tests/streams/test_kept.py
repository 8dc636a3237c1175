"""What a shard keeps in memory is bounded, and comes back only with a commit."""

from schemas.state import CustomerState, Remembered
from streams.kept import Kept


def remembered(at):
    return Remembered(CustomerState(seen_at=at))


def test_who_was_not_met_for_longest_goes():
    kept = Kept(most=2)
    kept.keep({"a": remembered(1.0), "b": remembered(2.0)})
    kept.keep({"a": remembered(3.0)})
    kept.keep({"c": remembered(4.0)})
    assert len(kept) == 2
    assert {name: one.state.seen_at for name, one in kept.take("abc").items()} == {"a": 3.0, "c": 4.0}


def test_what_is_taken_is_gone_until_it_is_kept_again():
    kept = Kept()
    kept.keep({"a": remembered(1.0), "b": remembered(2.0)})
    kept.take(["a", "nobody"])
    assert ("a" in kept, "b" in kept) == (False, True)


def test_who_is_forgotten_is_not_kept():
    kept = Kept()
    kept.keep({"a": remembered(1.0)})
    kept.keep({"a": None})
    assert kept.take(["a"]) == {}
