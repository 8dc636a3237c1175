"""Leagues of labels: who serves and why, what is served, and that all of it is repeatable."""

import math
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.customers.attributes import customer_pairs, offer_pairs
from models.customers.features import NATURAL
from models.league.boosting import BINS, UNIT, fit
from models.league.importance import importance
from models.league.labels import LabelLeague
from models.league.promotion import THRESHOLD, Contest
from models.league.roster import EARLIEST, MIXED, MIXTURE, TRIVIAL
from models.league.snapshot import freeze, thaw
from models.lifetimes.entrant import LifetimeEntrant
from models.serving import predict
from models.shard.members import on_rows, own
from schemas.lifetimes import Lifetimes
from schemas.serving import MixtureModel, TreesModel, decode_model, encode_model

KEY = b"a key of these tests"
MODEL = Lifetimes(version="1", family="pareto_nbd", r=0.6, alpha=40.0, s=0.6, beta=70.0, p=6.0, q=4.0, gamma=15.0,
                  customers=100, orders=2.0, tenure_days=100.0, recency_days=40.0, mean_order=25.0)  # fmt: skip


def examples(seed, count, slope=-0.8):
    """A curve in one feature, a colour, and a discount that works on red alone: lines do not see all of it."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        x = draw.normal(size=len(NATURAL)).astype(np.float16).astype(float)
        red, discount = draw.random() < 0.5, draw.random() < 0.5
        z = -1.5 + 1.5 * (abs(x[0]) > 1) + 2.5 * (red and discount) + slope * x[1]
        pairs = customer_pairs({"colour": "red" if red else "blue", "age": float(draw.integers(18, 80))})
        pairs += offer_pairs({"discount": 10.0 if discount else 0.0, "kind": "mail"})
        yield dict(zip(NATURAL, x.tolist(), strict=True)), pairs, float(draw.random() < 1 / (1 + math.exp(-z)))


def teach(league, seed, count, slope=-0.8):
    told = []
    for x, pairs, y in examples(seed, count, slope):
        keys = {pair.key: pair.value for pair in pairs}
        told.append(league.ask(x, keys))
        league.mature(x, y, None, 0.0, pairs=keys)
    return told


@pytest.fixture(scope="module")
def taught():
    league = LabelLeague("response", 0.1)
    league.promote("logistic", "by hand")
    teach(league, 3, 2_500)
    return league


@pytest.fixture
def churning():
    """A league with a buy-till-you-die model, before any label."""
    return LabelLeague("churn", 0.5, lifetimes={"pareto_nbd": LifetimeEntrant("churn", 90.0, 0.5, MODEL)})


def test_a_better_one_takes_over_with_its_reason(taught):
    promotions = [change for change in taught.changes if change.what == "promotion"][1:]
    assert promotions
    assert promotions[0].before == "logistic"
    assert "evidence" in promotions[0].reason
    assert taught.champion_name in {"boosted", MIXTURE}
    report = taught.report()
    champion, first = (report["models"][name]["log_loss"] for name in (taught.champion_name, "logistic"))
    assert champion < first
    assert len(promotions) <= 3


def served(league, rows):
    model = decode_model(encode_model(league.compiled(NATURAL)))
    x = np.array([list(x.values()) for x, _, _ in rows])
    attributes = own({row: pairs[:2] for row, (_, pairs, _) in enumerate(rows)})
    attributes = own({row: pairs[2:] for row, (_, pairs, _) in enumerate(rows)}, attributes)
    return model, on_rows(model, x, attributes, np.zeros(0, dtype=np.int64)), attributes


@pytest.mark.parametrize("name", [*MIXED, MIXTURE, *TRIVIAL])
def test_what_is_served_is_what_the_league_says(taught, name):
    taught.champion_name = name
    rows = list(examples(8, 60))
    model, found, _ = served(taught, rows)
    for (x, pairs, _), z in zip(rows, found.z.tolist(), strict=True):
        expected = taught.score_one(x, {pair.key: pair.value for pair in pairs})
        assert predict(model, z) == pytest.approx(expected, abs=1e-9)


def test_members_that_scale_alike_cost_as_much_as_one(taught):
    taught.champion_name = MIXTURE
    model = taught.compiled(NATURAL)
    assert len({one.clip for one in model.linear}) == len(model.linear) < len(MIXED) - len(model.trees)


@pytest.mark.parametrize("name", [*MIXED, MIXTURE])
def test_reasons_add_up_to_the_score(taught, name):
    taught.champion_name = name
    _, found, attributes = served(taught, list(examples(8, 60)))
    effects = np.bincount(attributes.rows, weights=found.effects, minlength=60)
    assert found.base + found.parts.sum(axis=1) + effects + found.missing == pytest.approx(found.z, abs=1e-9)


@pytest.mark.parametrize("name", ["boosted", MIXTURE])
def test_a_row_has_the_same_bits_in_any_company(taught, name):
    taught.champion_name = name
    rows = list(examples(8, 40))
    _, whole, _ = served(taught, rows)
    for start, size in ((0, 1), (7, 3), (20, 20)):
        _, part, _ = served(taught, rows[start : start + size])
        assert part.z.tolist() == whole.z[start : start + size].tolist()
        assert part.parts.tolist() == whole.parts[start : start + size].tolist()


def test_who_has_no_offer_is_scored_with_the_usual_one(taught):
    taught.champion_name = "boosted"
    model = taught.compiled(NATURAL)
    assert isinstance(model, TreesModel)
    x = np.zeros((2, len(NATURAL)))
    blue = customer_pairs({"colour": "blue"})
    without = on_rows(model, x, own({0: blue, 1: blue}), np.array([0, 1]))
    offers = own(
        {1: offer_pairs({"discount": float(np.expm1(_usual(model))), "kind": "mail"})}, own({0: blue, 1: blue})
    )
    assert on_rows(model, x, offers, np.array([0])).z == pytest.approx(without.z)


def _usual(model):
    number = next(pair.key for pair in offer_pairs({"discount": 1.0}))
    return model.usual[[*zip(model.keys, model.flags, strict=True)].index((number, False))]


@pytest.mark.parametrize("name", [*MIXED, MIXTURE])
def test_importance_is_the_spread_of_contributions(taught, name):
    taught.champion_name = name
    rows = list(examples(8, 400))
    model, found, _ = served(taught, rows)
    told = importance(model, taught.vocabulary, {pair.key: pair.label for _, pairs, _ in rows for pair in pairs})
    spread = dict(zip(found.names, found.parts.std(axis=0), strict=True))
    natural = {feature: size for feature, size in told.items() if feature in spread}
    assert natural
    if name == MIXTURE:  # members' spreads add up: what they say against each other counts twice
        return
    for feature, size in natural.items():
        # questions of several trees on one feature move together: the sum of their variances is a lower bound
        assert (0.15 if name == "boosted" else 0.6) * spread[feature] <= size <= 1.7 * spread[feature] + 0.02


def histories(count):
    """Customers as rows: between 1 and 60 days since the last order, and the fields that lifetimes read."""
    draw = np.random.default_rng(4)
    for _ in range(count):
        recency = draw.uniform(1.0, 60.0)
        natural = dict.fromkeys(NATURAL, 0.0)
        natural |= {"recency_days": recency, "orders": float(draw.integers(1, 6)), "tenure_days": recency + 40.0}
        yield {name: float(np.float16(np.log1p(value))) for name, value in natural.items()}


def test_before_any_label_lifetimes_serve_churn(churning):
    rows = list(histories(50))
    model = churning.compiled(NATURAL)
    found = on_rows(model, np.array([list(x.values()) for x in rows]), own({}), None)
    alone = [churning.learners["pareto_nbd"].score_one(x) for x in rows]
    assert [predict(model, z) for z in found.z.tolist()] == pytest.approx(alone, abs=1e-9)
    assert [churning.score_one(x) for x in rows] == pytest.approx(alone, abs=1e-9)
    assert np.ptp(alone) > 0.1
    assert found.base + found.parts.sum(axis=1) + found.missing == pytest.approx(found.z, abs=1e-9)
    told = importance(
        model, churning.vocabulary, histories=np.array([[x[n] for n in model.lifetimes[0].features] for x in rows])
    )
    spread = dict(zip(found.names, found.parts.std(axis=0).tolist(), strict=True))
    assert told == pytest.approx({name: spread[name] for name in ("recency_days", "orders", "tenure_days")}, abs=1e-4)


def test_labels_take_over_from_lifetimes_that_are_wrong(churning):
    """Who came lately leaves: all that lifetimes hold is upside down."""
    losses = {MIXTURE: [], "pareto_nbd": []}
    for seed in range(8):
        for x in histories(60):
            y = float(x["recency_days"] < np.log1p(20.0)) if seed else 0.0
            asked = churning.ask(x)
            for name, some in losses.items():
                some.append(-math.log(asked[name] if y else 1.0 - asked[name]))
            churning.mature(x, y, None, 0.0)
    assert np.mean(losses[MIXTURE][-200:]) < 0.5 * np.mean(losses["pareto_nbd"][-200:])


def test_a_restored_league_with_lifetimes_has_the_same_future(churning):
    def run(league):
        asked = []
        for number, x in enumerate(histories(80)):
            asked.append(league.ask(x))
            league.mature(x, float(number % 3 == 0), None, 0.0)
        return asked

    run(churning)
    restored = LabelLeague.restore(thaw(freeze(churning.state(), KEY), KEY))
    assert restored.mixed == churning.mixed
    assert run(restored) == run(churning)


def test_another_leads_the_mixture_once_the_world_has_turned_and_it_is_noted_with_its_reason():
    league = LabelLeague("response", 0.1)
    league.lead.name = "boosted"
    draw = np.random.default_rng(2)
    league.learners["boosted"].score_one = lambda x: draw.random()
    teach(league, 9, 1_500)
    leads = [change for change in league.changes if change.what == "lead"]
    assert (leads[0].before, league.lead.name) == ("boosted", leads[-1].model)
    assert len(leads) <= 3
    assert "evidence of" in leads[0].reason
    assert "in the mixture" in leads[0].reason
    assert league.champion_name == MIXTURE
    restored = LabelLeague.restore(thaw(freeze(league.state(), KEY), KEY))
    assert restored.lead == league.lead


def test_a_rate_takes_over_from_the_mixture_alone():
    league = LabelLeague("response", 0.1)
    league.promote("logistic", "by hand")
    league.contest.wealth = {"last_100": [2.0 * THRESHOLD] * 3}
    league._look()
    assert league.champion_name == MIXTURE
    assert "last_100" in league.changes[-1].reason
    league.contest.wealth = {"last_100": [2.0 * THRESHOLD] * 3}
    league._look()
    assert league.champion_name == "last_100"


def test_a_state_without_what_came_later_is_read():
    state = LabelLeague("response", 0.1).state()
    del state["learners"]["last_100"]["seen"]
    assert LabelLeague.restore(state).baselines["last_100"].compiled("response", "1", NATURAL) is not None


def test_a_restored_league_has_the_same_future():
    league = LabelLeague("response", 0.1)
    teach(league, 4, 700)
    restored = LabelLeague.restore(thaw(freeze(league.state(), KEY), KEY))
    assert teach(restored, 5, 400) == teach(league, 5, 400)
    assert restored.report() == league.report()


def test_a_champion_that_collapses_is_replaced():
    league = LabelLeague("response", 0.1)
    teach(league, 6, EARLIEST)
    league.promote("boosted", "by hand")
    draw = np.random.default_rng(2)
    league.learners["boosted"].score_one = lambda x: draw.random()
    league.learners["boosted"].learn_one = lambda x, y: None
    before = league.examples
    teach(league, 7, 1_500)
    away = next(change for change in league.changes if change.before == "boosted")
    assert away.examples - before <= 1_200


def test_nobody_is_promoted_for_luck():
    """No better than the champion: the threshold is passed in few of many long runs."""
    promoted = 0
    for seed in range(40):
        contest, draw = Contest(), np.random.default_rng(seed)
        for _ in range(1_000):
            contest.update(0.5 + draw.normal() * 0.3, {"other": 0.5 + draw.normal() * 0.3})
            promoted += contest.winner(["other"]) is not None
    assert promoted <= 40  # of 40,000 looks; one run that crosses makes several


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=200))
def test_wealth_agrees_with_multiplying_out(losses):
    contest = Contest()
    for champion, other in losses:
        contest.update(champion, {"other": other})
    naive = []
    for bet in (0.1, 0.3, 0.9):
        best = 0.0
        for start in range(len(losses)):  # the bets that began there and went on to the end
            wealth = 1.0
            for champion, other in losses[start:]:
                wealth *= 1.0 + bet * min(max((champion - other) / 2.0, -1.0), 1.0)
            best = max(best, wealth)
        naive.append(best)
    assert contest.evidence("other") == pytest.approx(sum(naive) / 3)


def test_a_flip_of_the_world_is_noticed_and_outlived():
    league = LabelLeague("response", 0.1)
    teach(league, 10, 1_500, slope=-3.0)
    told = teach(league, 11, 1_500, slope=3.0)
    assert league.drift.alarms.get("loss", 0) >= 1
    labels = [y for _, _, y in examples(11, 1_500, slope=3.0)]
    tail = slice(1_000, None)
    losses = [-math.log(a["dynamic"] if y else 1 - a["dynamic"]) for a, y in zip(told[tail], labels[tail], strict=True)]
    rate = np.mean(labels)
    trivial = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
    assert np.mean(losses) < trivial


def naive_best(x, y):
    """One question that separates two labels best, by trying all."""
    best = (-1.0, 0, 0.0)
    chance = y.mean()
    for column in range(x.shape[1]):
        values = np.unique(x[:, column])
        for cut in (values[1:] + values[:-1]) / 2:
            gain = sum((y[side] - chance).sum() ** 2 / (chance * (1 - chance) * side.sum() + 5.0)
                       for side in (x[:, column] > cut, x[:, column] <= cut))  # fmt: skip
            best = max(best, (round(gain, 9), -column, -cut))
    return -best[1], -best[2]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_first_question_is_the_best_one(seed):
    draw = np.random.default_rng(seed)
    x = draw.integers(0, BINS - 2, (80, 3)).astype(float)
    y = (draw.random(80) < np.where(x[:, seed % 3] > 12, 0.8, 0.2)).astype(float)
    if 0 < y.sum() < 80:
        from models.league import boosting

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(boosting, "ROW_SHARE", 2.0)
            patch.setattr(boosting, "COLUMN_SHARE", 2.0)
            trees = fit(x, y, 1, seed=seed)
        assert (trees.features[0, 0], trees.thresholds[0, 0]) == naive_best(x, y)


def test_leaves_are_whole_units_and_fits_repeat():
    draw = np.random.default_rng(1)
    x = draw.normal(size=(500, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(float)
    one, other = fit(x, y, 20, seed=5), fit(x, y, 20, seed=5)
    assert one.leaves.tolist() == other.leaves.tolist()
    assert np.all(one.leaves / UNIT == np.round(one.leaves / UNIT))
    order = np.argsort(one.predict(x))
    assert y[order[-100:]].mean() > 0.9
    assert y[order[:100]].mean() < 0.1


def test_a_serving_model_that_does_not_fit_together_is_refused():
    whole = {"task": "t", "version": "1", "features": ["a"], "intercept": 0.0, "columns": [0], "thresholds": [0.5],
             "leaves": [0.0, 1.0], "shares": [1.0, 1.0], "depth": 1, "model": "trees"}  # fmt: skip
    assert isinstance(decode_model(msgspec.json.encode(whole)), TreesModel)
    for broken in ({"columns": [1]}, {"leaves": [0.0]}, {"thresholds": []}, {"model": "oracle"}):
        with pytest.raises(msgspec.ValidationError):
            decode_model(msgspec.json.encode(whole | broken))
    with pytest.raises(msgspec.ValidationError):
        decode_model(b'{"task":"t","version":"1","features":[],"intercept":0,"weights":[1.0],"model":"mixture"}')
    assert MixtureModel(task="t", version="1", features=(), intercept=0.0, weights=()).weights == ()
    assert THRESHOLD > 1_000


@pytest.mark.parametrize("known", ["nothing", "a tier", "everything"])
def test_who_is_sampled_learns_the_share_that_is_told_whatever_is_known_of_customers(known):
    """One whose features are whole numbers, or all the same, is drawn as any other; in no order of their values."""
    league, draw = LabelLeague("response", 0.1), np.random.default_rng(5)
    learned, by_tier = Counter(), Counter()
    for number in range(8_000):
        x = dict.fromkeys(("orders", "spend", "sent"), 0.0)
        tier = number % 4
        if known == "everything":
            x = {name: float(np.float16(draw.exponential())) for name in x}
        pairs = {40: float(tier)} if known == "a tier" else {}
        drawn = league._drawn(x, pairs, 1.7e9 + 60.0 * number)
        learned.update(drawn & league.every.keys())
        by_tier[tier] += "tree" in drawn
    assert league.every.keys() >= {"tree", "net"}
    for name, share in league.every.items():
        assert learned[name] * share / 8_000 == pytest.approx(1.0, abs=0.2), name
    assert min(by_tier.values()) > 0.5 * max(by_tier.values())
