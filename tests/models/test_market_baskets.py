"""Pairs beside counting them one by one."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from models.market import baskets as counting
from models.market.baskets import LARGEST, Baskets
from models.market.pairs import Sketch, Triangle
from schemas.events import Purchase
from streams.replay import online_retail

SOME = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=6), max_size=30)


def naive(baskets):
    pairs, singles = Counter(), Counter()
    for basket in baskets:
        singles.update(set(basket))
        pairs.update(combinations(sorted(set(basket)), 2))
    return pairs, singles


def counted(learned, at_least=1):
    return {tuple(sorted((pair.a, pair.b))): pair for pair in learned.best("support", 10**6, at_least)}


def learn(baskets, **bounds):
    learned = Baskets(**bounds)
    for basket in baskets:
        learned.learn_one(basket)
    return learned


@given(SOME)
def test_exact_counts_agree_with_counting(baskets):
    pairs, singles = naive(baskets)
    found = counted(learn(baskets))
    assert {names: pair.support for names, pair in found.items()} == dict(pairs)
    for (a, b), pair in found.items():
        assert pair.lift == pytest.approx(pairs[a, b] * len(baskets) / (singles[a] * singles[b]))
        assert pair.low <= pair.lift * (1 + 1e-9)


@settings(max_examples=200)
@given(SOME, st.integers(1, 8), st.integers(2, 12))
def test_a_sketch_never_counts_too_much_and_says_by_how_much_too_little(baskets, exact, entries):
    pairs, _ = naive(baskets)
    learned = learn(baskets, exact=exact, entries=entries)
    found = counted(learned)
    for names, pair in found.items():
        assert pair.support <= pairs[names]
        assert pairs[names] - pair.support <= learned.pairs.error
    missing = [count for names, count in pairs.items() if names not in found]
    assert all(count <= learned.pairs.error for count in missing)
    if isinstance(learned.pairs, Sketch):
        assert len(learned.pairs._merged()[0]) <= entries


@given(SOME, SOME, st.integers(1, 8))
def test_a_restored_state_has_the_same_future_whenever_it_was_taken(before, after, exact):
    original = learn(before, exact=exact, entries=4)
    restored = Baskets.restore(original.state())
    untouched = learn(before, exact=exact, entries=4)
    for basket in after:
        for one in (original, restored, untouched):
            one.learn_one(basket)
    assert original.state() == restored.state() == untouched.state()


def test_places_in_the_triangle_are_found_again_at_its_far_end():
    triangle = Triangle(5_000)
    for pair in ((0, 1), (4_998, 4_999), (17, 4_999), (0, 4_999), (2_047, 2_048)):
        triangle.add(np.array(pair))
    low, high, _ = triangle.found(1)
    assert set(zip(low.tolist(), high.tolist(), strict=True)) == {
        (0, 1), (4_998, 4_999), (17, 4_999), (0, 4_999), (2_047, 2_048),
    }  # fmt: skip


def test_memory_of_the_counts_is_what_they_say():
    exact, sketch = Baskets(), Baskets(exact=10, entries=100)
    for baskets in (exact, sketch):
        for n in range(1_200):
            baskets.learn_one([f"p{n % 300}", f"p{(7 * n + 1) % 300}", f"p{n % 11}"])
    assert exact.pairs.nbytes == exact.pairs.counts.nbytes <= 4 * 600 * 599 // 2
    assert sketch.pairs.nbytes <= 100 * 24 + 8 * (2 * 100 + 3)  # entries, and pairs that wait


def test_a_giant_basket_is_cut_and_said_so():
    learned = learn([[f"p{n}" for n in range(LARGEST + 5)]])
    assert learned.cut == 1
    assert not learned.is_exact
    assert int(learned.singles.sum()) == LARGEST


def test_what_only_chance_brings_together_is_nobodys_partner():
    draw = np.random.default_rng(1)
    baskets = [[str(n) for n in np.flatnonzero(draw.random(40) < 0.2)] for _ in range(2_000)]
    together = [[*basket, "x", "y"] if draw.random() < 0.05 else basket for basket in baskets]
    baskets = learn(together)
    partners = {product: baskets.partners(product, 5, 10) for product in [*map(str, range(40)), "x"]}
    assert [pair.b for pair in partners.pop("x")][:1] == ["y"]
    assert sum(map(len, partners.values())) <= 2  # 800 pairs at 1 in 2,000


@pytest.fixture(scope="module")
def shop():
    found = (event for event in online_retail.events() if isinstance(event, Purchase))
    return [[line.product_id for line in event.lines] for event in found]


def best(learned, by):
    return {frozenset((pair.a, pair.b)) for pair in learned.best(by, 200, 50)}


def test_the_sketch_of_a_real_shop_finds_what_the_exact_counts_find(shop):
    exact, sketch = learn(shop), learn(shop, exact=100)
    assert exact.is_exact
    assert exact.cut == 0
    assert len(best(exact, "support") & best(sketch, "support")) >= 190
    assert len(best(exact, "lift") & best(sketch, "lift")) >= 100


def test_all_pairs_of_a_real_shop_are_those_of_a_product_of_matrices(shop):
    """Very large baskets included; none is cut."""
    some = [sorted(set(basket)) for basket in shop[:8_000]]
    assert max(map(len, some)) > 200
    names = {name: n for n, name in enumerate(sorted({name for basket in some for name in basket}))}
    rows = np.repeat(np.arange(len(some)), [len(basket) for basket in some])
    columns = np.array([names[name] for basket in some for name in basket])
    x = sparse.csr_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(len(some), len(names)))
    together, learned = sparse.triu(x.T @ x, 1).tocoo(), learn(some)
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    low, high, counts = learned.pairs.found(1)
    places = np.array([names[name] for name in learned.numbers])
    np.add.at(table, (np.minimum(places[low], places[high]), np.maximum(places[low], places[high])), counts)
    assert (table == together.toarray()).all()


def test_the_exact_counts_of_a_real_shop_are_those_of_a_loop(shop):
    some = [basket for basket in shop[:2_000] if len(set(basket)) <= 60]
    pairs, _ = naive(some)
    assert {names: pair.support for names, pair in counted(learn(some)).items()} == dict(pairs)


def test_what_is_beyond_the_products_told_apart_is_said(monkeypatch):
    monkeypatch.setattr(counting, "KNOWN", 10)
    learned = learn([[f"p{n}", f"p{n + 1}"] for n in range(30)] * 2)
    assert len(learned.numbers) == 10
    assert learned.uncounted == 2 * (2 * 30 - (1 + 2 * 9))
    assert Baskets.restore(learned.state()).uncounted == learned.uncounted
    assert learn([["a", "b"]]).uncounted == 0


def test_a_sketch_is_merged_once_for_all_that_look_before_the_next_basket(monkeypatch):
    some = [[f"p{n % 9}", f"p{n % 7}", "x"] if n % 5 else ["u", "v"] for n in range(400)]
    learned, merged = learn(some, exact=4, entries=60), 0
    before, plain = learned.pairs.state(), Sketch._merged

    def counted_merge(self):
        nonlocal merged
        merged += 1
        return plain(self)

    monkeypatch.setattr(Sketch, "_merged", counted_merge)
    first = [learned.partners(name, 8, 1) for name in learned.numbers]
    assert any(first)
    assert learned.pairs.error >= 0
    assert merged == 1
    assert learned.pairs.state() == before
    learned.learn_one(["p1", "x"])
    assert next(pair.support for pair in learned.best("support", 99, 1) if {pair.a, pair.b} == {"p1", "x"}) > 1
    assert merged == 2
