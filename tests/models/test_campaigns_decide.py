"""Decisions: one campaign a moment, stable ids and draws, contacts remembered, nothing depends on how often it is run."""

import copy
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from models.campaigns.campaign import parse
from models.campaigns.decide import MAX_CAMPAIGNS, Moment, decide, remember_standing
from models.campaigns.holdout import draw, is_held_out, trigger_id
from schemas.decisions import Contacts, decode_trigger, encode_trigger

DAY = 86_400.0
AT = datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()


def make(name="plain", priority=0, hold_out=0.0, *, when='["silence"]', audience="true", cap=2, cooldown=60.0, days=30):
    text = f"""
id = "{name}"
name = "{name}"
channel = "email"
when = {when}
audience = '''{audience}'''
cap = {{ contacts = {cap}, days = {days} }}
cooldown_days = {cooldown}
hold_out = {hold_out}
expires_hours = 48
priority = {priority}
"""
    return parse(text, f"{name}.toml", ("orders",), ZoneInfo("UTC"))


def at_moment(**changes):
    plain = Moment(
        customer_id="c1",
        at=AT,
        kind="silence",
        cause="silence:1",
        features={"orders": 3.0},
        scores={"churn": 0.7},
        segment=2,
        segment_name="Loyal",
        previous_segment=1,
        previous_churn=0.4,
        best_segment=2,
        consent={"email": True},
    )
    return msgspec.structs.replace(plain, **changes)


def test_a_trigger_says_all_that_a_sender_needs():
    one = make("win", audience="churn > 0.5 && features.orders >= 2.0 && segment_name != 'x'")
    (trigger,), suppressed = decide([one], at_moment(), Contacts(), AT)
    assert suppressed == []
    assert msgspec.json.decode(encode_trigger(trigger)) == {
        "id": trigger_id("win", "c1", "silence:1"),
        "campaign_id": "win",
        "customer_id": "c1",
        "channel": "email",
        "cause": "silence:1",
        "decided_at": "2026-03-02T12:00:00Z",
        "expires_at": "2026-03-04T12:00:00Z",
        "reason": "win, at silence: churn 0.7, segment name Loyal, orders 3",
        "segment": "Loyal",
        "scores": {"churn": 0.7},
        "withheld": False,
    }
    assert decode_trigger(encode_trigger(trigger)) == trigger


def test_ids_never_change():
    assert trigger_id("win_back", "c1", "e1") == "6d66e493e64bc9f53b98cd41589c799a"
    assert trigger_id("win_back", "kündin", "silence:1700000000.0") == "2eaae5a6c7b8e3c5755ef9db7de02fbe"
    assert draw("win_back", "c1", "") == 0.9067039770988659


def test_ids_do_not_run_together():
    assert len({trigger_id("a", "bc", "d"), trigger_id("ab", "c", "d"), trigger_id("a", "b", "cd")}) == 3


@given(st.text(), st.text(), st.text())
def test_a_draw_is_below_one(campaign, customer, salt):
    assert 0 <= draw(campaign, customer, salt) < 1
    assert is_held_out(campaign, customer, salt, 1.0)
    assert not is_held_out(campaign, customer, salt, 0.0)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_the_hold_out_has_its_share(share):
    n = 20_000
    held = sum(is_held_out("win_back", f"c{i}", "", share) for i in range(n))
    low, high = binom.interval(1 - 1e-6, n, share)
    assert low <= held <= high


def test_hold_outs_of_two_campaigns_are_independent():
    n = 20_000
    both = sum(is_held_out("a", f"c{i}", "", 0.5) and is_held_out("b", f"c{i}", "", 0.5) for i in range(n))
    low, high = binom.interval(1 - 1e-6, n, 0.25)
    assert low <= both <= high


def test_another_salt_draws_others():
    first, second = ([is_held_out("a", f"c{i}", salt, 0.5) for i in range(200)] for salt in ("", "2027"))
    assert first != second


def test_a_customer_is_held_out_at_every_moment_or_at_none():
    half = make(hold_out=0.5)
    for n in range(40):
        arms = {
            decide([half], at_moment(customer_id=f"c{n}", cause=f"e{m}"), Contacts(), AT)[0][0].withheld
            for m in range(5)
        }
        assert len(arms) == 1


def test_held_out_customers_use_cap_and_cooldown_like_contacted_ones():
    contacted, held = Contacts(), Contacts()
    decide([make(hold_out=0)], at_moment(), contacted, AT)
    decide([make(hold_out=1)], at_moment(), held, AT)
    assert contacted == held == Contacts({"plain": AT}, [AT])
    _, (again,) = decide([make(hold_out=1)], at_moment(at=AT + DAY), held, AT)
    assert again.reason == "cooldown"


def test_the_highest_priority_gets_the_customer():
    campaigns = [
        make("low", 1),
        make("high", 9),
        make("none", 99, audience="false"),
        make("later", 99, when='["purchase"]'),
    ]
    (trigger,), suppressed = decide(campaigns, at_moment(), Contacts(), AT)
    assert trigger.campaign_id == "high"
    assert {(s.campaign_id, s.reason) for s in suppressed} == {("low", "priority"), ("none", "not_in_audience")}


