"""Every guard refuses its own case and lets the plain one pass; reasons come in one order."""

from datetime import UTC, datetime
from typing import get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest

from models.campaigns.campaign import Campaign, parse
from models.campaigns.decide import Moment, decide
from models.campaigns.guards import FINAL_GUARDS, GUARDS
from schemas.decisions import Contacts, Reason

DAY = 86_400.0
AT = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()
BASE = {
    "id": '"plain"',
    "name": '"Plain"',
    "channel": '"email"',
    "when": '["silence"]',
    "audience": '"churn >= 0.6"',
    "cap": "{ contacts = 2, days = 30 }",
    "cooldown_days": "60",
    "hold_out": "0",
    "expires_hours": "48",
}
MOMENT = Moment(
    customer_id="c1",
    at=AT,
    kind="silence",
    cause="silence:1",
    features={"orders": 3.0},
    scores={"churn": 0.7, "response": 0.1, "value": 40.0},
    segment=2,
    segment_name="Loyal",
    previous_segment=1,
    previous_churn=0.4,
    best_segment=2,
    consent={"email": True},
)


def campaign(zone: str = "UTC", **fields: str) -> Campaign:
    text = "\n".join(f"{key} = {value}" for key, value in (BASE | fields).items())
    return parse(text, "plain.toml", ("orders",), ZoneInfo(zone))


def moment(**changes: object) -> Moment:
    return msgspec.structs.replace(MOMENT, **changes)


def outcome(one: Campaign, at: Moment, contacts: Contacts | None = None, now: float = AT, spent=frozenset()):
    """What a lone campaign does: `contact`, or the reason not to."""
    triggers, suppressed = decide([one], at, contacts or Contacts(), now, spent)
    if not suppressed:
        assert [t.withheld for t in triggers] == [False]
        return "contact"
    (only,) = suppressed
    assert [t.withheld for t in triggers] == ([True] if only.reason == "hold_out" else [])
    return only.reason


def test_without_a_reason_not_to_the_customer_is_contacted():
    assert outcome(campaign(), MOMENT) == "contact"


QUIET = '{ from = "21:00", to = "08:00" }'
CASES = [
    ("erased", {}, {"erased": True}, {}),
    ("stale", {}, {}, {"now": AT + 48 * 3600}),
    ("not_in_audience", {}, {"scores": {"churn": 0.59}}, {}),
    ("no_consent", {}, {"consent": {"email": False}}, {}),
    ("no_consent", {}, {"consent": {}}, {}),
    ("no_consent", {}, {"consent": {"sms": True}}, {}),
    ("unsubscribed", {}, {"unsubscribed": frozenset({"email"})}, {}),
    ("quiet_hours", {"quiet_hours": QUIET}, {"at": AT + 9 * 3600}, {}),
    ("cooldown", {}, {}, {"contacts": Contacts({"plain": AT - 60 * DAY + 1}, [])}),
    ("cap", {}, {}, {"contacts": Contacts({}, [AT - 29 * DAY, AT - DAY])}),
    ("value_too_low", {"cost": "4.01", "value": "40"}, {}, {}),
    ("value_too_low", {"cost": "1", "value": "40"}, {"scores": {"churn": 0.7}}, {}),
    ("value_too_low", {"cost": "1", "value": "40"}, {"scores": {"churn": 0.7, "response": float("nan")}}, {}),
    ("budget", {}, {}, {"spent": frozenset({"plain"})}),
    ("hold_out", {"hold_out": "1"}, {}, {}),
]


@pytest.mark.parametrize(
    ("reason", "fields", "changes", "rest"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)]
)
def test_each_guard_refuses(reason, fields, changes, rest):
    assert outcome(campaign(**fields), moment(**changes), **rest) == reason


