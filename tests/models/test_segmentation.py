"""Clusters recover what is there, keep their ids, and are assigned to the bit alike in any batch."""

import itertools
import math
from decimal import Decimal

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.segmentation import FEATURES, REST, Clusters, assign, explain_row
from models.segmentation.clusters import CAPACITY, CLUSTERED, EVERY, LOG
from models.segmentation.naming import about, name_segments
from models.segmentation.rfm import quintile_groups, scores
from schemas.segments import Segments, decode_segments, encode_segments

PLANTED = [  # recency_days, orders, spend, tenure_days, gap_mean_days
    (10, 12, 2000, 350, 30),
    (20, 3, 300, 200, 80),
    (250, 1, 60, 250, 0),
    (280, 8, 1500, 360, 15),
    (8, 1, 40, 9, 0),
]


def planted(n: int, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Customers about five centres, in log1p, and who belongs where."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(len(PLANTED), size=n)
    centres = np.log1p(np.array(PLANTED, dtype=float))
    return centres[truth] + draw.normal(scale=0.15, size=(n, 5)) + shift, truth


def shop(n: int, seed: int) -> np.ndarray:
    """Customers without clear groups, like a real shop's: orders geometric, spend lognormal."""
    draw = np.random.default_rng(seed)
    tenure = draw.uniform(1, 370, size=n)
    orders = 1 + np.floor(draw.exponential(draw.gamma(0.8, 4.0, size=n)))
    recency = np.where(orders > 1, tenure * draw.beta(1, 1 + orders / 2), tenure)
    gap = np.where(orders > 1, (tenure - recency) / np.maximum(orders - 1, 1), 0.0)
    spend = orders * draw.lognormal(5.5, 0.9, size=n)
    return np.log1p(np.column_stack([recency, orders, spend, tenure, gap]))


def fed(rows: np.ndarray, **options: int) -> Clusters:
    clusters = Clusters(**options)
    for row in rows.tolist():
        clusters.learn_one(row)
    return clusters


def compiled(clusters: Clusters) -> Segments:
    segments = clusters.compiled("1")
    assert segments is not None
    return segments


def adjusted_rand(a: np.ndarray, b: np.ndarray) -> float:
    """Hubert and Arabie (1985)."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    pairs = lambda counts: float((counts * (counts - 1) / 2).sum())  # noqa: E731 - a formula's part
    both, rows, columns, every = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), math.comb(len(a), 2)
    expected = rows * columns / every
    return (both - expected) / ((rows + columns) / 2 - expected)


@pytest.mark.parametrize("seed", range(4))
def test_planted_clusters_are_found(seed):
    rows, truth = planted(1_000, seed)
    ids, distances = assign(compiled(fed(rows, seed=seed)), rows[:, :3])
    assert adjusted_rand(ids, truth) > 0.97
    assert distances.shape == (1_000, 5)


def test_nothing_is_compiled_before_the_first_fit():
    rows, _ = planted(EVERY, 1)
    clusters = fed(rows[:-1])
    assert clusters.compiled("1") is None
    assert clusters.quality() == {
        "count": 5,
        "sizes": [],
        "ssq_ratio": None,
        "stability": None,
        "log": [],
        "baselines": {"rfm_quintiles": {"ssq_ratio": None}},
    }
    clusters.learn_one(dict(zip(FEATURES, rows[-1].tolist(), strict=True)))
    segments = compiled(clusters)
    assert sum(segments.sizes) == EVERY
    assert clusters.stability is None


def test_ids_survive_drift():
    """All customers get richer and older, by e in the end: their groups keep their ids on the way."""
    clusters, labels = Clusters(seed=3), []
    for step in range(40):
        rows, truth = planted(EVERY, step, shift=step / 40)
        for row in rows.tolist():
            clusters.learn_one(row)
        ids, _ = assign(compiled(clusters), rows[:, :3])
        labels.append([int(np.bincount(ids[truth == group], minlength=5).argmax()) for group in range(5)])
        assert clusters.stability is None or clusters.stability > 0.95
    assert labels == [labels[0]] * 40
    assert sorted(labels[0]) == list(range(5))


def test_a_group_that_comes_up_gets_a_segment_and_the_others_keep_theirs():
    rows, truth = planted(6_000, 8)
    clusters = fed(rows[truth != 3][:CAPACITY])
    before = compiled(clusters)
    for row in rows[2_000:].tolist():
        clusters.learn_one(row)
    after = compiled(clusters)
    labels = {
        group: [int(assign(s, rows[truth == group, :3])[0][0]) for s in (before, after)] for group in (0, 1, 2, 4)
    }
    assert adjusted_rand(assign(after, rows[:, :3])[0], truth) > 0.97
    assert sum(old == new for old, new in labels.values()) >= 3


@pytest.mark.parametrize("seed", range(5))
def test_as_tight_as_batch_k_means(seed):
    clusters = fed(shop(3_100, seed), seed=seed)
    assert clusters.ssq_ratio() <= 1.05
    assert clusters.stability > 0.8


def test_a_centre_without_customers_comes_back():
    rows, truth = planted(4_000, 5)
    clusters = fed(rows[:1_900])
    clusters.centres[2] = [50.0] * 3
    for row in rows[1_900:3_000].tolist():
        clusters.learn_one(row)
    assert min(clusters.sizes) > 200
    assert adjusted_rand(assign(compiled(clusters), rows[:, :3])[0], truth) > 0.97


def test_customers_all_alike_still_compile():
    clusters = fed(np.zeros((EVERY, 5)))
    segments = compiled(clusters)
    assert clusters.ssq_ratio() is None
    assert assign(segments, np.zeros((2, 3)))[0].tolist() == [0, 0]
    assert len(set(segments.names)) == 5


def test_the_window_is_bounded_and_follows_the_latest():
    old, _ = planted(2_500, 1)
    new, _ = planted(CAPACITY, 2, shift=3.0)
    clusters = fed(np.vstack([old, new]))
    assert len(clusters.recent) == CAPACITY
    assert clusters.recent == new.tolist()


SEGMENTS = compiled(fed(shop(1_000, 7)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 70), st.lists(st.integers(0, 70), max_size=6))
def test_any_cut_of_the_rows_gives_the_same_bits(seed, n, cuts):
    rows = shop(n, seed)[:, :3]
    ids, distances = assign(SEGMENTS, rows)
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [assign(SEGMENTS, np.asfortranarray(rows[a:b])) for a, b in itertools.pairwise(edges)]
    assert np.concatenate([part[0] for part in parts]).tolist() == ids.tolist()
    assert np.concatenate([part[1] for part in parts]).tobytes() == distances.tobytes()


def test_the_assignment_agrees_with_adding_up():
    rows = shop(50, 11)[:, :3]
    ids, distances = assign(SEGMENTS, rows)
    for row, found, apart in zip(rows, ids, distances, strict=True):
        z = [(v - m) / s for v, m, s in zip(row, SEGMENTS.mean, SEGMENTS.scale, strict=True)]
        naive = [math.dist(z, centre) for centre in SEGMENTS.centres]
        assert apart.tolist() == pytest.approx(naive)
        assert found == naive.index(min(naive))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 20), min_size=3, max_size=3))
def test_an_explanation_adds_up(row):
    ids, distances = assign(SEGMENTS, np.array([row]))
    explained = explain_row(SEGMENTS, np.array(row), int(ids[0]))
    own, other = sorted((distances[0] ** 2).tolist())[:2]
    total = sum((Decimal(str(share)) for _, share in explained), Decimal(0))
    assert float(total) == pytest.approx(other - own, abs=1e-4)
    assert total == total.quantize(Decimal("0.0001"))
    assert [name for name, _ in explained][-1] == REST
    assert explained[0][1] >= explained[1][1]
    assert {explained[0][0], explained[1][0]} <= set(CLUSTERED)


def test_an_explanation_names_what_separates():
    segments = Segments(
        version="1", features=FEATURES, mean=(0.0,) * 5, scale=(1.0,) * 5, names=("a", "b", "c"), sizes=(1, 1, 1),
        best=1, centres=((0.0,) * 5, (0.0, 0.0, 3.0, 0.0, 1.0), (9.0,) * 5),
    )  # fmt: skip
    assert explain_row(segments, np.zeros(5), 0) == [("spend", 9.0), ("gap_mean_days", 1.0), (REST, 0.0)]
    assert explain_row(segments, np.zeros(5), 1) == [("recency_days", 0.0), ("orders", 0.0), (REST, -10.0)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.integers(0, 900))
def test_a_restored_state_has_the_same_future(seed, cut):
    rows = shop(900, seed)
    original = fed(rows[:cut], seed=seed)
    restored = Clusters.restore(msgpack.unpackb(msgpack.packb(original.state())))
    for row in rows[cut:].tolist():
        original.learn_one(row)
        restored.learn_one(row)
    assert restored.state() == original.state()
    assert restored.compiled("2") == original.compiled("2")


def test_the_state_is_a_copy():
    clusters = fed(shop(EVERY, 1))
    state = clusters.state()
    state["recent"][0][0] = state["centres"][0][0] = -1.0
    assert clusters.recent[0][0] >= 0
    assert clusters.centres[0][0] != -1.0


@pytest.mark.parametrize(
    "row", [[1.0] * 4, [math.nan] + [1.0] * 4, [math.inf] + [1.0] * 4, dict.fromkeys(FEATURES[1:], 1.0)]
)
def test_a_row_that_cannot_be_learned_changes_nothing(row):
    clusters = Clusters()
    with pytest.raises((ValueError, KeyError)):
        clusters.learn_one(row)
    assert clusters == Clusters()


@pytest.mark.parametrize("k", [0, 1, 21])
def test_a_number_of_segments_that_cannot_be_filled_is_refused(k):
    with pytest.raises(ValueError, match="k is"):
        Clusters(k=k)


def test_names_say_what_the_planted_groups_are():
    rows, truth = planted(1_000, 1)
    segments = compiled(fed(rows))
    ids, _ = assign(segments, rows[:, :3])
    names = [segments.names[int(ids[truth == group][0])] for group in range(5)]
    assert names == [
        "loyal big spender, monthly, 2000 GBP",
        "occasional, quarterly, 300 GBP",
        "lapsed one-time buyer, 60 GBP",
        "lapsed big spender, monthly, 1500 GBP",
        "new one-time buyer, 40 GBP",
    ]
    assert segments.best == int(ids[truth == 0][0])


def test_nobody_is_a_big_spender_of_nothing():
    """Refunds may take all that a group has bought, and all that is usual."""
    usual = dict(zip(FEATURES, (math.log1p(30), math.log1p(3), 0.0, math.log1p(200), math.log1p(30)), strict=True))
    names = name_segments([usual | {"spend": math.log1p(spend)} for spend in (0.0, 0.4, 90.0)], usual, "EUR")
    assert names[0].startswith("occasional")
    assert names[1].startswith("occasional")
    assert names[2] == "big spender, monthly, 100 EUR"


def test_the_currency_is_said():
    rows, _ = planted(EVERY, 1)
    assert all(name.endswith(" EUR") for name in compiled(fed(rows, currency="EUR")).names)


def test_currency_survives_the_state():
    assert Clusters.restore(Clusters(currency="EUR").state()).currency == "EUR"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(-5, 60), min_size=5, max_size=5), min_size=1, max_size=6))
def test_names_are_unique(rows):
    centres = [dict(zip(FEATURES, row, strict=True)) for row in rows + rows[:1]]
    names = name_segments(centres, centres[0], "GBP")
    assert len(set(names)) == len(centres)
    assert names == name_segments(centres, centres[0], "GBP")


@given(st.floats(1, 1e9))
def test_about_is_within_a_third(amount):
    assert float(about(amount)) == pytest.approx(amount, rel=1 / 3)


def test_segments_come_back_from_json():
    assert decode_segments(encode_segments(SEGMENTS)) == SEGMENTS


@pytest.mark.parametrize(
    "change",
    [{"best": 5}, {"names": ["a"]}, {"mean": [0.0]}, {"scale": [0.0] * 5}, {"centres": []}, {"sizes": [-1] * 5}],
)
def test_segments_that_do_not_fit_together_are_refused(change):
    body = msgspec.json.encode(msgspec.to_builtins(SEGMENTS) | change)
    with pytest.raises(msgspec.ValidationError):
        decode_segments(body)


def test_a_row_of_another_width_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        assign(SEGMENTS, np.zeros((3, 4)))


def joined(clusters: Clusters) -> list[tuple[str, int, int | None]]:
    return [(change["kind"], change["segment"], change["other"]) for change in clusters.log]


def test_a_segment_that_is_given_up_ends_and_its_id_never_comes_back():
    rows, _ = planted(4_000, 5)
    clusters = fed(rows[:1_900])
    clusters.centres[2] = [50.0] * 3  # nobody is left there
    for row in rows[1_900:].tolist():
        clusters.learn_one(row)
    assert joined(clusters)[:2] == [("merge", 2, clusters.log[0]["other"]), ("split", 5, clusters.log[1]["other"])]
    assert sorted(clusters.ids) == [0, 1, 3, 4, 5]
    assert all(change["reason"] for change in clusters.log)
    segments = compiled(clusters)
    assert segments.numbers == tuple(clusters.ids)
    assert set(segments.named()) == {0, 1, 3, 4, 5}
    assert segments.best in clusters.ids


def test_drift_is_noted_with_what_moved():
    clusters = Clusters(seed=3)
    for step in range(40):
        rows, _ = planted(EVERY, step)
        rows[:, 2] += step / 20  # everybody spends more and more
        for row in rows.tolist():
            clusters.learn_one(row)
    drifts = [change for change in clusters.log if change["kind"] == "drift"]
    assert {change["segment"] for change in drifts} == set(range(5))
    assert all(change["reason"].startswith("spend went from") for change in drifts)


def test_calm_segments_leave_nothing_in_the_log():
    assert fed(planted(4_000, 2)[0]).log == []


def test_the_log_is_bounded():
    clusters = Clusters(seed=1)
    for step in range(120):
        for row in planted(EVERY, step, shift=3.0 * (step % 2))[0].tolist():
            clusters.learn_one(row)
    assert 0 < len(clusters.log) <= LOG


def naive_quintile(values, value):
    """Share of values below, in fifths."""
    borders = [np.quantile(values, share) for share in (0.2, 0.4, 0.6, 0.8)]
    return 1 + sum(value > border for border in borders)


def test_rfm_scores_are_quintiles():
    rows = shop(200, 3)
    found = scores(rows)
    for i in range(0, 200, 17):
        assert found[i].tolist() == [
            naive_quintile(-rows[:, 0], -rows[i, 0]),
            naive_quintile(rows[:, 1], rows[i, 1]),
            naive_quintile(rows[:, 2], rows[i, 2]),
        ]
    assert found.min() == 1
    assert found[:, 2].max() == 5


def test_learned_segments_are_tighter_than_quintiles():
    clusters = fed(shop(3_100, 1), seed=1)
    quality = clusters.quality()
    assert quality["ssq_ratio"] < quality["baselines"]["rfm_quintiles"]["ssq_ratio"]
    groups = quintile_groups(shop(500, 4), 5)
    assert set(groups.tolist()) == set(range(5))


def test_ids_must_be_different_and_the_best_one_of_them():
    good = compiled(fed(shop(1_000, 7)))
    with pytest.raises(ValueError, match="different"):
        msgspec.structs.replace(good, ids=(0, 0, 1, 2, 3))
    with pytest.raises(ValueError, match="best"):
        msgspec.structs.replace(good, ids=(9, 10, 11, 12, 13))
