"""Which contacts make examples of `response`, and which conversions answer them, beside a naive count."""

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from models.policy import DAY, Policy
from models.serving_set import ServingSet
from models.shard import Shop
from models.shard.decide import MAX_PENDING
from schemas.codec import INPUT_TOPICS, encode, topic_of
from schemas.commit import Arrived
from schemas.events import Converted, Customer, Line, Opened, Purchase, Refund, Sent
from streams.memory.ledger import MemoryLedger
from streams.outgoing import read_examples
from streams.shard import Shard

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR = 60.0, 3_600.0
POLICY = Policy(response_days=2.0, lateness=HOUR, response_lateness=HOUR)


class Told(Struct):
    """One event of one customer. Times are in seconds from `START`."""

    kind: str
    at: float
    campaign: str = "k"
    decision: str | None = None
    window: float | None = None


def event_of(told, number):
    common = {"event_id": f"e{number}", "customer_id": "a", "occurred_at": START + timedelta(seconds=told.at)}
    engaged = {"campaign_id": told.campaign, "channel": "email", "decision_id": told.decision}
    sale = {"currency": "GBP", "channel": "web", "lines": (Line(product_id="p", quantity=1, unit_price=2.5),)}
    match told.kind:
        case "sent":
            return Sent(**common, **engaged, window_seconds=told.window)
        case "converted":
            return Converted(**common, **engaged)
        case "opened":
            return Opened(**common, **engaged)
        case "customer":
            return Customer(**common, attributes={"age": number})
        case "purchase":
            return Purchase(**common, **sale)
        case "refund":
            return Refund(**common, **sale)
    raise ValueError(told.kind)


async def _handled(some, ends):
    """Each by itself in the order given; then nothing until every outcome has matured."""
    ledger, unopened, opened = MemoryLedger(), {}, []
    shard = Shard(await ledger.take(0), ledger, Shop(POLICY, (), 1), 500)
    offsets = dict.fromkeys(INPUT_TOPICS, 0)
    end = Purchase(
        event_id="end", customer_id="z", occurred_at=START + timedelta(seconds=ends), currency="GBP", channel="web",
        lines=(Line(product_id="p", quantity=1, unit_price=2.5),),
    )  # fmt: skip
    for event in [*(event_of(told, number) for number, told in enumerate(some)), end]:
        topic, at = topic_of(event), event.occurred_at.timestamp()
        shard.receive([Arrived(topic, 0, offsets[topic], at, b"k", encode(event), (), event, at)])
        offsets[topic] += 1
        while done := await shard.step(lambda _topic: True, ServingSet(), float("-inf")):
            for reason, n in done.commit.counts.unopened.items():
                unopened[reason] = unopened.get(reason, 0) + n
            opened += [one for one in done.commit.opened if one.task == "response"]
        ledger_rows = [entry.record for entry in await ledger.outbox(0, 100_000)]
    rows = [
        row
        for record in ledger_rows
        if record.topic == "examples" and record.key == b"response"
        for row in read_examples(record.value)[1]
    ]
    found = sorted((row["at"] - START.timestamp(), row["campaign"], row["y"]) for row in rows)
    return found, unopened, opened


def handled(*some, ends=60 * DAY):
    return asyncio.run(_handled(some, ends))


def labels(*some):
    return handled(*some)[0]


def test_an_answer_after_its_contact_counts_from_the_first_second_to_the_last():
    for at, label in ((-1, 0.0), (0, 1.0), (2 * DAY, 1.0), (2 * DAY + 1, 0.0)):
        told = [Told("sent", DAY), Told("converted", DAY + at)]
        assert labels(*told) == [(DAY, "k", label)], at


def test_an_answer_of_another_decision_is_none():
    assert labels(Told("sent", 0, decision="d1"), Told("converted", HOUR, decision="d9")) == [(0, "k", 0.0)]
    assert labels(Told("sent", 0, decision="d1"), Told("converted", HOUR, decision="d1")) == [(0, "k", 1.0)]
    assert labels(Told("sent", 0, decision="d1"), Told("converted", HOUR)) == [(0, "k", 1.0)]
    assert labels(Told("sent", 0), Told("converted", HOUR, decision="d1")) == [(0, "k", 1.0)]


def test_windows_of_one_offer_do_not_overlap():
    daily = [Told("sent", day * DAY) for day in range(6)]
    found, unopened, _ = handled(*daily)
    assert [at / DAY for at, _, _ in found] == [0, 2, 4]
    assert unopened == {"window_open": 3}
    answer = Told("converted", 2 * DAY)  # the window of day 0 ends as that of day 2 begins
    assert labels(daily[0], daily[2], answer) == [(0, "k", 0.0), (2 * DAY, "k", 1.0)]


