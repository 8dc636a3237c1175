"""The event is the unit of meaning, the chunk only how many are done at once."""

import asyncio
import gc
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.brand.choice import START as CHOICE_START
from models.brand.situation import FEATURES as CHOICE_FEATURES
from models.campaigns.campaign import parse
from models.customers.attributes import customer_pairs, offer_pairs
from models.customers.features import NATURAL
from models.order import in_order
from models.policy import DAY, Policy
from models.segmentation.clusters import FEATURES
from models.serving_set import ServingSet
from models.shard import Shop
from schemas.choice import ChoiceModel, Standing
from schemas.codec import INPUT_TOPICS, encode, topic_of
from schemas.commit import Arrived, Place, TopicPlace, pending_examples
from schemas.events import (
    Alternative,
    Converted,
    Customer,
    Feedback,
    Forgotten,
    Line,
    Observation,
    Purchase,
    Refund,
    Sent,
    Unsubscribed,
)
from schemas.segments import Segments
from schemas.serving import LinearModel
from schemas.state import decode_remembered
from streams.kept import Kept
from streams.memory.ledger import MemoryLedger
from streams.outgoing import read_examples
from streams.shard import Shard

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Policy(window_days=20.0, draw_days=9.0, response_days=5.0, lateness=3_600.0, max_jump=400 * DAY)
CAMPAIGN = """
id = "hello"
name = "Hello"
channel = "email"
when = ["purchase", "silence"]
audience = "churn >= 0.0 && features.orders >= 1.0"
cap = { contacts = 2, days = 30 }
cooldown_days = 3
hold_out = 0.3
expires_hours = 24
"""
SHOP = Shop(POLICY, (parse(CAMPAIGN, "hello.toml", NATURAL, ZoneInfo("UTC")),), 1)


def linear(task, names, link, seed):
    draw = np.random.default_rng(seed)
    width = len(names)
    weights = tuple(draw.normal(0, 0.5, width).tolist())
    pairs = customer_pairs({"country": "DE", "age": 41.0}) + offer_pairs({"discount": 10.0})
    keys = sorted({pair.key for pair in pairs} | {0b01})
    return LinearModel(
        task=task, version="7", features=names, mean=(0.5,) * width, scale=(1.7,) * width, clip=5.0,
        weights=weights, intercept=0.3, link=link, cap=1e6,
        keys=tuple(keys), key_mean=(2.0,) * len(keys), key_scale=(0.7,) * len(keys), usual_offer=0.11,
        key_weights=tuple(draw.normal(0, 0.5, len(keys)).tolist()),
        key_present=tuple(draw.normal(0, 0.5, len(keys)).tolist()),
    )  # fmt: skip


MODELS = ServingSet(
    linear("response", NATURAL, "logit", 1),
    linear("churn", NATURAL, "logit", 2),
    linear("value", NATURAL, "log1p", 3),
    Segments(
        version="1", features=FEATURES, mean=(0.0,) * 5, scale=(1.0,) * 5, best=1,
        centres=((0.0, 0.5, 1.0, 0.0, 0.0), (3.0, 1.5, 4.0, 3.0, 1.0)), names=("small", "big"), sizes=(1, 1),
    ),
    ChoiceModel(
        version="3", features=CHOICE_FEATURES, weights=CHOICE_START,
        markets={"tea": {"x": Standing(weight=3.0, usual=0.9), "y": Standing(offset=0.4)}},
    ),
)  # fmt: skip


def event_of(kind, common, sale, engaged, number):
    match kind:
        case "p":
            return Purchase(**common, **sale)
        case "r":
            return Refund(**common, **sale)
        case "a":
            return Purchase(**(common | {"customer_id": None}), **sale)
        case "s":
            return Sent(**common, **engaged, attributes={"discount": 10.0})
        case "c":
            return Converted(**common, **engaged)
        case "u":
            return Unsubscribed(**common, **engaged)
        case "x":
            return Customer(
                **common,
                attributes={"country": ["DE", "FR", None][number % 3], "age": number + 0.3, "vip": True},
                consent={"email": True},
            )
        case "f":
            return Forgotten(**common)
        case "w":
            return Feedback(**(common | {"customer_id": None}), brand="x", source="web", rating=1, text="bad")
        case "o":
            return Observation(**(common | {"customer_id": None}), series="price:y", value=1.0, unit="GBP")
        case _:
            return None


