"""First pass: items and timers in their one order; each changes its customer's state.

Features are taken here, before any score is known, so that they never read scores or our own decisions.
"""

from collections.abc import Mapping
from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import Any, Final, get_args

from msgspec import Struct, field

from models.brand.taste import tell
from models.customers.advance import (
    MAX_TEXT,
    advance,
    id_hash,
    is_repeat,
    local_day,
    newest,
    next_draw,
    silence_at,
    with_id,
)
from models.customers.attributes import MAX_ATTRIBUTES, Pairs, customer_pairs
from models.customers.features import NATURAL, natural
from models.market.tell import observed
from models.market.tell import tell as tell_market
from models.policy import DAY, Awaiting
from models.receipt import Receipt, read
from models.sales.dimensions import ALL, part
from models.shard.chunk import Chunk, Shop
from schemas.commit import Arrived, Commit, Outgoing
from schemas.events import TYPE_OF, Contact, Customer, CustomerEvent, Event, Feedback, Forgotten, Observation, Sale
from schemas.state import Attribute, CustomerState, Relation, Remembered

ANONYMOUS_IDS: Final = 256
MAX_SAID: Final = 2_000
"""Characters of a feedback's text that are learned from."""
_WAITING: Final[dict[str, tuple[tuple[str, Awaiting], ...]]] = {
    "transactions": (("sales", "sales"), ("churn", "window"), ("value", "window")),
    "engagements": (("response", "response"),),
    "observations": (("market", "sales"),),
    "feedback": (("brands", "sales"),),
}
"""Which tasks a topic's events belong to, and what of theirs waits for them."""
SEGMENT_FEATURES: Final = ("recency_days", "orders", "spend", "tenure_days", "gap_mean_days")
_SEGMENT_COLUMNS: Final = tuple(map(NATURAL.index, SEGMENT_FEATURES))


class Step(Struct):
    """One event or timer of one customer, in order; `row` is its place among the features, None for late ones.

    `overtaken`: something that happened later, to the second, had come before, so that the features know of it.
    """

    customer: str
    who: Remembered
    at: float
    time: float
    kind: str
    cause: str
    event: Event | None = None
    row: int | None = None
    consent: dict[str, bool] | None = None
    unsubscribed: frozenset[str] = frozenset()
    ended: int = 0
    choices: list[dict[str, list[Any]]] | None = None
    overtaken: bool = False


class Sold(Struct):
    """A sale that counts, with its customer's state and step; None where nobody is named."""

    receipt: Receipt
    at: float
    state: CustomerState | None = None
    step: Step | None = None
    country: Attribute = None


class Walk(Struct):
    """What the first pass found. `touched` are all whose state may be another now, `advanced` those by an event.

    `last` is each customer's last moment, whose scores are served; of who was forgotten since there is none.
    """

    steps: list[Step] = field(default_factory=list)
    last: dict[str, Step] = field(default_factory=dict)
    rows: list[list[float]] = field(default_factory=list)
    pairs: dict[int, Pairs] = field(default_factory=dict)
    opened: list[tuple[Relation, int]] = field(default_factory=list)
    closed: list[tuple[float, str, Relation]] = field(default_factory=list)
    drawn: list[list[float]] = field(default_factory=list)
    sales: dict[tuple[str, int], int] = field(default_factory=dict)
    touched: dict[str, None] = field(default_factory=dict)
    advanced: dict[str, None] = field(default_factory=dict)
    choices: list[dict[str, list[Any]]] = field(default_factory=list)
    sayings: list[dict[str, Any]] = field(default_factory=list)
    tasted: dict[str, None] = field(default_factory=dict)
    market: list[dict[str, Any]] = field(default_factory=list)


