"""Third pass: decide in order, mature pending examples, and write down the commit."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np

from models.brand.at_usual import at_usual
from models.brand.loyalty import loyalty
from models.brand.taste import SEGMENT
from models.campaigns import decide as campaigns
from models.customers.attributes import Pairs, offer_pairs
from models.customers.features import NATURAL
from models.customers.stage import outlooks
from models.order import sales_time
from models.policy import DAY
from models.sales.calendar import date_of
from models.serving_set import ServingSet
from models.shard.chunk import Chunk, Shop
from models.shard.score import TASKS, Scores, explanations, held, score
from models.shard.walk import Step, Walk, duties, walk
from schemas.commit import Commit, Opened, Outgoing
from schemas.decisions import Trigger, encode_trigger
from schemas.events import Contact, Converted, Forgotten, Sent
from schemas.state import Pending, Remembered, encode_remembered

MAX_PENDING: Final = 4
"""Pending examples of `response` a customer, one a campaign; further offers open none."""
_BY_WINDOW: Final = ("churn", "value")
"""Tasks whose example is a customer's coming window."""
_COLUMN: Final = {name: column for column, name in enumerate(NATURAL)}
_HAS_BOUGHT: Final = _COLUMN["has_bought"]


def handle(shard: Chunk, shop: Shop, models: ServingSet, now: float) -> Commit:
    """All that a chunk changes.

    Parameters
    ----------
    shard
        The chunk and the customers it concerns; their states are changed in place.
    models
        What is scored with, for the whole chunk.
    now
        Epoch seconds; decides which triggers are stale, and nothing else.

    Returns
    -------
    Commit
        The same events in any cut into chunks give the same states, scores, examples and triggers,
        to the bit, as long as the models are the same.
    """
    commit = Commit(shard.place)
    walked = walk(shard, shop, commit)
    offers = {
        step.row: offer_pairs(step.event.attributes)
        for step in walked.steps
        if step.row is not None and isinstance(step.event, Contact)
    }
    asked = [step.row for step in walked.last.values() if step.row is not None]
    scores = score(walked.rows, walked.pairs, offers, models, asked) if walked.rows else None
    decider = _Decider(shard, shop, models, commit, scores, walked.rows, offers, now)
    if scores is not None:
        values = shortened(scores.values["value"])
        for relation, row in walked.opened:
            relation.features, relation.attributes = scores.packed(row), scores.packed_pairs(row)
            relation.churn = decider.churn[row]
            relation.value = values[row]
            for task in _BY_WINDOW:
                commit.opened.append(Opened(task, relation.opened_at, relation.features, relation.attributes))
                commit.counts.wait_for(task, 1)
    for step in walked.steps:
        decider.take(step)
    _finish(shard, shop, walked, scores, decider, commit)
    commit.counts.add_to(commit.place.totals)
    return commit


def shortened(values: list[float]) -> list[float]:
    """Return scores as a state remembers them: of 32 bits, since of 64 one half is noise, which does not pack.

    >>> shortened([0.1])
    [0.10000000149011612]
    """
    found: list[float] = np.array(values, dtype=np.float32).tolist()
    return found


