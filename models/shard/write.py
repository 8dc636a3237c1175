"""Last: write down what a chunk has changed, as states, scores and examples of the commit."""

import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from models.brand.at_usual import at_usual
from models.brand.loyalty import loyalty
from models.customers.features import NATURAL
from models.customers.stage import outlooks
from models.order import sales_time
from models.sales.calendar import date_of
from models.shard.chunk import Chunk, Shop
from models.shard.decide import BY_WINDOW, Decider
from models.shard.score import Scores, explanations
from models.shard.walk import Step, Walk, duties
from schemas.commit import Commit
from schemas.state import Remembered, encode_remembered

DRAWN: Final = 2_000
"""Customers drawn that one row tells of: a row is never cut, and must fit into a record."""
_HAS_BOUGHT: Final = NATURAL.index("has_bought")


def write_states(shard: Chunk, walked: Walk, commit: Commit) -> None:
    """Write the state and the timer of every customer whose state may be another now."""
    for customer in walked.touched:
        remembered = shard.customers.get(customer)
        if remembered is None:
            commit.states[customer] = commit.timers[customer] = None
            continue
        commit.states[customer] = encode_remembered(remembered)
        due = [at for _, at in duties(remembered.state)]
        commit.timers[customer] = min([*due, *(pending.closes_at for pending in remembered.standing.pending)])


def write_scores(shard: Chunk, walked: Walk, scores: Scores | None, decider: Decider, commit: Commit) -> None:
    """Write what is served of them: facts, scores with their reasons, loyalty."""
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


def _outlooks(last: dict[str, Step], decider: Decider) -> dict[str, dict[str, str]]:
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


def write_examples(shard: Chunk, shop: Shop, walked: Walk, decider: Decider, commit: Commit) -> None:
    """Write what the learner hears: examples that have matured, segments, brands, market and sales."""
    examples = commit.examples
    delays = commit.counts.label_delays
    for closed_at, _, relation in sorted(walked.closed, key=lambda closed: closed[:2]):
        for task in BY_WINDOW:
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
        more = [walked.drawn[first : first + DRAWN] for first in range(DRAWN, len(walked.drawn), DRAWN)]
        examples["segments"] = [
            {"drawn": walked.drawn[:DRAWN], "moves": moves, "moved": moved, "kept": kept},
            *({"drawn": some, "moves": {}, "moved": [], "kept": [0, 0]} for some in more),
        ]
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