def test_a_held_out_customer_is_not_handed_to_the_next_campaign():
    """Otherwise the controls of one campaign would be the contacted of another, at the same moment."""
    campaigns = [make("low", 1), make("high", 9, hold_out=1)]
    (trigger,), suppressed = decide(campaigns, at_moment(), Contacts(), AT)
    assert (trigger.campaign_id, trigger.withheld) == ("high", True)
    assert [(s.campaign_id, s.reason) for s in suppressed] == [("low", "priority"), ("high", "hold_out")]


def test_the_cap_counts_all_campaigns():
    contacts = Contacts()
    for day, name in enumerate(["a", "b"]):
        assert len(decide([make(name), make("c", -1)], at_moment(at=AT + day * DAY), contacts, AT)[0]) == 1
    _, (refused,) = decide([make("c")], at_moment(at=AT + 2 * DAY), contacts, AT)
    assert refused.reason == "cap"


def test_a_late_event_decides_nothing():
    contacts = Contacts()
    assert decide([make()], at_moment(late=True), contacts, AT) == ([], [])
    assert contacts == Contacts()


def test_a_kind_that_no_campaign_names_is_not_looked_at():
    """The audience would fail, and count it, if it were asked."""
    one = make(audience="1 / 0 == 1")
    assert decide([one], at_moment(kind="purchase"), Contacts(), AT) == ([], [])
    assert one.audience.failures == 0
    decide([one], at_moment(), Contacts(), AT)
    assert one.audience.failures == 1


def test_a_refusal_remembers_nothing():
    contacts = Contacts()
    decide([make()], at_moment(consent={}), contacts, AT)
    decide([make()], at_moment(), contacts, AT + 49 * 3600)
    assert contacts == Contacts()


def test_standing_keeps_the_last_that_was_known():
    contacts = Contacts()
    remember_standing(contacts, at_moment())
    remember_standing(contacts, at_moment(segment=None, scores={}))
    assert (contacts.previous_segment, contacts.previous_churn) == (2, 0.7)


def test_contacts_are_bounded():
    contacts = Contacts()
    for n in range(300):
        decide([make(f"c{n}", cap=3, days=1)], at_moment(at=AT + n * DAY), contacts, AT)
    assert len(contacts.recent) == 3
    assert len(contacts.last_by_campaign) == MAX_CAMPAIGNS
    assert f"c{300 - MAX_CAMPAIGNS}" in contacts.last_by_campaign
    one = Contacts({"win_back": AT}, [AT - DAY, AT], 3, 0.5)
    assert len(msgspec.msgpack.encode(one)) < 60
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Contacts) == one


KINDS = ["silence", "purchase", "opened"]
CAMPAIGNS = [
    make("a", 2, 0.3, when='["silence"]', audience="churn > 0.5", cap=2, cooldown=10),
    make("b", 2, 0.3, when='["silence", "purchase"]', audience="features.orders > 2.0", cap=3, cooldown=5, days=10),
    make("c", 1, 0.0, when='["purchase", "opened"]', audience="segment == best_segment", cap=1, cooldown=0, days=7),
]


@st.composite
def moments(draw_one):
    return at_moment(
        customer_id=draw_one(st.sampled_from(["c1", "c2", "c3"])),
        at=AT + draw_one(st.floats(0, 60)) * DAY,
        kind=draw_one(st.sampled_from(KINDS)),
        cause=draw_one(st.text(max_size=4)),
        features={"orders": draw_one(st.floats())},
        scores={"churn": draw_one(st.floats(0, 1))},
        segment=draw_one(st.none() | st.integers(0, 3)),
        consent={"email": draw_one(st.booleans())},
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(moments(), max_size=25), st.permutations(CAMPAIGNS))
def test_decided_again_in_any_order_of_campaigns_is_decided_the_same(story, order):
    first, second = Contacts(), Contacts()
    for moment in story:
        before = copy.deepcopy(first)
        once = decide(CAMPAIGNS, moment, first, moment.at)
        again = decide(order, moment, second, moment.at)
        assert (once[0], sorted(once[1], key=str)) == (again[0], sorted(again[1], key=str))
        assert first == second
        assert len(once[0]) <= 1
        if not once[0]:
            assert first == before


@settings(max_examples=60, deadline=None)
@given(st.lists(moments(), max_size=40))
def test_no_cap_and_no_cooldown_is_ever_broken(story):
    """Naive oracle: the whole story is kept and counted."""
    contacts, told = Contacts(), []
    for moment in story:
        for trigger in decide(CAMPAIGNS, moment, contacts, moment.at)[0]:
            spec = next(c.spec for c in CAMPAIGNS if c.id == trigger.campaign_id)
            since = moment.at - spec.cap.days * DAY
            assert sum(at > since for _, at in told) < spec.cap.contacts
            assert all(moment.at - at >= spec.cooldown_days * DAY for name, at in told if name == spec.id)
            told.append((spec.id, moment.at))