class _Named(Mapping[str, float]):
    """A row's features by name. An audience reads two or three of them."""

    __slots__ = ("row",)

    def __init__(self, row: list[float]) -> None:
        self.row = row

    def __getitem__(self, name: str) -> float:
        return float(self.row[_COLUMN[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(NATURAL)

    def __len__(self) -> int:
        return len(NATURAL)


class _Decider:
    def __init__(
        self,
        shard: Chunk,
        shop: Shop,
        models: ServingSet,
        commit: Commit,
        scores: Scores | None,
        rows: list[list[float]],
        offers: dict[int, Pairs],
        now: float,
    ) -> None:
        self.shard, self.shop, self.models, self.commit, self.scores, self.now = (
            shard,
            shop,
            models,
            commit,
            scores,
            now,
        )
        self.offers = offers
        self.rows = rows
        self.names = models.segments.named() if models.segments is not None else {}
        self.tasks = [task for task in TASKS if getattr(models, task) is not None]
        self.asked = frozenset(kind for campaign in shop.campaigns for kind in campaign.spec.when)
        self.budgets = shop.budgets
        self.spent = frozenset(name for name in self.budgets if not self._left(name))
        self.matured: list[tuple[float, str, Pending]] = []
        self.moves: Counter[int] = Counter()
        self.movements: Counter[tuple[int, int]] = Counter()
        self.kept = self.drawn_again = 0
        self.churn = shortened(scores.values["churn"]) if scores is not None else []
        self.response = shortened(scores.values["response"]) if scores is not None else []

    def take(self, step: Step) -> None:
        remembered = step.who
        if remembered.standing.pending:
            self.mature(step.customer, remembered, step.time)
        if step.choices:
            segment_before = remembered.standing.contacts.previous_segment
            for choice in step.choices:
                choice["told"][SEGMENT] = "" if segment_before is None else str(segment_before)
        if isinstance(step.event, Forgotten):
            self._forget(remembered)
            return
        if step.event is not None:
            self._engagement(step, remembered)
        if step.row is None or self.scores is None:
            return
        contacts = remembered.standing.contacts
        segment = self.scores.segments[step.row] = held(self.scores, step.row, contacts.previous_segment)
        if step.kind in self.asked:
            self._decide(step, remembered)
        if segment >= 0 and contacts.previous_segment != segment:
            if contacts.previous_segment is not None:
                self.moves[contacts.previous_segment] -= 1
                self.movements[contacts.previous_segment, segment] += 1
            self.moves[segment] += 1
            contacts.previous_segment = segment
        if step.kind == "draw" and segment >= 0:
            if remembered.standing.drawn_segment is not None:
                self.drawn_again += 1
                self.kept += remembered.standing.drawn_segment == segment
            remembered.standing.drawn_segment = segment
        if self.models.churn is not None:
            contacts.previous_churn = self.churn[step.row]

    def _forget(self, remembered: Remembered) -> None:
        previous = remembered.standing.contacts.previous_segment
        if previous is not None:
            self.moves[previous] -= 1
        counts = self.commit.counts
        counts.wait_for("response", -len(remembered.standing.pending))
        if remembered.state.relation is not None:
            for task in _BY_WINDOW:
                counts.wait_for(task, -1)

    def mature(self, customer: str, remembered: Remembered, until: float) -> None:
        """Take out what is due: learned whatever came of it, or dropped where no `sent` confirmed it."""
        standing = remembered.standing
        due = [pending for pending in standing.pending if pending.closes_at <= until]
        if due:
            standing.pending = [pending for pending in standing.pending if pending.closes_at > until]
            self.commit.counts.wait_for("response", -len(due))
            self.matured += [(pending.closes_at, customer, pending) for pending in due if pending.confirmed]

    def _engagement(self, step: Step, remembered: Remembered) -> None:
        event, pending = step.event, remembered.standing.pending
        if isinstance(event, Converted):
            for one in pending:
                within = one.opened_at < step.at <= one.closes_at - self.shop.policy.waits("response")
                one.converted = one.converted or (within and one.campaign_id == event.campaign_id)
        elif isinstance(event, Contact):
            ours = [one for one in pending if one.decision_id and one.decision_id == event.decision_id]
            for one in ours:
                one.confirmed = True
                one.closes_at = step.at + self._window(event) + self.shop.policy.waits("response")
            if not ours and step.row is not None and self.scores is not None:
                opened = self._open(event.campaign_id, event.decision_id, step, isinstance(event, Sent))
                opened.closes_at = step.at + self._window(event) + self.shop.policy.waits("response")
                opened.confirmed, opened.propensity = True, event.propensity
                self._keep(remembered, opened)

    def _window(self, event: Contact) -> float:
        return event.window_seconds or self.shop.policy.response_days * DAY

    def _open(self, campaign: str, decision: str | None, step: Step, treated: bool) -> Pending:
        assert self.scores is not None and step.row is not None  # noqa: S101, PT018 - callers looked
        features, served = self.scores.packed(step.row), self.response[step.row]
        opened = Pending(campaign, decision, step.at, step.at, treated, not treated, features, served)
        opened.attributes = self.scores.packed_pairs(step.row, self.offers.get(step.row, ()))
        return opened

    def _keep(self, remembered: Remembered, opened: Pending) -> None:
        pending = remembered.standing.pending
        if len(pending) < MAX_PENDING and all(one.campaign_id != opened.campaign_id for one in pending):
            pending.append(opened)
            self.commit.counts.wait_for("response", 1)
            self.commit.opened.append(Opened("response", opened.opened_at, opened.features, opened.attributes))

    def _decide(self, step: Step, remembered: Remembered) -> None:
        assert self.scores is not None and step.row is not None  # noqa: S101, PT018 - callers looked
        contacts, row, segments = remembered.standing.contacts, step.row, self.models.segments
        segment = self.scores.segments[row]
        moment = campaigns.Moment(
            customer_id=step.customer,
            at=step.at,
            kind=step.kind,
            cause=step.cause,
            features=_Named(self.rows[row]),
            scores={task: self.scores.values[task][row] for task in self.tasks},
            segment=segment if segment >= 0 else None,
            segment_name=self.names.get(segment, ""),
            previous_segment=contacts.previous_segment,
            previous_churn=contacts.previous_churn,
            best_segment=segments.best if segments is not None else None,
            consent=step.consent or {},
            unsubscribed=step.unsubscribed,
        )
        triggers, suppressions = campaigns.decide(self.shop.campaigns, moment, contacts, self.now, self.spent)
        for trigger in triggers:
            self._emit(trigger, step, remembered)
        counts = self.commit.counts
        for suppression in suppressions:
            key = (suppression.campaign_id, suppression.reason)
            counts.suppressed[key] = counts.suppressed.get(key, 0) + 1

    def _emit(self, trigger: Trigger, step: Step, remembered: Remembered) -> None:
        self.commit.outgoing.append(Outgoing("triggers", trigger.customer_id.encode(), encode_trigger(trigger)))
        counts = self.commit.counts
        if not trigger.withheld:
            counts.triggers[trigger.campaign_id] = counts.triggers.get(trigger.campaign_id, 0) + 1
            self._use_budget(trigger.campaign_id)
        opened = self._open(trigger.campaign_id, trigger.id, step, not trigger.withheld)
        policy = self.shop.policy
        wait = policy.response_days * DAY if trigger.withheld else trigger.expires_at.timestamp() - step.at
        opened.closes_at = step.at + wait + policy.waits("response")
        self._keep(remembered, opened)

    def _left(self, campaign: str) -> int:
        used, _ = self.commit.budgets.get(campaign, (0, 0))
        return max(self.budgets[campaign] - self.shard.spent.get(campaign, 0) - used, 0)

    def _use_budget(self, campaign: str) -> None:
        if campaign in self.budgets:
            used, limit = self.commit.budgets.get(campaign, (0, self.budgets[campaign]))
            self.commit.budgets[campaign] = used + 1, limit
            if not self._left(campaign):
                self.spent |= {campaign}


def _finish(shard: Chunk, shop: Shop, walked: Walk, scores: Scores | None, decider: _Decider, commit: Commit) -> None:
    time = commit.place.time
    if shard.until is not None:
        time = shard.until if time is None else max(time, shard.until)
    commit.place.time = time
    for customer, remembered in shard.customers.items():
        if remembered is not None and remembered.standing.pending and time is not None:
            before = len(remembered.standing.pending)
            decider.mature(customer, remembered, time)
            if len(remembered.standing.pending) != before:
                walked.touched[customer] = None
    _write_states(shard, walked, commit)
    _write_scores(shard, walked, scores, decider, commit)
    _write_examples(shard, shop, walked, decider, commit)


def _write_states(shard: Chunk, walked: Walk, commit: Commit) -> None:
    for customer in walked.touched:
        remembered = shard.customers.get(customer)
        if remembered is None:
            commit.states[customer] = commit.timers[customer] = None
            continue
        commit.states[customer] = encode_remembered(remembered)
        due = [at for _, at in duties(remembered.state)]
        commit.timers[customer] = min([*due, *(pending.closes_at for pending in remembered.standing.pending)])


def _write_scores(shard: Chunk, walked: Walk, scores: Scores | None, decider: _Decider, commit: Commit) -> None:
    models = msgspec.json.encode(decider.models.versions()).decode()
    choice = decider.models.brand_choice
    usual = None if choice is None or not walked.tasted else at_usual(choice)
    last = walked.last
    reasons = dict(zip(last, explanations(scores), strict=True)) if scores is not None else {}
    ahead = _outlooks(last, decider)
    for customer in walked.touched:
        remembered = shard.customers.get(customer)
        if remembered is None:
            commit.scores[customer] = None
            continue
        # Who was only timed has the facts of the last event, which wrote them.
        fields = _facts(remembered) if customer in walked.advanced else {}
        step = last.get(customer)
        if step is not None and step.row is not None and scores is not None:
            segment = scores.segments[step.row]
            fields |= {
                "segment": str(segment),
                "segment_name": _segment_name(decider.rows[step.row], decider.names, segment),
                "response": f"{scores.values['response'][step.row]:.4f}",
                "churn": f"{scores.values['churn'][step.row]:.4f}",
                "value": f"{scores.values['value'][step.row]:.2f}",
                "updated_at": rfc3339(step.at),
                "explanation": reasons[customer],
                "models": models,
                **ahead[customer],
            }
        if customer in walked.tasted:
            fields |= loyalty(remembered.state, usual)
        commit.scores[customer] = fields


def _outlooks(last: dict[str, Step], decider: _Decider) -> dict[str, dict[str, str]]:
    """Return stage and expectations by customer, as of the last moment scored."""
    if not last:
        return {}
    rows = [decider.rows[step.row] for step in last.values() if step.row is not None]
    ended, at = zip(*((step.ended, step.at) for step in last.values()), strict=True)
    return dict(zip(last, outlooks(rows, ended, at, decider.models.purchases), strict=True))


def _segment_name(row: list[float], names: Mapping[int, str], segment: int) -> str:
    """Of the row that was scored: a late purchase since then has changed facts, and no score."""
    if not row[_HAS_BOUGHT]:
        return "no purchase yet"
    return names.get(segment, "not known yet")


def _facts(remembered: Remembered) -> dict[str, str]:
    state = remembered.state
    spend = ",".join(f'"{currency}":{amount / 10_000!r}' for currency, amount in sorted(state.spend.items()))
    facts = {"orders": str(state.orders), "refunds": str(state.refunds), "spend": "{" + spend + "}"}
    if state.first_purchase is not None and state.last_purchase is not None:
        facts["first_purchase_at"] = rfc3339(state.first_purchase)
        facts["last_purchase_at"] = rfc3339(state.last_purchase)
    return facts


def rfc3339(at: float) -> str:
    """Epoch seconds as RFC 3339 in UTC, in whole seconds: a customer has three, and nobody reads parts of one.

    >>> rfc3339(1322830800.97)
    '2011-12-02T13:00:00Z'
    """
    day, second = divmod(math.floor(at), 86_400)
    minute, second = divmod(second, 60)
    return f"{_date(day)}T{minute // 60:02d}:{minute % 60:02d}:{second:02d}Z"


@lru_cache(maxsize=4_096)
def _date(day: int) -> str:
    """Days since 1970-01-01 as a date. Raises `ValueError` before the year 1 and beyond 9999."""
    return date_of(day).isoformat()


def _write_examples(shard: Chunk, shop: Shop, walked: Walk, decider: _Decider, commit: Commit) -> None:
    examples = commit.examples
    delays = commit.counts.label_delays
    for closed_at, _, relation in sorted(walked.closed, key=lambda closed: closed[:2]):
        for task in _BY_WINDOW:
            commit.counts.wait_for(task, -1)
            delays.setdefault(task, []).append(closed_at - relation.opened_at)
        waited = round(closed_at - relation.opened_at)
        common: dict[str, Any] = {"at": relation.opened_at, "x": relation.features, "a": relation.attributes}
        churned, amount = int(relation.orders == 0), max(relation.spend_e4, 0) / 10_000
        examples.setdefault("churn", []).append(
            {**common, "y": churned, "served": relation.churn, "orders": relation.orders, "waited": waited}
        )
        examples.setdefault("value", []).append({**common, "y": amount, "served": relation.value})
    for closed_at, _, pending in sorted(decider.matured, key=lambda matured: (*matured[:2], matured[2].campaign_id)):
        delays.setdefault("response", []).append(closed_at - pending.opened_at)
        example: dict[str, Any] = {
            "at": pending.opened_at,
            "x": pending.features,
            "a": pending.attributes,
            "y": int(pending.converted),
            "served": pending.served,
            "waited": round(closed_at - pending.opened_at),
            "campaign": pending.campaign_id,
            "treated": pending.treated,
            "propensity": pending.propensity,
        }
        examples.setdefault("response", []).append(example)
    moves = {str(segment): change for segment, change in sorted(decider.moves.items()) if change}
    if walked.drawn or moves:
        moved = [[*pair, n] for pair, n in sorted(decider.movements.items())]
        kept = [decider.kept, decider.drawn_again]
        examples["segments"] = [{"drawn": walked.drawn, "moves": moves, "moved": moved, "kept": kept}]
    if walked.choices:
        examples["brand_choice"] = list(walked.choices)
    if walked.sayings:
        examples["sentiment"] = list(walked.sayings)
    if walked.market:  # before the sales: these close days
        examples["market"] = list(walked.market)
    if walked.sales or shard.tell or _another_day(shard.began, commit.place.time, shop):
        sold = [[series, day, amount] for (series, day), amount in sorted(walked.sales.items())]
        standing = {"partition": shard.partition, "partitions": shop.partitions}
        time = sales_time(commit.place, shard.sold_to, idle=shard.idle)
        examples["sales"] = [{"sold": sold, "time": time, "idle": shard.idle, **standing}]


def _another_day(before: float | None, after: float | None, shop: Shop) -> bool:
    if before is None or after is None:
        return before != after
    zone = shop.policy.zone
    return datetime.fromtimestamp(before, zone).date() != datetime.fromtimestamp(after, zone).date()
