"""Dead letters as people handle them: read, folded and chosen.

A letter holds the record's own key, value and headers, then ours, which begin with `streamscore-reason`; whatever
follows was added on the way. A letter that is sent again says in its headers how often that was done, and where it
first lay.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import kafka
from kafka import TopicPartition
from kafka.errors import KafkaError
from msgspec import Struct

from schemas.codec import INPUT_TOPICS
from streams.errors import Misconfigured, Unavailable
from streams.kafka.security import for_python

TOPIC: Final = "dead-letters"
REASON: Final = "streamscore-reason"
ATTEMPTS: Final = "streamscore-attempts"
FIRST: Final = "streamscore-first"
POLL_MS: Final = 500


class Letter(Struct, frozen=True):
    """A record that was refused. `at` is when, in epoch seconds; `first` is where it lay before any replay."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    at: float
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    attempts: int = 0
    first: str = ""

    @property
    def place(self) -> str:
        """Where the record lies, as `transactions-3@17`."""
        return f"{self.topic}-{self.partition}@{self.offset}"


class Choice(Struct, frozen=True):
    """Which letters are meant; what is empty or None chooses nothing away. Times are epoch seconds."""

    reasons: frozenset[str] = frozenset()
    topics: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    since: float | None = None
    until: float | None = None

    def wants(self, letter: Letter) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.topic in self.topics)
            and (not self.places or letter.place in self.places)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
        )


def parse(record: Any) -> Letter | None:
    """Read one record of `dead-letters`; None where it is nobody's of ours."""
    headers = list(record.headers or ())
    names = [name for name, _ in headers]
    if REASON not in names:
        return None
    begins = len(names) - 1 - names[::-1].index(REASON)  # the record itself may have been a letter once
    ours = dict(headers[begins:])
    own = dict(headers[:begins])
    try:
        topic = ours["streamscore-topic"].decode()
        partition, offset = int(ours["streamscore-partition"]), int(ours["streamscore-offset"])
    except (KeyError, ValueError):
        return None
    return Letter(
        topic=topic,
        partition=partition,
        offset=offset,
        reason=ours[REASON].decode(errors="replace"),
        detail=ours.get("streamscore-detail", b"").decode(errors="replace"),
        at=record.timestamp / 1_000,
        key=record.key,
        value=record.value,
        headers=tuple(headers[:begins]),
        attempts=_count(own.get(ATTEMPTS)),
        first=(own.get(FIRST) or f"{topic}-{partition}@{offset}".encode()).decode(errors="replace"),
    )


def _count(told: bytes | None) -> int:
    """How often it was sent again; a header that a producer made up counts for nothing."""
    return int(told) if told is not None and told.isdigit() else 0


def fold(letters: Iterable[Letter]) -> Iterator[Letter]:
    """Leave out what arrived before: a letter is known by where its record lies."""
    seen: set[tuple[str, int, int]] = set()
    for letter in letters:
        where = letter.topic, letter.partition, letter.offset
        if where not in seen:
            seen.add(where)
            yield letter


def headers_again(letter: Letter) -> list[tuple[str, bytes | None]]:
    """The record's own headers, how often it is sent again now, and where it lay first."""
    own = [(name, value) for name, value in letter.headers if name not in (ATTEMPTS, FIRST)]
    return [*own, (ATTEMPTS, str(letter.attempts + 1).encode()), (FIRST, letter.first.encode())]


def read(broker: str, prefix: str, since: float | None = None) -> Iterator[Letter]:
    """All letters up to the topic's present end, oldest first, repeats and all.

    Parameters
    ----------
    since
        Epoch seconds; older letters are not even fetched.

    Raises
    ------
    Misconfigured
        There is no such topic.
    Unavailable
        Kafka does not answer.
    """
    topic = prefix + TOPIC
    try:
        consumer = kafka.KafkaConsumer(**for_python(broker), enable_auto_commit=False)
        try:
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise Misconfigured(f"topic {topic} does not exist: make it with `streamscore topics`")
            tps = [TopicPartition(topic, number) for number in sorted(numbers)]
            consumer.assign(tps)
            yield from _to_the_end(consumer, tps, since)
        finally:
            consumer.close()
    except KafkaError as error:
        raise Unavailable(f"kafka at {broker}: {error}") from error


def _to_the_end(consumer: Any, tps: Sequence[Any], since: float | None) -> Iterator[Letter]:
    ends = consumer.end_offsets(list(tps))
    begins = consumer.beginning_offsets(list(tps))
    if since is not None:
        found = consumer.offsets_for_times(dict.fromkeys(tps, int(since * 1_000)))
        begins = {tp: ends[tp] if found[tp] is None else found[tp].offset for tp in tps}
    for tp in tps:
        consumer.seek(tp, begins[tp])
    while any(consumer.position(tp) < ends[tp] for tp in tps):
        for tp, records in consumer.poll(timeout_ms=POLL_MS).items():
            for record in records:
                letter = parse(record) if record.offset < ends[tp] else None
                if letter is not None:
                    yield letter


def replayable(letter: Letter) -> bool:
    """Whether the record came from an input topic of ours."""
    return letter.topic in INPUT_TOPICS