@st.composite
def histories(draw):
    """Events of a few customers over months, in the order of their arrival; some late, some repeated, some broken."""
    at, found = START, []
    for number in range(draw(st.integers(1, 40))):
        at += timedelta(hours=draw(st.sampled_from([0, 1, 5, 30, 200, 700])))
        late = timedelta(hours=draw(st.sampled_from([0, 0, 0, 0, 2, 100])))
        customer = draw(st.sampled_from(["a", "b", "c", "d"]))
        repeated = draw(st.integers(0, 9)) == 0 and found
        common = {
            "event_id": f"e{number - 1 if repeated else number}",
            "customer_id": customer,
            "occurred_at": at - late,
        }
        kind = draw(st.sampled_from("pppprascuxf!wo"))
        sale = {
            "currency": "GBP",
            "channel": "web",
            "lines": (
                Line(
                    product_id="p",
                    quantity=number + 1,
                    unit_price=2.5,
                    category="tea",
                    brand=draw(st.sampled_from([None, None, "x", "y", "z"])),
                    alternatives=draw(st.sampled_from([None, (Alternative(brand="y", unit_price=2.0),)])),
                ),
            ),
        }
        engaged = {"campaign_id": draw(st.sampled_from(["spring", "hello"])), "channel": "email"}
        found.append(event_of(kind, common, sale, engaged, number))
    return found


def arrivals(events):
    offsets = dict.fromkeys(INPUT_TOPICS, 0)
    for event in events:
        topic = "transactions" if event is None else topic_of(event)
        body = b"{" if event is None else encode(event)
        at = 0.0 if event is None else event.occurred_at.timestamp()
        refused = ("undecodable", "it is broken") if event is None else None
        yield Arrived(topic, 0, offsets[topic], at, b"k", body, (), event, at, refused)
        offsets[topic] += 1


async def run(events, chunk_size, kept=3):
    ledger = MemoryLedger()
    shard = Shard(await ledger.take(0), ledger, SHOP, chunk_size)
    shard.kept = Kept(kept)
    shard.receive(arrivals(events))
    while await shard.step(lambda _topic: True, MODELS, float("-inf")):
        pass
    out = {
        "triggers": [],
        "dead-letters": [],
        "churn": [],
        "value": [],
        "response": [],
        "drawn": [],
        "sold": {},
        "moves": {},
    }
    for entry in await ledger.outbox(0, 100_000):
        record = entry.record
        if record.topic != "examples":
            out[record.topic].append((record.key, record.value, record.headers))
            continue
        task, rows = read_examples(record.value)
        if task == "sales":
            for series, day, amount in (sold for row in rows for sold in row["sold"]):
                out["sold"][series, day] = out["sold"].get((series, day), 0) + amount
        elif task == "segments":
            for row in rows:
                out["drawn"] += row["drawn"]
                for segment, change in row["moves"].items():
                    out["moves"][segment] = out["moves"].get(segment, 0) + change
        else:
            out.setdefault(task, []).extend(rows)
    out["moves"] = {segment: change for segment, change in out["moves"].items() if change}
    kept = ledger.shards[0]
    return out, kept.states, kept.due, ledger.scores, msgspec.msgpack.decode(kept.place, type=Place)


@settings(max_examples=150, deadline=None)
@given(histories(), st.integers(1, 7))
def test_any_cut_into_chunks_gives_the_same_to_the_bit(events, chunk_size):
    whole, cut = asyncio.run(run(events, 500)), asyncio.run(run(events, chunk_size))
    for one, other, what in zip(whole, cut, ("leaves", "states", "timers", "scores", "place"), strict=True):
        assert one == other, what


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 4))
def test_what_is_kept_in_memory_is_what_would_be_read(events, kept):
    read, remembered = asyncio.run(run(events, 2, 0)), asyncio.run(run(events, 2, kept))
    for one, other, what in zip(read, remembered, ("leaves", "states", "timers", "scores", "place"), strict=True):
        assert one == other, what


