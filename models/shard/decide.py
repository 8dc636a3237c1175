"""Third pass: decide in order; open and mature examples of `response`, and count who changes segment."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from models.brand.taste import SEGMENT
from models.campaigns import decide as campaigns
from models.customers.attributes import Pairs, contact_pairs
from models.customers.features import NATURAL
from models.policy import DAY
from models.serving_set import ServingSet
from models.shard.chunk import Chunk, Shop
from models.shard.score import TASKS, Scores, held
from models.shard.walk import Step
from schemas.commit import Commit, Opened, Outgoing
from schemas.decisions import Trigger, encode_trigger
from schemas.events import Contact, Converted, Forgotten, Sent
from schemas.state import Pending, Remembered

MAX_PENDING: Final = 8
"""Pending examples of `response` a customer."""
BY_WINDOW: Final = ("churn", "value")
"""Tasks whose example is a customer's coming window."""
_COLUMN: Final = {name: column for column, name in enumerate(NATURAL)}


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


class Decider:
    """Takes the steps of one chunk in order. What comes of them stands in the commit, and in its own counts."""

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
        """Decide on one step, and note what it says of earlier decisions."""
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
            for task in BY_WINDOW:
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
            answered = [one for one in pending if self._may_answer(event, step.at, one)]
            if answered:  # two where a window ends with the contact that begins the next
                max(answered, key=lambda one: one.opened_at).converted = True
        elif isinstance(event, Contact):
            awaited = [one for one in pending if not one.confirmed and one.decision_id == event.decision_id]
            for one in awaited:
                one.confirmed = True
                one.closes_at = step.at + self._window(event) + self.shop.policy.waits("response")
            if not awaited and step.row is not None and self.scores is not None:
                opened = self._open(
                    event.campaign_id, event.decision_id, step, isinstance(event, Sent), self.offers.get(step.row, ())
                )
                opened.closes_at = step.at + self._window(event) + self.shop.policy.waits("response")
                opened.confirmed, opened.propensity = True, event.propensity
                self._keep(remembered, opened, step)

    def _may_answer(self, event: Converted, at: float, one: Pending) -> bool:
        """Whether a conversion is the answer to a contact: in its window, and of its decision where both name one."""
        of_another = event.decision_id and one.decision_id and event.decision_id != one.decision_id
        within = int(one.opened_at) <= at <= self._ends(one)
        return one.campaign_id == event.campaign_id and within and not of_another

    def _ends(self, one: Pending) -> float:
        return one.closes_at - self.shop.policy.waits("response")

    def _window(self, event: Contact) -> float:
        return event.window_seconds or self.shop.policy.response_days * DAY

    def _open(self, campaign: str, decision: str | None, step: Step, treated: bool, offer: Pairs) -> Pending:
        assert self.scores is not None and step.row is not None  # noqa: S101, PT018 - callers looked
        features, served = self.scores.packed(step.row), self.response[step.row]
        opened = Pending(campaign, decision, step.at, step.at, treated, not treated, features, served)
        opened.attributes = self.scores.packed_pairs(step.row, offer)
        return opened

    def _keep(self, remembered: Remembered, opened: Pending, step: Step) -> None:
        """Open an example, or count why not."""
        pending, counts = remembered.standing.pending, self.commit.counts
        offer = opened.campaign_id
        if step.overtaken:
            counts.not_opened("overtaken")
        elif any(one.campaign_id == offer and opened.opened_at < self._ends(one) for one in pending):
            counts.not_opened("window_open")
        elif len(pending) >= MAX_PENDING:
            counts.not_opened("too_many")
        else:
            pending.append(opened)
            counts.wait_for("response", 1)
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
        offer = contact_pairs(trigger.campaign_id, trigger.channel)
        opened = self._open(trigger.campaign_id, trigger.id, step, not trigger.withheld, offer)
        policy = self.shop.policy
        wait = policy.response_days * DAY if trigger.withheld else trigger.expires_at.timestamp() - step.at
        opened.closes_at = step.at + wait + policy.waits("response")
        self._keep(remembered, opened, step)

    def _left(self, campaign: str) -> int:
        used, _ = self.commit.budgets.get(campaign, (0, 0))
        return max(self.budgets[campaign] - self.shard.spent.get(campaign, 0) - used, 0)

    def _use_budget(self, campaign: str) -> None:
        if campaign in self.budgets:
            used, limit = self.commit.budgets.get(campaign, (0, self.budgets[campaign]))
            self.commit.budgets[campaign] = used + 1, limit
            if not self._left(campaign):
                self.spent |= {campaign}
