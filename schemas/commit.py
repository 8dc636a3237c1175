"""What moves a shard from one chunk to the next, and what a shard takes from a topic."""

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct, field

from schemas.events import Event

PENDING: Final = "pending:"
"""Before a task's name, among the totals of a place."""
UNOPENED: Final = "unopened:"
"""Before a reason, as above."""
OutTopic = Literal["triggers", "examples", "dead-letters"]


class Arrived(Struct):
    """One record of an input topic, as it came. `event` is None where it cannot be read; `refused` says why."""

    topic: str
    partition: int
    offset: int
    sent_at: float
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    event: Event | None = None
    at: float = 0.0
    refused: tuple[str, str] | None = None


class TopicPlace(Struct):
    """Where a shard stands in one topic. Times are epoch seconds of event time; None: nothing shown yet.

    `shown` is the newest event time of the topic, `limit_from` the shard's time after the topic's last record.
    `refused` is the share of dead letters among its recent records, `jumps` the last records whose time was too
    far ahead: whose (a hash), and when; so many customers must `agree` about it. `id` and `partitions` are the
    topic's own, as Kafka tells them.
    """

    next: int = 0
    shown: float | None = None
    limit_from: float | None = None
    refused: float = 0.0
    jumps: tuple[tuple[bytes, float], ...] = ()
    agree: int = 10
    id: str = ""
    partitions: int = 0


class Place(Struct):
    """The shard's place: stored by each commit, read when the shard is taken.

    `totals` counts what was done since the beginning, exactly: `scored`, `late`, `duplicate`,
    `anonymous`, `forgotten` and `dead_letter` add up to the records read; then `trigger:<campaign>` and
    `suppressed:<campaign>:<reason>`, `missing`: records that Kafka no longer had when an operator said to go on,
    and `pending:<task>`: examples whose outcome is waited for. `believed` are the first ten customers (hashes)
    of whom a record was taken.
    """

    topics: dict[str, TopicPlace] = field(default_factory=dict)
    time: float | None = None
    anonymous: dict[str, bytes] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    believed: tuple[bytes, ...] = ()


def pending_examples(places: Iterable[Place]) -> dict[str, int]:
    """Return how many examples are waited for, by task, in these shards."""
    return _added_up(places, PENDING)


def unopened_contacts(places: Iterable[Place]) -> dict[str, int]:
    """Return how many contacts no example of `response` was made of, by reason, in these shards."""
    return _added_up(places, UNOPENED)


def _added_up(places: Iterable[Place], prefix: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for place in places:
        for name, count in place.totals.items():
            if name.startswith(prefix):
                rest = name.removeprefix(prefix)
                found[rest] = found.get(rest, 0) + count
    return found


class Outgoing(Struct, frozen=True):
    """One record that a commit wants Kafka to know."""

    topic: OutTopic
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Counts(Struct):
    """What a chunk did, for metrics and reports. Nothing is decided on it.

    `label_delays` are seconds of event time, by task, from a decision to the moment its example is learned from.
    `pending` is by how many examples, by task, more are waited for than before. `behind` are events, by task, that
    came later than the task waits: the outcome or the day that they belong to may have closed without them.
    `unopened` are contacts, by reason, that no example of `response` is made of. `ignored` are
    attributes, by type of event, beyond the number that is kept.
    """

    events: dict[tuple[str, str], int] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    triggers: dict[str, int] = field(default_factory=dict)
    suppressed: dict[tuple[str, str], int] = field(default_factory=dict)
    label_delays: dict[str, list[float]] = field(default_factory=dict)
    pending: dict[str, int] = field(default_factory=dict)
    behind: dict[str, int] = field(default_factory=dict)
    unopened: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)

    def add_to(self, totals: dict[str, int]) -> None:
        """Add this chunk to what was counted before."""
        for (_, outcome), n in self.events.items():
            totals[outcome] = totals.get(outcome, 0) + n
        for campaign, n in self.triggers.items():
            totals[f"trigger:{campaign}"] = totals.get(f"trigger:{campaign}", 0) + n
        for (campaign, reason), n in self.suppressed.items():
            name = f"suppressed:{campaign}:{reason}"
            totals[name] = totals.get(name, 0) + n
        for task, more in self.pending.items():
            totals[f"{PENDING}{task}"] = totals.get(f"{PENDING}{task}", 0) + more
        for reason, n in self.unopened.items():
            totals[f"{UNOPENED}{reason}"] = totals.get(f"{UNOPENED}{reason}", 0) + n

    def wait_for(self, task: str, more: int) -> None:
        """Count examples of a task that are opened, or, below zero, no longer waited for."""
        self.pending[task] = self.pending.get(task, 0) + more

    def not_opened(self, reason: str) -> None:
        """Count a contact that no example of `response` is made of: `overtaken`, `window_open` or `too_many`."""
        self.unopened[reason] = self.unopened.get(reason, 0) + 1

    def event(self, topic: str, outcome: str) -> None:
        """Count one record: `scored`, `late`, `duplicate`, `anonymous`, `forgotten` or `dead_letter`."""
        self.events[topic, outcome] = self.events.get((topic, outcome), 0) + 1


class Opened(Struct, frozen=True):
    """An example that a chunk opened: what is learned when its outcome has matured. `at` is in epoch seconds."""

    task: str
    at: float
    features: bytes
    attributes: bytes


class Commit(Struct):
    """All that one chunk changes. Written at once or not at all.

    `erased` are customers whose scores go before anything of them is written. `states`, `scores` and
    `timers` are by customer; None removes. A customer's scores are fields of a hash. `examples` are
    rows by task; the ledger cuts them into records. `budgets` are contacts by campaign that has a budget:
    how many this chunk uses, and how many there may be in all. Where less is left nothing is written.
    `opened` is for a backtest, which asks all entrants at the decision; nobody writes it.
    """

    place: Place
    erased: dict[str, None] = field(default_factory=dict)
    states: dict[str, bytes | None] = field(default_factory=dict)
    scores: dict[str, dict[str, str] | None] = field(default_factory=dict)
    timers: dict[str, float | None] = field(default_factory=dict)
    outgoing: list[Outgoing] = field(default_factory=list)
    examples: dict[str, list[object]] = field(default_factory=dict)
    budgets: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    opened: list[Opened] = field(default_factory=list)