class _Walker:
    def __init__(self, chunk: Chunk, shop: Shop, commit: Commit) -> None:
        self.chunk, self.shop, self.commit = chunk, shop, commit
        self.policy = shop.policy
        self.patience = min(self.policy.waits(what) for what in get_args(Awaiting))
        self.customers = chunk.customers
        self.time = chunk.began if chunk.began is not None else float("-inf")
        self.walk = Walk()
        self.heap: list[tuple[float, str, str]] = []
        self.heard: list[Sold | Observation] = []
        self.pairs: dict[str, Pairs] = {}  # of whose attributes have not changed since
        self.end = max(at for at in (self.time, chunk.place.time, chunk.until) if at is not None)
        self.asked = frozenset(kind for campaign in shop.campaigns for kind in campaign.spec.when)
        for customer, remembered in self.customers.items():
            if remembered is not None:
                self._push_all(customer, remembered.state)
        heapify(self.heap)

    def _push_all(self, customer: str, state: CustomerState) -> None:
        for kind, due in duties(state):
            if due <= self.end:
                self.heap.append((due, customer, kind))

    def run(self) -> Walk:
        for item in self.chunk.items:
            if item.key is not None:
                self.time = max(self.time, item.key)
            self._fire(self.time)
            self._take(item.arrived, item.key)
        if self.chunk.until is not None:
            self.time = max(self.time, self.chunk.until)
            self._fire(self.time)
        self._tell_market()
        return self.walk

    # Timers.

    def _fire(self, until: float) -> None:
        heap = self.heap
        while heap and heap[0][0] <= until:
            due, customer, kind = heappop(heap)
            remembered = self.customers.get(customer)
            if remembered is None or _due(remembered.state, kind) != due:
                continue  # it was moved since
            self.walk.touched[customer] = None
            if kind == "draw":
                self._draw(customer, remembered, due)
            elif kind == "silence":
                self._silence(customer, remembered, due)
            else:
                self._close(customer, remembered, due)
            moved = _due(remembered.state, kind)
            if moved is not None:
                self._push(moved, customer, kind)

    def _close(self, customer: str, who: Remembered, due: float) -> None:
        state = who.state
        if state.relation is not None:
            self.walk.closed.append((due, customer, state.relation))
            state.relation = None

    def _draw(self, customer: str, who: Remembered, due: float) -> None:
        state = who.state
        state.draw_at = due + self.policy.draw_days * DAY
        row = self._moment(customer, who, due, due, "draw", f"draw:{due:.0f}")
        values = self.walk.rows[row]
        self.walk.drawn.append([values[column] for column in _SEGMENT_COLUMNS])
        bought = state.first_purchase is not None  # who never bought can neither leave nor stay
        if bought and state.relation is None and _share(customer, due) < self.policy.example_share:
            window = self.policy.window_days * DAY
            state.relation = Relation(due, due + window + self.policy.waits("window"))
            self.walk.opened.append((state.relation, row))
            self._push(state.relation.closes_at, customer, "close")

    def _silence(self, customer: str, who: Remembered, due: float) -> None:
        who.state.silence_step += 1
        self._moment(customer, who, due, due, "silence", f"silence:{due:.0f}")

    def _moment(
        self,
        customer: str,
        who: Remembered,
        at: float,
        time: float,
        kind: str,
        cause: str,
        event: Event | None = None,
    ) -> int:
        state = who.state
        row = natural(state, at, self.policy.currency)
        pairs = self.pairs.get(customer)
        if pairs is None:
            pairs = self.pairs[customer] = customer_pairs(state.attributes)
        if pairs:
            self.walk.pairs[len(self.walk.rows)] = pairs
        step = Step(customer, who, at, time, kind, cause, event, len(self.walk.rows))
        step.ended = state.silence_ended
        step.overtaken = time > at and newest(state) > at
        if kind in self.asked:
            step.consent = dict(state.consent)
            step.unsubscribed = frozenset(state.unsubscribed)
        self.walk.rows.append(row)
        self.walk.steps.append(step)
        self.walk.last[customer] = step
        return len(self.walk.rows) - 1

    # Records.

    def _take(self, arrived: Arrived, key: float | None) -> None:
        event, counts = arrived.event, self.commit.counts
        if event is None or arrived.refused is not None or key is None:
            self._bury(arrived)
            return
        topic, customer, at = arrived.topic, event.customer_id, arrived.at
        behind = key - at
        late = behind > self.policy.lateness
        if customer is None:
            counts.event(topic, self._anonymous(event, topic, at, behind))
            return
        remembered = self.customers.get(customer)
        if isinstance(event, CustomerEvent):
            self.pairs.pop(customer, None)
        if isinstance(event, Forgotten):
            self.commit.erased[customer] = None
            self.walk.touched[customer] = None
            self.walk.last.pop(customer, None)
            if remembered is not None:
                kind = TYPE_OF[type(event)]
                self.walk.steps.append(Step(customer, remembered, at, self.time, kind, event.event_id, event))
            self.customers[customer] = None
            counts.event(topic, "forgotten")
            return
        if remembered is None:
            remembered = self.customers[customer] = Remembered(CustomerState(seen_at=at))
            remembered.state.draw_at = next_draw(customer, self.time, self.policy.draw_days)
            self._push(remembered.state.draw_at, customer, "draw")
        state = remembered.state
        known, own = state.ids.get(topic, b""), id_hash(event.event_id)
        if is_repeat(known, own):
            counts.event(topic, "duplicate")
            return
        state.ids[topic] = with_id(known, own)
        self.walk.touched[customer] = self.walk.advanced[customer] = None
        counts.event(topic, "late" if late else "scored")
        self._behind(topic, behind)
        before = silence_at(state)
        receipt = read(event) if isinstance(event, Sale) else None
        advance(state, event, at, self.policy, receipt)
        self._count_ignored(state, event)
        self._begin_silence(customer, state, before)
        kind = TYPE_OF[type(event)]
        if late:
            self.walk.steps.append(Step(customer, remembered, at, self.time, kind, event.event_id, event))
        else:
            self._moment(customer, remembered, at, self.time, kind, event.event_id, event)
        if receipt is not None:
            self.heard.append(Sold(receipt, at, state, self.walk.steps[-1], state.attributes.get("country")))
        else:
            self._tell(event, at)

    def _begin_silence(self, customer: str, state: CustomerState, before: float | None) -> None:
        """Look again at who has bought once there was silence for a while."""
        silent = silence_at(state)
        if silent is not None and silent != before:
            while silent <= self.time:  # a purchase that came late: what would have fired has passed
                state.silence_step += 1
                silent = silence_at(state) or self.time + DAY
            self._push(silent, customer, "silence")

    def _count_ignored(self, state: CustomerState, event: Event) -> None:
        """Count attributes beyond the bound: they are in no score."""
        if isinstance(event, Customer):
            kept = state.attributes
            ignored = sum(name[:MAX_TEXT] not in kept for name in event.attributes)
        elif isinstance(event, Contact):
            ignored = len(event.attributes) - MAX_ATTRIBUTES
        else:
            return
        if ignored > 0:
            of = TYPE_OF[type(event)]
            self.commit.counts.ignored[of] = self.commit.counts.ignored.get(of, 0) + ignored

    def _push(self, due: float, customer: str, kind: str) -> None:
        if due <= self.end:  # what lies beyond is the ledger's
            heappush(self.heap, (due, customer, kind))

    def _behind(self, topic: str, behind: float) -> None:
        """Count an event for the tasks that do not wait so long."""
        if behind <= self.patience:
            return
        for task, what in _WAITING.get(topic, ()):
            if behind > self.policy.waits(what):
                self.commit.counts.behind[task] = self.commit.counts.behind.get(task, 0) + 1

    def _anonymous(self, event: Event, topic: str, at: float, behind: float) -> str:
        known, own = self.commit.place.anonymous, id_hash(event.event_id)
        if is_repeat(known.get(topic, b""), own):
            return "duplicate"
        self._behind(topic, behind)
        known[topic] = with_id(known.get(topic, b""), own, ANONYMOUS_IDS)
        if isinstance(event, Sale):
            self.heard.append(Sold(read(event), at))
        else:
            self._tell(event, at)
        return "anonymous"

    def _tell(self, event: Event, at: float) -> None:
        """Note what is said, or seen of the market, whoever it was."""
        if isinstance(event, Observation):
            self.heard.append(event)
        elif isinstance(event, Feedback):
            text = None if event.text is None else event.text[:MAX_SAID]
            said = {"at": at, "day": local_day(event, self.policy), "brand": event.brand[:MAX_TEXT]}
            category = None if event.category is None else event.category[:MAX_TEXT]
            self.walk.sayings.append(said | {"category": category, "rating": event.rating, "text": text})

    def _tell_market(self) -> None:
        """Note what sales say, in loops of their own: between other steps each would take twice as long."""
        walk = self.walk
        branded: list[tuple[Sold, int, bool]] = []
        for one in self.heard:
            if isinstance(one, Observation):
                walk.market.append(observed(one, self.policy))
                continue
            told = tell_market(one.receipt, one.state, self.policy, one.country)
            walk.market.append(told)
            self._sell(one.receipt, told)
            if one.receipt.is_branded:
                branded.append((one, told["day"], told["main"]))
        for one, day, is_main in branded:
            tastes = None if one.state is None else one.state.brands
            choices = tell(one.receipt, tastes, one.at, day, is_main=is_main)
            walk.choices += choices
            if one.step is not None:
                one.step.choices = choices
                walk.tasted[one.step.customer] = None

    def _sell(self, receipt: Receipt, told: Mapping[str, Any]) -> None:
        sign, currency, day = receipt.sign, receipt.event.currency, told["day"]
        if currency != self.policy.currency:
            self._add(f"{ALL}:{currency}", day, sign * receipt.total_e4)
            return
        for category, shelf in receipt.shelves.items():
            self._add(f"category:{category}", day, sign * sum(shelf.amounts))
        for dimension in self.policy.split_by:
            self._add(part(dimension, told.get(dimension)), day, sign * receipt.total_e4)
        self._add(ALL, day, sign * receipt.total_e4)

    def _add(self, series: str, day: int, amount_e4: int) -> None:
        sales, key = self.walk.sales, (series, day)
        sales[key] = sales.get(key, 0) + amount_e4

    def _bury(self, arrived: Arrived) -> None:
        reason, detail = arrived.refused or ("undecodable", "it cannot be read")
        counts = self.commit.counts
        counts.event(arrived.topic, "dead_letter")
        counts.dead[reason] = counts.dead.get(reason, 0) + 1
        where = f"{arrived.topic}-{arrived.partition}@{arrived.offset}"
        headers = (
            *arrived.headers,
            ("streamscore-reason", reason.encode()),
            ("streamscore-detail", detail.encode()[:2_000]),
            ("streamscore-topic", arrived.topic.encode()),
            ("streamscore-partition", str(arrived.partition).encode()),
            ("streamscore-offset", str(arrived.offset).encode()),
            ("streamscore-record", where.encode()),
        )
        self.commit.outgoing.append(Outgoing("dead-letters", arrived.key, arrived.value, headers))


def duties(state: CustomerState) -> list[tuple[str, float]]:
    """When each kind of timer of a customer is due, in epoch seconds."""
    due = [("draw", state.draw_at)]
    if state.relation is not None:
        due.append(("close", state.relation.closes_at))
    silent = silence_at(state)
    if silent is not None:
        due.append(("silence", silent))
    return due


def _due(state: CustomerState, kind: str) -> float | None:
    """When one kind of timer is due; None if it is not running."""
    if kind == "draw":
        return state.draw_at
    if kind == "silence":
        return silence_at(state)
    return None if state.relation is None else state.relation.closes_at


def _share(customer: str, at: float) -> float:
    digest = blake2b(f"{customer}\x00{at:.0f}".encode(), digest_size=8, person=b"example").digest()
    return int.from_bytes(digest, "big") / 2**64


def walk(chunk: Chunk, shop: Shop, commit: Commit) -> Walk:
    """Advance every state of a chunk. Counts, dead letters and the place's ids go to `commit`."""
    return _Walker(chunk, shop, commit).run()
