"""What stands between a campaign and a customer. A guard answers whether it refuses; `GUARDS` is their order."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from models.campaigns.campaign import Campaign
from models.campaigns.holdout import is_held_out
from models.campaigns.moment import SECONDS_PER_DAY, Moment
from schemas.decisions import Contacts, Reason


class Case(Struct, frozen=True):
    """What guards judge by. `now` (epoch seconds) serves `stale` alone; `spent` names campaigns without budget."""

    moment: Moment
    contacts: Contacts
    now: float
    spent: frozenset[str] = frozenset()


Guard = Callable[[Campaign, Case], bool]


def expiry(campaign: Campaign, at: float) -> float:
    """When a decision made at `at` is worth nothing any more; both epoch seconds, event time."""
    return at + campaign.spec.expires_hours * 3600


def erased(_: Campaign, case: Case) -> bool:
    """The customer asked to be forgotten."""
    return case.moment.erased


def stale(campaign: Campaign, case: Case) -> bool:
    """Decided too long ago to be acted upon: a replay or a backlog contacts nobody again."""
    return case.now >= expiry(campaign, case.moment.at)


def not_in_audience(campaign: Campaign, case: Case) -> bool:
    """The campaign is for others."""
    return not campaign.audience.holds(case.moment)


def no_consent(campaign: Campaign, case: Case) -> bool:
    """The campaign needs consent, and there is no yes for its channel. Unknown is no."""
    return campaign.spec.consent and case.moment.consent.get(campaign.spec.channel) is not True


def unsubscribed(campaign: Campaign, case: Case) -> bool:
    """The customer wants no more on this channel; this holds for campaigns without consent too."""
    return campaign.spec.channel in case.moment.unsubscribed


def quiet_hours(campaign: Campaign, case: Case) -> bool:
    """It is night in the shop's timezone, by event time."""
    quiet = campaign.spec.quiet_hours
    return quiet is not None and quiet.cover(case.moment.at, campaign.zone)


def cooldown(campaign: Campaign, case: Case) -> bool:
    """The campaign has just had its word. A contact later than this moment counts as well."""
    last = case.contacts.last_by_campaign.get(campaign.id)
    return last is not None and case.moment.at - last < campaign.spec.cooldown_days * SECONDS_PER_DAY


def cap(campaign: Campaign, case: Case) -> bool:
    """All campaigns together have said enough."""
    since = case.moment.at - campaign.spec.cap.days * SECONDS_PER_DAY
    return sum(time > since for time in case.contacts.recent) >= campaign.spec.cap.contacts


def value_too_low(campaign: Campaign, case: Case) -> bool:
    """The contact costs more than it is expected to bring. An unknown response brings nothing."""
    expected = case.moment.scores.get("response", 0.0) * campaign.spec.value
    return campaign.spec.cost > 0 and not expected >= campaign.spec.cost  # so that NaN is refused


def budget(campaign: Campaign, case: Case) -> bool:
    """Nothing is left of the campaign's budget."""
    return campaign.id in case.spent


def hold_out(campaign: Campaign, case: Case) -> bool:
    """The customer is a control: would be contacted, and is not."""
    return is_held_out(campaign.id, case.moment.customer_id, campaign.spec.salt, campaign.spec.hold_out)


GUARDS: Final[tuple[tuple[Reason, Guard], ...]] = (
    ("erased", erased),
    ("stale", stale),
    ("not_in_audience", not_in_audience),
    ("no_consent", no_consent),
    ("unsubscribed", unsubscribed),
    ("quiet_hours", quiet_hours),
    ("cooldown", cooldown),
    ("cap", cap),
)
"""Asked of every campaign. Who passes contends, and the highest priority goes on alone."""
FINAL_GUARDS: Final[tuple[tuple[Reason, Guard], ...]] = (
    ("value_too_low", value_too_low),
    ("budget", budget),
)
"""Asked of that one. The hold-out comes after all: controls are who would have been contacted."""


def refusal(guards: tuple[tuple[Reason, Guard], ...], campaign: Campaign, case: Case) -> Reason | None:
    """The first guard's reason that refuses, or None."""
    for reason, refuses in guards:
        if refuses(campaign, case):
            return reason
    return None