def test_a_late_purchase_after_the_score_changes_no_name():
    common = {"currency": "GBP", "channel": "web", "lines": (Line(product_id="p", quantity=1, unit_price=2.5),)}
    refund = Refund(event_id="r", customer_id="b", occurred_at=START, **common)
    newer = Purchase(event_id="n", customer_id="a", occurred_at=START, **common)
    late = Purchase(event_id="l", customer_id="b", occurred_at=START - timedelta(hours=2), **common)
    for size in (1, 500):
        *_, scores, _ = asyncio.run(run([refund, newer, late], size))
        assert (scores["b"]["orders"], scores["b"]["segment_name"]) == ("1", "no purchase yet")


@settings(max_examples=100, deadline=None)
@given(histories())
def test_every_record_is_accounted_for(events):
    *_, place = asyncio.run(run(events, 3))
    outcomes = ("scored", "late", "duplicate", "anonymous", "forgotten", "dead_letter")
    assert sum(place.totals.get(outcome, 0) for outcome in outcomes) == len(events)
    assert sum(at.next for at in place.topics.values()) == len(events)


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 7))
def test_what_is_waited_for_is_what_states_hold(events, chunk_size):
    _, states, *_, place = asyncio.run(run(events, chunk_size))
    known = [decode_remembered(body) for body in states.values()]
    windows = sum(one.state.relation is not None for one in known)
    contacts = sum(len(one.standing.pending) for one in known)
    told = pending_examples([place])
    assert [told.get(task, 0) for task in ("churn", "value", "response")] == [windows, windows, contacts]


def test_nothing_is_waited_for_of_who_was_forgotten():
    common = {"currency": "GBP", "channel": "web", "lines": (Line(product_id="p", quantity=1, unit_price=2.5),)}
    events = [
        Purchase(event_id="p", customer_id="a", occurred_at=START, **common),
        Sent(
            event_id="s",
            customer_id="a",
            occurred_at=START + timedelta(days=12),
            campaign_id="other",
            channel="email",
            decision_id="d",
        ),
    ]
    *_, place = asyncio.run(run(events, 3))
    assert pending_examples([place]) == {"churn": 1, "value": 1, "response": 1}
    events.append(Forgotten(event_id="f", customer_id="a", occurred_at=START + timedelta(days=13)))
    *_, place = asyncio.run(run(events, 3))
    assert set(pending_examples([place]).values()) == {0}


@settings(max_examples=100, deadline=None)
@given(histories())
def test_explanations_add_up_to_the_score(events):
    _, _, _, scores, _ = asyncio.run(run(events, 500))
    for fields in scores.values():
        if "explanation" not in fields:
            continue
        for task, (base, tops, rest) in msgspec.json.decode(fields["explanation"]).items():
            z = round(base * 1e4) + sum(round(effect * 1e4) for _, effect in tops) + round(rest * 1e4)
            shown = float(fields[task])
            value = np.expm1(z / 1e4) if task == "value" else 1 / (1 + np.exp(-z / 1e4))
            assert abs(min(max(value, 0.0), 1e6) - shown) <= 1e-3 * shown + 0.006


def naive_order(topics):
    """The rule in its plainest form: look at each topic's next record, take the lowest newest time."""
    shown, places, found = {}, dict.fromkeys(topics, 0), []
    while any(places[topic] < len(topics[topic]) for topic in topics):
        candidates = []
        for topic in topics:
            if places[topic] < len(topics[topic]):
                candidates.append((max(shown.get(topic, 0), topics[topic][places[topic]]), topic))
        key, topic = min(candidates)
        shown[topic] = key
        found.append((topic, places[topic]))
        places[topic] += 1
    return found


