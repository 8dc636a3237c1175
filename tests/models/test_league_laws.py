"""Laws that every entrant obeys, and what the learners reach on data whose truth is known."""

import json
import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata

from models.league.baselines import OneFeatureRule, Persistence, RunningMean
from models.league.learners import COLD, classifier, regressor
from models.league.prequential import BinaryQuality
from models.league.roster import ENTRANTS as ROSTER
from models.league.roster import TRIVIAL
from models.league.snapshot import freeze, thaw
from models.serving import predictions, score_matrix

KEY = b"a key of these tests"
NAMES = [f"f{i}" for i in range(12)]
ENTRANTS = {
    "classifier": lambda: classifier(0.1),
    "regressor": lambda: regressor(30.0),
    **{name: (lambda make=make: make(0.1)) for name, make in (ROSTER | TRIVIAL).items() if name != "logistic"},
    "base_rate": lambda: RunningMean(0.1),
    "rule": lambda: OneFeatureRule("f4", 0.1),
    "persistence": lambda: Persistence("f3"),
}
PRIORS = {**dict.fromkeys(ROSTER | TRIVIAL, 0.1), "classifier": 0.1, "regressor": 30.0, "base_rate": 0.1, "rule": 0.1}
SHARES_OBJECTS = {"tree", "forest"}
"""Pickles of equal trees differ in which equal objects they share: their futures are compared instead."""
AMOUNTS = {"regressor", "persistence"}


def rows(seed: int, count: int, width: int = 12):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, width))
    x[:, 3] = np.exp(x[:, 3] * 1.5) * 50.0  # spend
    x[:, 4] = draw.poisson(3, count)
    x[:, 5] = x[:, 5] > 1.0
    return draw, x


def examples(seed: int, count: int, amounts: bool):
    draw, x = rows(seed, count)
    signal = x[:, 0] - 0.5 * x[:, 4]
    y = (draw.random(count) < 1 / (1 + np.exp(-signal))).astype(float)
    if amounts:
        y *= np.exp(4.0 + 0.5 * x[:, 1] + draw.normal(size=count) * 0.5)
    return [(dict(zip(NAMES, row, strict=True)), label) for row, label in zip(x.tolist(), y.tolist(), strict=True)]


def feed(name, learner, seed, count=120):
    scores = []
    for x, y in examples(seed, count, name in AMOUNTS):
        scores.append(learner.score_one(x))
        learner.learn_one(x, y)
    return scores


def law_restored_learner_has_the_same_future(name):
    original = ENTRANTS[name]()
    feed(name, original, seed=7)
    restored = type(original).restore(thaw(freeze(original.state(), KEY), KEY))
    assert feed(name, restored, seed=8) == feed(name, original, seed=8)


def law_x_is_neither_changed_nor_kept(name):
    shared, fresh, x = ENTRANTS[name](), ENTRANTS[name](), {}
    for row, y in examples(1, 60, name in AMOUNTS):
        x.clear()
        x.update(row)
        shared.learn_one(x, y)
        assert list(x.items()) == list(row.items())
        fresh.learn_one(dict(row), y)
    x.update(dict.fromkeys(NAMES, 1e6))
    assert feed(name, shared, seed=2) == feed(name, fresh, seed=2)


def law_score_learns_nothing(name):
    asked, quiet = ENTRANTS[name](), ENTRANTS[name]()
    for x, y in examples(1, 60, name in AMOUNTS):
        for _ in range(3):
            asked.score_one(x | {"never learned": 3.0})
        asked.learn_one(x, y)
        quiet.learn_one(x, y)
        if name not in SHARES_OBJECTS:
            assert freeze(asked.state(), KEY) == freeze(quiet.state(), KEY)
    assert feed(name, asked, seed=2) == feed(name, quiet, seed=2)


def law_cold_answers_the_prior(name):
    x = examples(1, 1, False)[0][0]
    assert ENTRANTS[name]().score_one(x) == pytest.approx(PRIORS.get(name, math.expm1(x["f3"])))
    assert ENTRANTS[name]().compiled("task", "0", NAMES) is None


def law_scores_stay_in_their_range(name):
    scores = feed(name, ENTRANTS[name](), seed=3)
    assert all(0.0 <= score < math.inf for score in scores)
    assert name in AMOUNTS or max(scores) <= 1.0


def law_one_huge_value_ends_nothing(name):
    learner = ENTRANTS[name]()
    feed(name, learner, seed=3)
    learner.learn_one(dict.fromkeys(NAMES, 1e300), 1.0)
    scores = feed(name, learner, seed=4)
    assert all(math.isfinite(score) for score in scores)