def test_a_contact_that_something_later_came_before_is_not_learned_from():
    for kind in ("converted", "opened", "purchase", "refund", "customer"):
        found, unopened, _ = handled(Told("purchase", 0), Told(kind, HOUR + 5 * MINUTE), Told("sent", HOUR))
        assert (found, unopened) == ([], {"overtaken": 1}), kind
    other = Told("sent", HOUR + 5 * MINUTE, campaign="other")
    found, unopened, _ = handled(other, Told("sent", HOUR))
    assert (found, unopened) == ([(other.at, "other", 0.0)], {"overtaken": 1})


def test_more_than_so_many_answers_are_not_waited_for():
    many = [Told("sent", n * MINUTE, campaign=f"k{n}") for n in range(MAX_PENDING + 2)]
    answers = [Told("converted", HOUR + n, campaign=f"k{n}") for n in range(MAX_PENDING + 2)]
    found, unopened, _ = handled(*many, *answers)
    assert found == [(n * MINUTE, f"k{n}", 1.0) for n in range(MAX_PENDING)]
    assert unopened == {"too_many": 2}


@st.composite
def histories(draw):
    """Contacts and answers of one customer in the order of their arrival, some up to two hours after they happened."""
    at, found = 0.0, []
    for _ in range(draw(st.integers(1, 25))):
        at += draw(st.sampled_from([0.0, 1.0, 20 * MINUTE, HOUR, 7 * HOUR, DAY, 2 * DAY]))
        behind = draw(st.sampled_from([0.0, 0.0, 0.0, 1.0, 30 * MINUTE, HOUR, 2 * HOUR]))
        found.append(
            Told(
                draw(st.sampled_from(["sent", "sent", "converted", "converted", "opened", "purchase"])),
                max(at - behind, 0.0),
                draw(st.sampled_from("kl")),
                draw(st.sampled_from([None, "d1", "d2"])),
                draw(st.sampled_from([None, None, DAY, 3 * HOUR])),
            )
        )
    return found


def counted(told):
    """What the documents say, as plainly as can be. `shown` is the newest time of the topic when an event comes."""
    shown, arrived = {"transactions": 0.0, "engagements": 0.0}, []
    for one in told:
        topic = "transactions" if one.kind == "purchase" else "engagements"
        shown[topic] = max(shown[topic], one.at)
        arrived.append((one, shown[topic], max(shown.values())))
    contacts = []
    for place, (one, newest, now) in enumerate(arrived):
        if one.kind == "sent" and newest - one.at <= HOUR:
            overtaken = any(int(before.at) > one.at for before, _, _ in arrived[:place])
            ends = one.at + (one.window or POLICY.response_days * DAY)
            waiting = [contact for contact in contacts if contact["ends"] + HOUR > now]
            open_window = any(other["one"].campaign == one.campaign and one.at < other["ends"] for other in waiting)
            if not overtaken and not open_window and len(waiting) < MAX_PENDING:
                contacts.append({"one": one, "ends": ends, "answered": False})
        elif one.kind == "converted":
            fits = [
                contact
                for contact in contacts
                if contact["one"].campaign == one.campaign
                and contact["ends"] + HOUR > now
                and contact["one"].at <= one.at <= contact["ends"]
                and (not one.decision or not contact["one"].decision or one.decision == contact["one"].decision)
            ]
            if fits:
                max(fits, key=lambda contact: contact["one"].at)["answered"] = True
    return sorted((c["one"].at, c["one"].campaign, float(c["answered"])) for c in contacts)


@settings(max_examples=300, deadline=None)
@given(histories())
def test_labels_are_those_of_a_naive_count(told):
    found, *_ = handled(*told, ends=200 * DAY)
    assert found == counted(told)


@settings(max_examples=100, deadline=None)
@given(histories(), st.lists(st.sampled_from(["customer", "refund", "purchase"]), max_size=3))
def test_features_of_a_contact_know_nothing_of_what_happened_later(told, kinds):
    """Whatever came before it and happened later: without that, the same contact has the same features."""
    told = [of_other_kind(one, kinds, place) for place, one in enumerate(told)]
    _, _, opened = handled(*told, ends=200 * DAY)
    for one in opened:
        at = one.at - START.timestamp()
        *_, alone = handled(*(other for other in told if int(other.at) <= at), ends=200 * DAY)
        assert one in alone


def of_other_kind(one, kinds, place):
    """Other kinds of events instead of some purchases."""
    if one.kind != "purchase" or not kinds:
        return one
    return Told(kinds[place % len(kinds)], one.at, one.campaign, one.decision)
