"""Attributes: identity, missing apart from zero, a bounded number, the served model's and the learner's numbers alike."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.customers.attributes import (
    MAX_ATTRIBUTES,
    contact_pairs,
    customer_pairs,
    offer_pairs,
    pack_pairs,
    unpack_pairs,
)
from models.customers.features import NATURAL
from models.league.league import binary_league
from models.league.vocabulary import KNOWN_FROM, SLOTS, Vocabulary
from models.order import Item
from models.policy import Policy
from models.serving import score_matrix, score_pairs, sigmoid
from models.shard import Chunk, Shop
from models.shard.score import with_said
from models.shard.walk import walk
from schemas.commit import Arrived, Commit, Place
from schemas.events import Converted, Customer, Sent
from schemas.serving import KIND, OFFER, ONE_HOT, decode_model, encode_model
from streams.backtest import backtest

VALUES = st.none() | st.booleans() | st.text(max_size=8) | st.floats(allow_nan=False)
ATTRIBUTES = st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=20)


def of_customer(**attributes):
    return customer_pairs(attributes)


@given(ATTRIBUTES, ATTRIBUTES)
def test_what_is_packed_comes_back_bit_by_bit(customer, offer):
    pairs = customer_pairs(customer) + offer_pairs(offer)
    body = pack_pairs(pairs)
    assert list(unpack_pairs(body).items()) == [(pair.key, pair.value) for pair in pairs]
    assert all(math.isfinite(pair.value) and 0 <= pair.key <= 0xFFFF and pair.key > KIND for pair in pairs)
    assert len(body) <= 1 + 6 * len(pairs)


def test_missing_is_not_zero_and_an_offer_is_not_a_customer():
    assert of_customer(age=None) == ()
    zero = of_customer(age=0.0)
    assert [(pair.value, pair.label) for pair in zero] == [(0.0, "age")]
    assert {pair.key for pair in of_customer(age=1, job="a", vip=True)}.isdisjoint(
        pair.key for pair in offer_pairs({"age": 1, "job": "a", "vip": True})
    )
    assert offer_pairs({"job": "a"})[0].label == "offer job=a"
    assert all(pair.key & OFFER for pair in offer_pairs({"age": 1.0, "job": "b"}))


def test_a_thousand_attributes_of_an_offer_are_bounded():
    assert len(offer_pairs({f"a{n:04}": 1.0 for n in range(1_000)})) <= MAX_ATTRIBUTES


def key_of(n):
    return (n + 1) << 2 | ONE_HOT


def test_the_most_active_values_are_known_and_the_others_are_rare_together():
    known = Vocabulary()
    for n in range(SLOTS * 3):
        for _ in range(KNOWN_FROM if n < SLOTS * 2 else 1):
            known.learn({key_of(n): 1.0})
    assert len(known.slots) == SLOTS
    assert known.features({key_of(SLOTS * 3 - 1): 1.0}) == {f"@{known.slots[ONE_HOT]}?": 1.0}
    for _ in range(KNOWN_FROM + 1):
        changed = known.learn({key_of(SLOTS * 3): 1.0})
    assert changed or key_of(SLOTS * 3) in known.slots
    assert len(known.slots) == SLOTS
    assert sorted(known.slots.values()) == list(range(SLOTS))


def test_a_slot_that_changes_hands_starts_from_nothing():
    league, x = binary_league("response", 0.1), dict.fromkeys(NATURAL, 0.0)
    for n in range(200):
        league.mature(x, n % 2, None, 0.0, pairs={key_of(0): 1.0} if n % 2 else {})
    slot = f"@{league.vocabulary.slots[key_of(0)]}?"
    assert league.champion._linear.weights[slot] > 0.1
    league.vocabulary.counts |= dict.fromkeys(league.vocabulary.slots, 1.0)  # long ago
    for n in range(SLOTS):
        for _ in range(KNOWN_FROM):
            league._know({key_of(1_000 + n): 1.0})
    assert key_of(0) not in league.vocabulary.slots
    assert league.champion._linear.weights[slot] == 0.0


def taught(count=400):
    draw, league = np.random.default_rng(5), binary_league("response", 0.1)
    for _ in range(count):
        age, red = draw.uniform(18, 80), draw.random() < 0.4
        pairs = of_customer(age=age, colour="red" if red else "blue") + offer_pairs(
            {"discount": draw.choice([0.0, 20.0])}
        )
        label = draw.random() < (0.7 if red else 0.1)
        x = dict(zip(NATURAL, draw.normal(size=len(NATURAL)).tolist(), strict=True))
        league.mature(x, label, None, 0.0, pairs={pair.key: pair.value for pair in pairs})
    return league


def test_the_served_model_gives_the_learners_score():
    league = taught()
    served = decode_model(encode_model(league.compiled(NATURAL)))
    assert served.features == NATURAL
    x = dict(zip(NATURAL, np.linspace(-1, 1, len(NATURAL)).tolist(), strict=True))
    pairs = of_customer(age=33, colour="red") + offer_pairs({"discount": 20.0, "never seen": "x"})
    z, _ = score_matrix(served, np.array([list(x.values())]))
    sums, effects = score_pairs(served, [0] * len(pairs), [p.key for p in pairs], [p.value for p in pairs], 1)
    expected = league.score_one(x, {pair.key: pair.value for pair in pairs})
    assert sigmoid(float(z[0] + sums[0])) == pytest.approx(expected, abs=1e-12)
    assert math.fsum(effects) == pytest.approx(sums[0])
    by_label = {pair.label: effect for pair, effect in zip(pairs, effects.tolist(), strict=True)}
    assert max(by_label, key=lambda label: by_label[label]) == "colour=red"


def test_a_model_of_an_older_release_still_serves():
    older = {"task": "response", "version": "3", "features": ["recency_days", "attribute_7"], "mean": [1.0, 0.5],
             "scale": [2.0, 1.0], "clip": 5.0, "weights": [0.3, 0.9], "intercept": -1.0, "link": "logit"}  # fmt: skip
    import msgspec

    from models.serving_set import ServingSet
    from models.shard.score import score

    model = decode_model(msgspec.json.encode(older))
    row = [0.0] * len(NATURAL)
    scores = score([row], {0: of_customer(age=4.0)}, {}, ServingSet(response=model))
    assert scores.values["response"][0] == sigmoid(-1.0 + 0.3 * (0.0 - 1.0) / 2.0)


@pytest.mark.parametrize(
    ("recency", "orders", "told"), [(0.0, 0.0, 1), (0.0, 0.002, 1), (0.0, 0.5, 2), (np.e - 1.0, 0.0, 0)]
)
def test_a_reason_that_adds_nothing_is_left_out(recency, orders, told):
    import msgspec

    from models.serving_set import ServingSet
    from models.shard.score import explanations, score

    plain = {"task": "response", "version": "3", "features": ["recency_days", "orders"], "mean": [1.0, 0.0],
             "scale": [1.0, 1.0], "clip": 5.0, "weights": [0.3, 0.9], "intercept": -1.0, "link": "logit"}  # fmt: skip
    row = [{"orders": orders, "recency_days": recency}.get(name, 0.0) for name in NATURAL]
    scores = score([row], {}, {}, ServingSet(response=decode_model(msgspec.json.encode(plain))), [0])
    base, tops, rest = msgspec.json.decode(explanations(scores)[0])["response"]
    assert len(tops) == told
    assert all(effect != 0.0 for _, effect in tops)
    assert base + sum(effect for _, effect in tops) + rest == pytest.approx(scores.z["response"][0], abs=1e-4)


def contacts(count):
    """Only the attributes tell who answers: red customers, where the offer is a discount."""
    draw, at = np.random.default_rng(9), datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(count):
        at += timedelta(minutes=30)
        red, discount = draw.random() < 0.5, draw.random() < 0.5
        common = {"customer_id": f"c{n}", "occurred_at": at}
        yield Customer(event_id=f"a{n}", attributes={"colour": "red" if red else "blue"}, **common)
        engaged = common | {"campaign_id": "spring", "channel": "email"}
        offer = {"kind": "discount" if discount else "news"}
        yield Sent(event_id=f"s{n}", attributes=offer, window_seconds=3_600.0, **engaged)
        if draw.random() < 0.05 + 0.3 * red + 0.3 * discount:
            yield Converted(event_id=f"k{n}", **(engaged | {"occurred_at": at + timedelta(minutes=10)}))


def test_attributes_alone_carry_a_response_model_and_its_reasons():
    test = backtest(contacts(3_000), Shop(Policy()))
    task = test.report()["tasks"]["response"]
    assert task["examples"] > 2_900
    assert task["models"]["logistic"]["auc"] > 0.68  # the truth's own is .75
    reasons = [fields["explanation"] for fields in test.ledger.scores.values()]
    named = sum("colour=" in reason for reason in reasons[-500:])
    assert named > 450


def campaigns(count):
    """Only the campaign tells who answers."""
    draw, at = np.random.default_rng(3), datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(count):
        at += timedelta(minutes=30)
        which = int(draw.integers(4))
        engaged = {"customer_id": f"c{n}", "occurred_at": at, "campaign_id": f"k{which}", "channel": "email"}
        yield Sent(event_id=f"s{n}", window_seconds=3_600.0, **engaged)
        if draw.random() < (0.02, 0.1, 0.3, 0.5)[which]:
            yield Converted(event_id=f"k{n}", **(engaged | {"occurred_at": at + timedelta(minutes=10)}))


def test_the_campaign_alone_carries_a_response_model():
    task = backtest(campaigns(2_500), Shop(Policy())).report()["tasks"]["response"]
    assert task["examples"] > 2_400
    assert task["models"][task["champion"]]["auc"] > 0.7  # the truth's own is .77


def test_a_contact_is_known_by_campaign_and_channel_unless_its_offer_says_otherwise():
    labels = {pair.label for pair in contact_pairs("spring", "email", {"discount": 5.0})}
    assert labels == {"offer campaign_id=spring", "offer channel=email", "offer discount"}
    assert contact_pairs("spring", "email", {"channel": "app"}) == contact_pairs("spring", "app")
    assert len(contact_pairs("spring", "email", {f"a{n:03}": 1.0 for n in range(200)})) == MAX_ATTRIBUTES + 2


SIZES = st.integers(-4, 4)


@given(SIZES, SIZES, st.lists(SIZES, max_size=6))
def test_the_two_that_move_a_score_most_are_told(one, two, units):
    tops = sorted([("a", one), ("b", two)], key=lambda top: -abs(top[1]))
    labels = [f"said {place}" for place in range(len(units))]
    naive = sorted([*tops, *zip(labels, units, strict=True)], key=lambda top: -abs(top[1]))[:2]
    assert with_said(tops, range(len(units)), units, labels) == naive


def test_attributes_beyond_the_bound_are_counted():
    many = {f"a{n:02}": 1.0 for n in range(MAX_ATTRIBUTES + 3)}
    common = {"customer_id": "a", "occurred_at": datetime(2026, 1, 1, tzinfo=UTC)}
    events = [
        Customer(event_id="1", **common, attributes=many),
        Customer(event_id="2", **common, attributes={"a00": 2.0}),
        Sent(event_id="3", **common, attributes=many, campaign_id="k", channel="email"),
        Sent(event_id="4", **common, attributes={"a": 1.0}, campaign_id="l", channel="email"),
    ]
    commit = Commit(Place())
    arrived = [
        Arrived("customers", 0, n, 0.0, b"a", b"", event=event, at=event.occurred_at.timestamp())
        for n, event in enumerate(events)
    ]
    chunk = Chunk(0, None, Place(), [Item(one.at, one, 0.0) for one in arrived], {"a": None})
    walk(chunk, Shop(Policy(), (), 1), commit)
    assert commit.counts.ignored == {"customer": 3, "sent": 3}