@given(st.fixed_dictionaries({topic: st.lists(st.integers(1, 20), max_size=8) for topic in INPUT_TOPICS}))
def test_the_order_is_that_of_the_rule(times):
    place = Place({topic: TopicPlace() for topic in INPUT_TOPICS})
    from collections import deque

    inboxes = {
        topic: deque(
            Arrived(
                topic,
                0,
                n,
                0.0,
                b"",
                b"",
                event=Forgotten(event_id="e", customer_id="a", occurred_at=START),
                at=float(at),
            )
            for n, at in enumerate(times[topic])
        )
        for topic in INPUT_TOPICS
    }
    items = in_order(inboxes, place, POLICY, lambda _topic: True, 1_000)
    assert [(item.arrived.topic, item.arrived.offset) for item in items] == naive_order(times)


def test_a_topic_that_has_not_answered_is_waited_for():
    place = Place({topic: TopicPlace() for topic in INPUT_TOPICS})
    from collections import deque

    event = Forgotten(event_id="e", customer_id="a", occurred_at=START)
    inboxes = {topic: deque() for topic in INPUT_TOPICS}
    inboxes["customers"].append(Arrived("customers", 0, 0, 0.0, b"", b"", event=event, at=5.0))
    assert list(in_order(inboxes, place, POLICY, lambda topic: topic != "transactions", 10)) == []
    assert len(list(in_order(inboxes, place, POLICY, lambda _topic: True, 10))) == 1


def test_a_time_far_beyond_the_others_is_refused():
    near = Purchase(
        event_id="1", customer_id="a", occurred_at=START, currency="GBP", channel="web",
        lines=(Line(product_id="p", quantity=1, unit_price=1),),
    )  # fmt: skip
    far = msgspec.structs.replace(near, event_id="2", occurred_at=START + timedelta(days=900))
    out, _, _, scores, place = asyncio.run(run([near, far, msgspec.structs.replace(near, event_id="3")], 500))
    assert [dict(headers)["streamscore-reason"] for _, _, headers in out["dead-letters"]] == [b"time_jump"]
    assert scores["a"]["orders"] == "2"
    assert place.time == START.timestamp()


def test_a_chunk_goes_with_its_last_reference():
    """A cycle would keep all objects of a chunk until the collector looks through them: a fifth of all time."""
    sold = {
        "currency": "GBP",
        "channel": "web",
        "lines": (Line(product_id="p", quantity=1, unit_price=2.5, brand="x"),),
    }
    events = [
        Purchase(event_id=f"e{n}", customer_id="abc"[n % 3], occurred_at=START + timedelta(days=10 * n), **sold)
        for n in range(30)
    ]
    asyncio.run(run(events, 10))  # what is kept for ever is made
    gc.collect()
    gc.disable()
    try:
        asyncio.run(run(events, 10))
        found = gc.collect()
    finally:
        gc.enable()
    assert found < 100  # asyncio's own


# No leak: what comes later changes no decision, and how topics arrive against each other changes no example.


async def decided(events):
    """What was asked at each decision, in order, and the score that its example says was served."""
    ledger, opened, served = MemoryLedger(), [], {}
    shard = Shard(await ledger.take(0), ledger, SHOP, 4)
    shard.receive(arrivals(events))
    while done := await shard.step(lambda _topic: True, MODELS, float("-inf")):
        opened += done[0].opened
    for entry in await ledger.outbox(0, 100_000):
        if entry.record.topic == "examples":
            task, rows = read_examples(entry.record.value)
            for row in rows:
                if "served" in row:
                    key = (task, row["at"], row["x"], row["a"])
                    served.setdefault(key, []).append(row["served"])
    return opened, {key: sorted(scores) for key, scores in served.items()}


def made_later(events, cut, shift, extra):
    """Other events after the cut: each dropped, moved, or of another customer; and some that are new."""
    found = []
    for number, event in enumerate(events[cut:]):
        moved = extra[number % len(extra)]
        if moved == 0 or event is None:
            continue
        at = event.occurred_at + timedelta(hours=shift)
        changed = {"occurred_at": at, "event_id": f"l{number}"}
        if getattr(event, "customer_id", None) is not None and moved == 2:
            changed["customer_id"] = "d"
        found.append(msgspec.structs.replace(event, **changed))
    return found