def law_examples_that_are_all_alike_end_nothing(name):
    for x in (dict.fromkeys(NAMES, 0.0), {}):
        learner = ENTRANTS[name]()
        for number in range(400):
            learner.learn_one(x, float(number % 4 == 0))
            assert 0.0 <= learner.score_one(x) < math.inf


LAWS = [law for name, law in sorted(globals().items()) if name.startswith("law_")]


@pytest.mark.parametrize(("name", "law"), product(ENTRANTS, LAWS))
def test_every_entrant_obeys(name, law):
    law(name)


@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_the_compiled_model_gives_the_learners_bits(name):
    learner = ENTRANTS[name]()
    feed(name, learner, seed=5, count=300)
    learner.learn_one(dict.fromkeys(NAMES, 0.0) | {"f12": 1.0}, 0.0)  # has not varied: weighs nothing
    serving = learner.compiled("task", "301", [*NAMES, "unseen"])
    fresh = [x for x, _ in examples(6, 50, False)]
    z, _ = score_matrix(serving, np.array([[*x.values(), 9.0] for x in fresh]))
    assert predictions(serving, z) == [learner.score_one(x) for x in fresh]
    assert serving.weights[-1] == 0.0


def test_nothing_is_compiled_while_cold():
    learner = classifier()
    feed("classifier", learner, seed=1, count=COLD - 1)
    assert learner.compiled("task", "1", NAMES) is None


def auc(y, scores):
    ranks, positives = rankdata(scores), y.sum()
    return (ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives))


def test_the_classifier_reaches_nine_tenths_of_the_truths_gain():
    draw, x = rows(11, 20_000)
    scaled = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -5, 5)
    truth = -2.0 + scaled @ (draw.normal(size=12) * 0.4)
    y = (draw.random(20_000) < 1 / (1 + np.exp(-truth))).astype(float)
    learner, scores = classifier(), []
    for row, label in zip(x.tolist(), y.tolist(), strict=True):
        features = dict(zip(NAMES, row, strict=True))
        scores.append(learner.score_one(features))
        learner.learn_one(features, label)
    gain = (auc(y, np.array(scores)) - 0.5) / (auc(y, truth) - 0.5)
    assert gain >= 0.9
    assert np.mean(scores) == pytest.approx(y.mean(), rel=0.05)


def test_the_regressors_totals_are_unbiased_and_an_outlier_passes():
    learner = regressor()
    stream = examples(12, 6_000, True)
    predicted = [learner.score_one(x) for x, y in stream if learner.learn_one(x, y) is None]
    assert sum(predicted[3_000:]) == pytest.approx(sum(y for _, y in stream[3_000:]), rel=0.1)
    x = stream[0][0]
    before = learner.score_one(x)
    learner.learn_one(stream[1][0], 1e9)
    assert learner.score_one(x) < 2.0 * before + 10.0


HASHED = """
import json
from tests_laws import ENTRANTS, feed
print(json.dumps([feed(name, ENTRANTS[name](), seed=1, count=60) for name in ENTRANTS]))
"""


def test_another_process_and_hash_seed_gives_the_same_bits():
    load = "import importlib.util as u, sys; s = u.spec_from_file_location('tests_laws', sys.argv[1]); m = u.module_from_spec(s); sys.modules['tests_laws'] = m; s.loader.exec_module(m)"
    told = [
        subprocess.run(
            [sys.executable, "-c", load + HASHED, __file__],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert json.loads(told[0])[0] == feed("classifier", ENTRANTS["classifier"](), seed=1, count=60)


@pytest.mark.parametrize("name", ["tree", "forest"])
def test_a_tree_of_river_learns_what_a_line_cannot(name):
    """The label says how far from the middle a value lies: a line is right half of the time."""
    draw, learner, scores, labels = np.random.default_rng(5), ROSTER[name](0.5), [], []
    for row in draw.uniform(-1.0, 1.0, (4_000, 3)).tolist():
        x, y = dict(zip("abc", row, strict=True)), float(abs(row[0]) > 0.5 + 0.2 * row[1])
        scores.append(learner.score_one(x))
        learner.learn_one(x, y)
        labels.append(y)
    assert auc(np.array(labels[3_000:]), np.array(scores[3_000:])) > 0.85


@pytest.mark.parametrize("name", ["hinge", "fourier"])
def test_a_machine_of_margins_ranks_where_one_label_is_rare(name):
    """The least hinge loss would be that of saying no to everybody."""
    draw, learner, quality = np.random.default_rng(2), ROSTER[name](0.1), BinaryQuality()
    for number in range(6_000):
        told = float(draw.random() < 0.5)
        x, y = {"told": told, "noise": float(draw.normal())}, draw.random() < (0.085 if told else 0.015)
        if number > 2_000:
            quality.update(y, learner.score_one(x), 0.0)
        learner.learn_one(x, float(y))
    assert quality.report()["auc"] > 0.62
