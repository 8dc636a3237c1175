from types import SimpleNamespace

import pytest

from streams.cli.dead_letters import moment
from streams.errors import Misconfigured
from streams.kafka.dlq import Choice, fold, headers_again, parse

OURS = [
    ("streamscore-reason", b"invalid"),
    ("streamscore-detail", b"no event_id"),
    ("streamscore-topic", b"transactions"),
    ("streamscore-partition", b"3"),
    ("streamscore-offset", b"17"),
]
RELAY = [("shard", b"3"), ("head", b"99"), ("part", b"0"), ("follows", b"98")]


def record(headers=(), ours=OURS, key=b"c1", value=b"\xff{", at=10.0):
    return SimpleNamespace(headers=[*headers, *ours, *RELAY], key=key, value=value, timestamp=at * 1_000)


def test_a_letter_is_the_record_as_it_came_and_why():
    letter = parse(record([("source", b"shop"), ("shard", b"theirs")]))
    assert letter.place == "transactions-3@17"
    assert (letter.reason, letter.detail, letter.at) == ("invalid", "no event_id", 10.0)
    assert (letter.key, letter.value) == (b"c1", b"\xff{")
    assert letter.headers == (("source", b"shop"), ("shard", b"theirs"))
    assert (letter.attempts, letter.first) == (0, "transactions-3@17")


@pytest.mark.parametrize("ours", [[], [("streamscore-reason", b"x")], [*OURS[:3], ("streamscore-partition", b"?")]])
def test_what_is_no_letter_of_ours_is_left_alone(ours):
    assert parse(record(ours=ours)) is None


def test_a_letter_sent_again_counts_and_remembers_where_it_first_lay():
    once = parse(record([("source", b"shop")]))
    moved = [*OURS[:4], ("streamscore-offset", b"40")]
    twice = parse(record(headers_again(once), moved))
    assert (twice.place, twice.first, twice.attempts) == ("transactions-3@40", "transactions-3@17", 1)
    assert headers_again(twice) == [
        ("source", b"shop"),
        ("streamscore-attempts", b"2"),
        ("streamscore-first", b"transactions-3@17"),
    ]


def test_a_record_that_was_copied_from_a_letter_is_its_own_letter():
    old = [*OURS[:4], ("streamscore-offset", b"5")]
    assert parse(record(old)).place == "transactions-3@17"
    assert parse(record(old)).headers == tuple(old)


def test_repeats_are_folded():
    other = parse(record(ours=[*OURS[:4], ("streamscore-offset", b"18")]))
    one = parse(record())
    assert list(fold([one, other, one, other])) == [one, other]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (Choice(), True),
        (Choice(reasons=frozenset({"invalid", "future"})), True),
        (Choice(reasons=frozenset({"future"})), False),
        (Choice(topics=frozenset({"transactions"})), True),
        (Choice(topics=frozenset({"customers"})), False),
        (Choice(places=frozenset({"transactions-3@17"})), True),
        (Choice(places=frozenset({"transactions-3@1"})), False),
        (Choice(since=10.0, until=10.5), True),
        (Choice(since=10.5), False),
        (Choice(until=10.0), False),
    ],
)
def test_letters_are_chosen_by_reason_topic_place_and_time(choice, wanted):
    assert choice.wants(parse(record())) is wanted


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-2h", "yesterday", "2026-13-01"])
def test_a_time_that_is_none_is_refused(text):
    with pytest.raises(Misconfigured, match="neither a span"):
        moment(text, 0.0)
