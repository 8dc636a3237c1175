"""Binned quality beside naive, exact figures.

Tolerances come from the bins: 2,048 over +-12 logits, 256 a month, 64 x 64 for ranks.
"""

import math
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from models.league.prequential import MONTHS, AmountQuality, BinaryQuality

DAY = 86_400.0
START = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


def naive_auc(y, p):
    ups, downs = [s for s, t in zip(p, y, strict=True) if t], [s for s, t in zip(p, y, strict=True) if not t]
    if not ups or not downs:
        return None
    return sum((u > d) + 0.5 * (u == d) for u in ups for d in downs) / (len(ups) * len(downs))


def naive_average_precision(y, p):
    order = sorted(range(len(y)), key=lambda i: -p[i])
    hits, total = 0, 0.0
    for seen, i in enumerate(order, start=1):
        hits += int(y[i])
        total += hits / seen if y[i] else 0.0
    return total / hits


def naive_ece(y, p):
    total = 0.0
    for b in range(10):
        inside = [i for i in range(len(y)) if min(int(p[i] * 10), 9) == b]
        if inside:
            total += abs(sum(p[i] for i in inside) - sum(y[i] for i in inside)) / len(y)
    return total


def naive_share(y, p):
    best = sorted(range(len(y)), key=lambda i: -p[i])[: len(y) // 10]
    return sum(y[i] for i in best) / sum(y)


def labelled(seed, count=2_000):
    draw = np.random.default_rng(seed)
    z = draw.normal(-1.5, 1.5, size=count)
    y = (draw.random(count) < 1 / (1 + np.exp(-0.7 * z))).astype(int)
    return y.tolist(), (1 / (1 + np.exp(-z))).tolist(), (START + np.sort(draw.random(count)) * 90 * DAY).tolist()


@pytest.mark.parametrize("seed", range(3))
def test_binary_quality_agrees_with_the_naive_figures(seed):
    y, p, at = labelled(seed)
    quality = BinaryQuality()
    for one in zip(y, p, at, strict=True):
        quality.update(*one)
    told = quality.report()
    assert told["auc"] == pytest.approx(naive_auc(y, p), abs=0.002)
    assert told["pr_auc"] == pytest.approx(naive_average_precision(y, p), abs=0.01)
    losses = [-math.log(s if t else 1 - s) for t, s in zip(y, p, strict=True)]
    assert told["log_loss"] == pytest.approx(sum(losses) / len(y))
    assert told["brier"] == pytest.approx(sum((s - t) ** 2 for t, s in zip(y, p, strict=True)) / len(y))
    assert told["ece"] == pytest.approx(naive_ece(y, p))
    assert told["lift_10"] == pytest.approx(10 * naive_share(y, p), abs=0.1)
    months = {}
    for t, s, a in zip(y, p, at, strict=True):
        months.setdefault(datetime.fromtimestamp(a, UTC).month, []).append((t, s))
    assert told["auc_within"] == pytest.approx(
        np.mean([naive_auc(*zip(*month, strict=True)) for month in months.values()]), abs=0.01
    )


def test_within_months_is_not_fooled_by_a_trend():
    """A score that only knows the season has an AUC over all, and none inside the months."""
    draw, quality = np.random.default_rng(0), BinaryQuality()
    for i in range(4_000):
        rate = 0.1 if i < 2_000 else 0.6
        quality.update(float(draw.random() < rate), rate, START if i < 2_000 else START + 40 * DAY)
    told = quality.report()
    assert told["auc"] > 0.7
    assert told["auc_within"] == 0.5


def test_months_are_bounded():
    quality = BinaryQuality()
    for month in range(60):
        quality.update(1, 0.5, START + month * 31 * DAY)
    assert len(quality.months) == MONTHS
    newest = max(quality.months)
    quality.update(1, 0.5, START - 900 * DAY)
    assert len(quality.months) == MONTHS
    assert max(quality.months) == newest


@pytest.mark.parametrize("seed", range(3))
def test_amount_quality_agrees_with_the_naive_figures(seed):
    draw = np.random.default_rng(seed)
    p = np.exp(draw.normal(4, 1.2, size=3_000))
    y = np.where(draw.random(3_000) < 0.6, p * np.exp(draw.normal(size=3_000) * 0.8), 0.0)
    quality = AmountQuality()
    for actual, score in zip(y.tolist(), p.tolist(), strict=True):
        quality.update(actual, score, START)
    told = quality.report()
    assert told["mae"] == pytest.approx(np.abs(p - y).mean())
    assert told["rmse"] == pytest.approx(np.sqrt(((p - y) ** 2).mean()))
    assert told["total_ratio"] == pytest.approx(p.sum() / y.sum())
    assert told["spearman"] == pytest.approx(spearmanr(p, y).statistic, abs=0.01)
    assert told["top_10_share"] == pytest.approx(naive_share(y.tolist(), p.tolist()), abs=0.01)


@pytest.mark.parametrize("quality", [BinaryQuality(), AmountQuality()])
def test_nothing_seen_is_none_and_what_is_not_a_number_is_not_judged(quality):
    quality.update(1.0, math.nan, START)
    quality.update(math.inf, 0.5, START)
    assert quality.count == 0
    assert set(quality.report().values()) == {None}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=40))
def test_figures_stay_in_their_range(pairs):
    binary, amounts = BinaryQuality(), AmountQuality()
    for label, score in pairs:
        binary.update(label, score, START)
        amounts.update(score * 1e9, float(label), START)
    told = binary.report()
    assert all(told[name] is None or 0.0 <= told[name] <= 1.0 for name in ("auc", "pr_auc", "brier", "ece"))
    assert told["lift_10"] is None or 0.0 <= told["lift_10"] <= 10.0 + 1e-9
    rank = amounts.report()["spearman"]
    assert rank is None or -1.0 - 1e-9 <= rank <= 1.0 + 1e-9
    for quality in (binary, amounts):
        assert msgspec.convert(msgspec.to_builtins(quality), type(quality)) == quality
