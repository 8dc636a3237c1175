"""Sentiment, and the league of classes that judges it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.brand.book import BrandBook, sentiment_league
from models.brand.sentiment import CLASSES, MAX_TEXT, NEGATIVE, Blend, BrandShare, NaiveBayes, Saying, label, words
from models.league.classes import MAX_CLASSES, ClassLeague, ClassQuality
from models.league.snapshot import freeze, thaw

BAD, GOOD, PLAIN = ("late", "rude", "lost bag"), ("thanks", "great crew", "love it"), ("gate", "flight", "when is")


def sayings(n, seed):
    """Texts whose sentiment lies in one word, among words that tell nothing; one in ten mislabelled."""
    draw = np.random.default_rng(seed)
    for _ in range(n):
        y = int(draw.integers(3))
        told = (BAD, PLAIN, GOOD)[y]
        filler = " ".join(draw.choice(["the", "my", "today", "plane", "seat"], 4))
        shown = y if draw.random() > 0.1 else int(draw.integers(3))
        yield Saying(f"{filler} {told[int(draw.integers(3))]} {filler}", f"brand {draw.integers(3)}"), shown


def test_words_are_learned_beyond_every_trivial_answer():
    league = sentiment_league()
    for saying, y in sayings(600, 1):
        p = league.mature(saying, y, CLASSES, 0.0, NEGATIVE)
        assert math.isclose(math.fsum(p), 1.0, rel_tol=1e-6)
    report = league.report()
    assert report["models"][report["champion"]]["accuracy"] > 0.8
    assert report["baselines"]["brand_share"]["accuracy"] < 0.5
    assert report["models"]["words_and_pieces"]["auc"] > 0.9
    moved = league.entrants["words_and_pieces"].moved(Saying("late thanks seat", "brand 1"))
    assert moved["late"] > abs(moved["seat"])
    assert moved["thanks"] < -abs(moved["seat"])


@pytest.mark.parametrize("make", [Blend, NaiveBayes, BrandShare])
def test_a_restored_learner_has_the_same_future(make):
    original = make()
    assert [round(p, 6) for p in original.score_one(Saying("x", "y"))] == [round(1 / 3, 6)] * 3
    for saying, y in sayings(80, 2):
        original.learn_one(saying, y)
    restored = make.restore(thaw(freeze(original.state(), b"k"), b"k"))
    for saying, y in sayings(80, 3):
        assert original.score_one(saying) == restored.score_one(saying)
        original.learn_one(saying, y)
        restored.learn_one(saying, y)


@given(st.text(max_size=300), st.text(max_size=20), st.integers(0, 2))
def test_any_text_can_be_scored_and_learned(text, brand, y):
    learner = Blend()
    learner.learn_one(Saying(text, brand), y)
    p = learner.score_one(Saying(text, brand))
    assert math.isclose(sum(p), 1.0, rel_tol=1e-6)
    assert p[y] == max(p)


def test_words_of_a_text_are_bounded_and_made_alike():
    assert len(words("a " * 10_000)) <= MAX_TEXT
    assert words("Soooo LATE!!! 15 min") == words("soo late!!! 99 min")
    assert words("don\u2019t") == ["don't"]


def test_stars_are_labels():
    assert [CLASSES[label(stars)] for stars in (1.0, 2.4, 2.5, 3.4, 3.5, 5.0)] == [
        "negative", "negative", "neutral", "neutral", "positive", "positive",
    ]  # fmt: skip


def test_text_without_a_rating_is_scored_and_not_learned():
    book = BrandBook("GBP")
    row = {"at": 0.0, "day": 1, "brand": "ash", "category": None}
    for _ in range(40):
        book.said(row | {"rating": 1.0, "text": "late again"})
        book.said(row | {"rating": 5.0, "text": "thanks a lot"})
    learned = book.sayings.examples
    for _ in range(10):
        book.said(row | {"day": 2, "rating": None, "text": "late again"})
    book.said(row | {"day": 2, "rating": None, "text": None})
    assert book.sayings.examples == learned == 80
    image = book.report()[":ash"]["image"]
    assert image["sayings_of_day"] == 10
    assert image["negative_share"] > 0.8
    book.said(row | {"day": 3, "rating": 2.0, "text": None})  # stars alone count as they are
    assert book.report()[":ash"]["image"]["negative_share"] == 1.0


def naive_macro_f1(pairs, names):
    scores = []
    for name in names:
        both = sum(1 for foreseen, came in pairs if foreseen == came == name)
        either = sum(1 for foreseen, came in pairs for one in (foreseen, came) if one == name)
        if either:
            scores.append(2 * both / either)
    return sum(scores) / len(scores)


@given(st.lists(st.tuples(st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3), st.integers(0, 2)), min_size=2))
def test_quality_agrees_with_counting(examples):
    quality = ClassQuality()
    pairs, losses = [], []
    for raw, y in examples:
        p = [one / sum(raw) for one in raw]
        quality.update(CLASSES, p, y, 0.0, None)
        pairs.append((CLASSES[p.index(max(p))], CLASSES[y]))
        losses.append(-math.log(p[y]))
    report, n = quality.report(), len(examples)
    assert report["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / n)
    assert report["log_loss"] == pytest.approx(sum(losses) / n)
    assert report["macro_f1"] == pytest.approx(naive_macro_f1(pairs, CLASSES))


def test_what_came_before_is_learned_and_not_judged():
    league = ClassLeague("t", {"share": BrandShare()}, {}, judge_from=100.0)
    for at in range(200):
        league.mature(Saying("x", "y"), int(at < 100), CLASSES, float(at), NEGATIVE)
    report = league.report()
    assert (report["examples"], report["judged"], report["positives"]) == (200, 100, 100)
    assert report["models"]["share"]["accuracy"] < 0.5  # it had learned the opposite


def test_classes_beyond_the_bound_are_one():
    quality = ClassQuality()
    for number in range(MAX_CLASSES + 50):
        quality.update([f"c{number}", "other"], [0.9, 0.1], 0, 0.0, None)
    assert len(quality.classes) <= MAX_CLASSES + 1


class Fixed:
    """Always the same answer."""

    kind = "fixed"

    def __init__(self, p):
        self.p = p

    def score_one(self, x):
        return [self.p, 1 - self.p]

    def learn_one(self, x, y):
        pass

    def state(self):
        return {"kind": self.kind, "p": self.p}

    @classmethod
    def restore(cls, state):
        return cls(state["p"])


def test_a_challenger_that_is_clearly_better_becomes_champion_and_stays_restored():
    league = ClassLeague("t", {"bad": Fixed(0.2), "good": Fixed(0.8), "alike": Fixed(0.801)}, {"base": Fixed(0.99)})
    for _ in range(150):
        league.mature(None, 0, ("a", "b"), 0.0)
    assert league.champion in ("good", "alike")
    before = league.champion
    [change] = league.report()["changes"]
    assert (change["examples"], change["what"], change["model"], change["before"]) == (100, "promotion", before, "bad")
    assert change["reason"] == f"its log loss is {-math.log(league.entrants[before].p):.4f}, not {-math.log(0.2):.4f}"
    for _ in range(500):
        league.mature(None, 0, ("a", "b"), 0.0)
    assert league.champion == before  # a hair's breadth is no reason to change
    again = ClassLeague("t", {"bad": Fixed(0.0), "good": Fixed(0.0), "alike": Fixed(0.0)}, {"base": Fixed(0.0)})
    again.restore(thaw(freeze(league.state(), b"k"), b"k"))
    assert (again.champion, again.report()) == (league.champion, league.report())