def until(events, cut):
    """Up to a cut, and after it only what happened later than all before: the premise of the law."""
    newest = max((event.occurred_at for event in events[:cut] if event is not None), default=START)
    return newest, lambda some: [event for event in some if event is not None and event.occurred_at > newest]


@settings(max_examples=50, deadline=None)
@given(
    histories(), st.integers(1, 39), st.sampled_from([0, 1, 24, 400]), st.lists(st.integers(0, 2), min_size=1, max_size=5)
)  # fmt: skip
def test_what_comes_later_changes_no_decision(events, cut, shift, extra):
    newest, only_later = until(events, cut)
    common = {"currency": "GBP", "channel": "web", "lines": (Line(product_id="p", quantity=1, unit_price=9.5),)}
    ends = [  # so far ahead that every outcome has matured
        Purchase(event_id=f"end{n}", customer_id="z", occurred_at=newest + timedelta(days=99 + n), **common)
        for n in range(2)
    ]
    before = events[:cut]
    one = before + only_later(events[cut:]) + ends[:1]
    other = before + sorted(only_later(made_later(events, cut, shift, extra)), key=lambda e: e.occurred_at) + ends
    (opened, served), (opened_too, served_too) = asyncio.run(decided(one)), asyncio.run(decided(other))
    at = newest.timestamp()
    early, early_too = ([one for one in some if one.at <= at] for some in (opened, opened_too))
    assert early == early_too
    for key in served.keys() & served_too.keys():  # one that is forgotten meanwhile has none
        if key[1] <= at:
            assert served[key] == served_too[key]


def test_the_law_would_see_a_leak():
    """Features of a decision that knew the next purchase differ: the comparison is not empty."""
    common = {"currency": "GBP", "channel": "web", "lines": (Line(product_id="p", quantity=1, unit_price=9.5),)}
    times = [START + timedelta(days=days) for days in (0, 30, 31)]
    events = [Purchase(event_id=f"{n}", customer_id="a", occurred_at=at, **common) for n, at in enumerate(times)]
    opened, _ = asyncio.run(decided(events))
    early = [one for one in opened if one.at <= times[1].timestamp()]
    assert len(early) >= 2
    leaked, _ = asyncio.run(decided([events[0], msgspec.structs.replace(events[1], occurred_at=START), events[2]]))
    assert [one for one in leaked if one.at <= times[1].timestamp()] != early


async def in_pieces(events, pieces):
    """Records come topic by topic in pieces of any size; a topic is waited for until all of it is there."""
    ledger = MemoryLedger()
    shard = Shard(await ledger.take(0), ledger, SHOP, 3)
    waiting = {topic: [] for topic in INPUT_TOPICS}
    for record in arrivals(events):
        waiting[record.topic].append(record)
    turn = 0
    while any(waiting.values()):
        topic = INPUT_TOPICS[pieces[turn % len(pieces)] % len(INPUT_TOPICS)]
        if not waiting[topic]:
            topic = next(topic for topic in INPUT_TOPICS if waiting[topic])
        size = 1 + pieces[(turn + 1) % len(pieces)]
        shard.receive(waiting[topic][:size])
        del waiting[topic][:size]
        turn += 1
        while await shard.step(lambda topic: not waiting[topic], MODELS, float("-inf")):
            pass
    rows = {}
    for entry in await ledger.outbox(0, 100_000):
        task, some = (entry.record.topic, [(entry.record.key, entry.record.value)])
        if entry.record.topic == "examples":
            task, some = read_examples(entry.record.value)
        if task not in ("sales", "segments"):  # these are sums of a chunk
            rows.setdefault(task, []).extend(some)
    return rows, ledger.shards[0].states, ledger.scores


@settings(max_examples=40, deadline=None)
@given(histories(), st.lists(st.integers(0, 9), min_size=1, max_size=12))
def test_how_topics_arrive_against_each_other_changes_nothing(events, pieces):
    whole, cut = asyncio.run(in_pieces(events, [0, 9])), asyncio.run(in_pieces(events, pieces))
    for one, other, what in zip(whole, cut, ("leaves", "states", "scores"), strict=True):
        assert one == other, what