PASSES = [
    ({}, {}, {"now": AT + 48 * 3600 - 0.001}),
    ({"consent": "false"}, {"consent": {}}, {}),
    ({}, {"unsubscribed": frozenset({"sms"})}, {}),
    ({"quiet_hours": QUIET}, {"at": AT + 9 * 3600 - 1}, {}),
    ({"quiet_hours": QUIET}, {"at": AT - 4 * 3600}, {}),
    ({}, {}, {"contacts": Contacts({"plain": AT - 60 * DAY, "other": AT}, [])}),
    ({}, {}, {"contacts": Contacts({}, [AT - 30 * DAY, AT - DAY])}),
    ({"cost": "4.0", "value": "40"}, {}, {}),
    ({}, {}, {"spent": frozenset({"other"})}),
]


@pytest.mark.parametrize(("fields", "changes", "rest"), PASSES)
def test_just_this_side_of_a_border_is_contacted(fields, changes, rest):
    assert outcome(campaign(**fields), moment(**changes), **rest) == "contact"


def test_a_message_that_needs_no_consent_still_respects_an_unsubscription():
    at = moment(consent={}, unsubscribed=frozenset({"email"}))
    assert outcome(campaign(consent="false"), at) == "unsubscribed"


def test_quiet_hours_are_those_of_the_shop():
    at = moment(at=datetime(2026, 3, 2, 20, 30, tzinfo=UTC).timestamp())
    assert outcome(campaign(zone="UTC", quiet_hours=QUIET), at) == "contact"
    assert outcome(campaign(zone="Europe/Berlin", quiet_hours=QUIET), at) == "quiet_hours"


def test_quiet_hours_follow_summer_time():
    at = moment(at=datetime(2026, 7, 2, 19, 30, tzinfo=UTC).timestamp())
    assert outcome(campaign(zone="Europe/Berlin", quiet_hours=QUIET), at, now=at.at) == "quiet_hours"


def test_quiet_hours_within_one_day():
    noon = campaign(quiet_hours='{ from = "12:00", to = "13:00" }')
    assert outcome(noon, MOMENT) == "quiet_hours"
    assert outcome(noon, moment(at=AT + 3600)) == "contact"


def test_the_first_of_several_reasons_is_given():
    """Everything is wrong at once; taken away one by one, the reasons appear in the order of the contract."""
    repairs = {
        "erased": {"changes": {"erased": False}},
        "stale": {"now": AT},
        "not_in_audience": {"changes": {"scores": {"churn": 0.7}}},
        "no_consent": {"changes": {"consent": {"email": True}}},
        "unsubscribed": {"changes": {"unsubscribed": frozenset()}},
        "quiet_hours": {"fields": {"quiet_hours": '{ from = "01:00", to = "02:00" }'}},
        "cooldown": {"contacts": Contacts({}, [AT, AT])},
        "cap": {"contacts": Contacts()},
        "value_too_low": {"fields": {"cost": "0"}},
        "budget": {"spent": frozenset()},
        "hold_out": {"fields": {"hold_out": "0"}, "contacts": Contacts()},
    }
    fields = {"hold_out": "1", "cost": "1", "quiet_hours": '{ from = "11:00", to = "13:00" }'}
    changes = {"erased": True, "scores": {}, "consent": {}, "unsubscribed": frozenset({"email"})}
    rest = {"now": AT + 100 * DAY, "contacts": Contacts({"plain": AT}, [AT, AT]), "spent": frozenset({"plain"})}
    seen = []
    for reason, repair in repairs.items():
        seen.append(outcome(campaign(**fields), moment(**changes), **rest))
        assert seen[-1] == reason
        fields |= repair.pop("fields", {})
        changes |= repair.pop("changes", {})
        rest |= repair
    assert outcome(campaign(**fields), moment(**changes), **rest) == "contact"
    assert seen == [reason for reason in get_args(Reason) if reason != "priority"]


def test_the_tables_of_guards_follow_the_order_of_reasons():
    order = [reason for reason, _ in GUARDS] + ["priority"] + [reason for reason, _ in FINAL_GUARDS] + ["hold_out"]
    assert order == list(get_args(Reason))
