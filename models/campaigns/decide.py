"""Decide who is contacted now: (campaigns, moment, contacts, now) -> triggers and suppressions."""

from bisect import insort
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from models.campaigns.campaign import Campaign
from models.campaigns.guards import FINAL_GUARDS, GUARDS, Case, expiry, hold_out, refusal
from models.campaigns.holdout import trigger_id
from models.campaigns.moment import Moment
from schemas.decisions import Contacts, Reason, Suppression, Trigger

__all__ = ["MAX_CAMPAIGNS", "Contacts", "Moment", "decide", "remember_standing"]

MAX_CAMPAIGNS: Final = 64
"""So many campaigns may run, and so many last contacts are remembered of a customer."""


def decide(
    campaigns: Sequence[Campaign],
    moment: Moment,
    contacts: Contacts,
    now: float,
    spent: frozenset[str] = frozenset(),
) -> tuple[list[Trigger], list[Suppression]]:
    """What every campaign does at this moment.

    At most one campaign gets the customer. A customer in its hold-out is answered with both a
    trigger marked `withheld` and a suppression `hold_out`.

    Parameters
    ----------
    campaigns
        In any order.
    contacts
        The customer's. Changed for a contact and for a held-out one, and for nothing else.
    now
        Epoch seconds; serves `stale` alone.
    spent
        Ids of campaigns without budget. The budget itself is taken by the commit.
    """
    if moment.late:
        return [], []
    asked = [campaign for campaign in campaigns if moment.kind in campaign.spec.when]
    if not asked:
        return [], []
    case = Case(moment, contacts, now, spent)
    reasons = [(campaign, refusal(GUARDS, campaign, case)) for campaign in asked]
    suppressed = [_suppression(campaign, moment, reason) for campaign, reason in reasons if reason]
    ready = [campaign for campaign, reason in reasons if reason is None]
    if not ready:
        return [], suppressed
    best = min(ready, key=lambda campaign: (-campaign.spec.priority, campaign.id))
    suppressed += [_suppression(campaign, moment, "priority") for campaign in ready if campaign is not best]
    if reason := refusal(FINAL_GUARDS, best, case):
        return [], [*suppressed, _suppression(best, moment, reason)]
    withheld = hold_out(best, case)
    if withheld:
        suppressed.append(_suppression(best, moment, "hold_out"))
    _remember_contact(contacts, campaigns, best, moment.at)
    return [_trigger(best, moment, withheld)], suppressed


def remember_standing(contacts: Contacts, moment: Moment) -> None:
    """Keep how the customer stood, for the next moment's `previous_...`. Call it after `decide`."""
    if moment.segment is not None:
        contacts.previous_segment = moment.segment
    if "churn" in moment.scores:
        contacts.previous_churn = float(moment.scores["churn"])


def _suppression(campaign: Campaign, moment: Moment, reason: Reason) -> Suppression:
    return Suppression(campaign.id, moment.customer_id, reason)


def _remember_contact(contacts: Contacts, campaigns: Sequence[Campaign], campaign: Campaign, at: float) -> None:
    """Whatever is counted within a cap's window is among the newest, as many as the largest cap counts."""
    insort(contacts.recent, at)
    del contacts.recent[: -max(other.spec.cap.contacts for other in campaigns)]
    last = contacts.last_by_campaign
    last[campaign.id] = max(at, last.get(campaign.id, at))
    if len(last) > MAX_CAMPAIGNS:  # campaigns of the past; the one longest ago is forgotten
        del last[min(last, key=lambda name: (last[name], name))]


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _trigger(campaign: Campaign, moment: Moment, withheld: bool) -> Trigger:
    return Trigger(
        id=trigger_id(campaign.id, moment.customer_id, moment.cause),
        campaign_id=campaign.id,
        customer_id=moment.customer_id,
        channel=campaign.spec.channel,
        cause=moment.cause,
        decided_at=_time(moment.at),
        expires_at=_time(expiry(campaign, moment.at)),
        reason=_in_words(campaign, moment),
        segment=moment.segment_name or None,
        scores={task: float(score) for task, score in moment.scores.items() if isfinite(score)},
        withheld=withheld,
    )


def _in_words(campaign: Campaign, moment: Moment) -> str:
    """What happened, and what the audience looked at."""
    facts = [f"{name.removeprefix('features.')} {_short(value)}" for name, value in _facts(campaign, moment)]
    return f"{campaign.spec.name}, at {moment.kind}: {', '.join(facts) or 'everybody'}".replace("_", " ")


def _facts(campaign: Campaign, moment: Moment) -> list[tuple[str, object]]:
    return [(name, value) for name, value in campaign.audience.values(moment).items() if name != "event"]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
