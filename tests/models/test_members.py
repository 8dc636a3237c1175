"""A row is scored to the same bits alone, among few and among many: trees, mixtures, attributes and all."""

import numpy as np

from models.customers.attributes import customer_pairs, offer_pairs
from models.customers.features import NATURAL
from models.shard.members import on_rows, own
from schemas.serving import KIND, OFFER, ONE_HOT, LinearModel, MixtureModel, TreesModel

DRAW = np.random.default_rng(5)
ROWS = 40
CUSTOMERS = [
    customer_pairs({"age": float(n), "town": f"t{n % 7}", "street": f"s{n}", "lane": f"l{n}"}) for n in range(ROWS)
]
OFFERS = {n: offer_pairs({"discount": n / 7, "arm": "ab"[n % 2]}) for n in range(0, ROWS, 3)}
KNOWN = sorted({pair.key for some in (*CUSTOMERS[:7], *OFFERS.values()) for pair in some} | {ONE_HOT, KIND})


def numbers(count):
    return tuple(DRAW.normal(0, 1, count).tolist())


LINEAR = LinearModel(
    task="response", version="1", features=NATURAL, mean=numbers(len(NATURAL)), scale=(0.7,) * len(NATURAL), clip=2.0,
    weights=numbers(len(NATURAL)), intercept=0.3, link="logit", keys=tuple(KNOWN), key_mean=numbers(len(KNOWN)),
    key_scale=(0.9,) * len(KNOWN), key_weights=numbers(len(KNOWN)), key_present=numbers(len(KNOWN)), usual_offer=0.2,
)  # fmt: skip
TREES = TreesModel(
    task="response", version="1", features=NATURAL, intercept=0.1, depth=3,
    columns=tuple(DRAW.integers(0, len(NATURAL) + len(KNOWN), 60).tolist()), thresholds=numbers(60),
    leaves=tuple((np.round(DRAW.normal(0, 1, 160) * 2**20) / 2**20).tolist()),
    shares=tuple(DRAW.integers(0, 9, 160).astype(float).tolist()), keys=tuple(KNOWN),
    flags=tuple(bool(key & ONE_HOT) for key in KNOWN), usual=numbers(len(KNOWN)),
    known=tuple(key for key in KNOWN if key > KIND), offset=0.1, slope=0.7,
)  # fmt: skip
MIXTURE = MixtureModel(
    task="response", version="1", features=NATURAL, intercept=0.2, weights=(0.4, 0.7), linear=(LINEAR,), trees=(TREES,)
)
X = DRAW.normal(0, 2, (ROWS, len(NATURAL)))


def bits(model, rows):
    at = {row: place for place, row in enumerate(rows)}
    offers = {at[row]: pairs for row, pairs in OFFERS.items() if row in at}
    attributes = own(offers, own({place: CUSTOMERS[row] for row, place in at.items()}))
    without = np.array([place for place in range(len(rows)) if place not in offers], dtype=np.int64)
    found = on_rows(model, X[rows], attributes, without)
    entries = attributes.entries(range(len(rows)))
    effects = [[found.effects[i] for i in entries[place]] for place in range(len(rows))]
    return [
        (found.z[place].tobytes(), found.parts[place].tobytes(), np.array(effects[place]).tobytes())
        for place in range(len(rows))
    ]


def test_a_row_is_scored_the_same_in_any_company():
    for model in (LINEAR, TREES, MIXTURE):
        all_rows = list(range(ROWS))
        together = bits(model, all_rows)
        assert len(set(together)) == ROWS
        for size in (1, 5, 13):
            cuts = [all_rows[first : first + size] for first in range(0, ROWS, size)]
            assert [one for cut in cuts for one in bits(model, cut)] == together, (model.task, size)


def test_rows_asked_for_are_explained_as_when_all_are():
    attributes = own(OFFERS, own(dict(enumerate(CUSTOMERS))))
    without = np.array([row for row in range(ROWS) if row not in OFFERS], dtype=np.int64)
    for model in (LINEAR, TREES, MIXTURE):
        every = on_rows(model, X, attributes, without)
        for asked in (np.arange(0, ROWS, 3)[::-1], np.array([5, 2]), np.array([], dtype=np.int64)):
            some = on_rows(model, X, attributes, without, asked)
            np.testing.assert_array_equal(some.z, every.z)
            np.testing.assert_array_equal(some.parts, every.parts[asked])
            np.testing.assert_array_equal(some.missing, every.missing[asked])
            for entries in attributes.entries(asked.tolist()).values():
                np.testing.assert_array_equal(some.effects[entries], every.effects[entries])


def test_base_parts_effects_and_what_is_missing_add_up():
    rows = list(range(ROWS))
    attributes = own(OFFERS, own(dict(enumerate(CUSTOMERS))))
    without = np.array([row for row in rows if row not in OFFERS], dtype=np.int64)
    for model in (LINEAR, TREES, MIXTURE):
        found = on_rows(model, X, attributes, without)
        effects = np.bincount(attributes.rows, weights=found.effects, minlength=ROWS)
        np.testing.assert_allclose(found.base + found.parts.sum(axis=1) + effects + found.missing, found.z, atol=1e-9)


def test_of_several_rare_values_of_a_kind_one_counts():
    rare = {key: place for place, key in enumerate(LINEAR.keys)}[ONE_HOT]
    strangers = [pair for pair in CUSTOMERS[30] if pair.key & ONE_HOT and pair.key not in KNOWN]
    assert len(strangers) == 2
    assert all(not pair.key & OFFER for pair in strangers)
    found = on_rows(LINEAR, X[30:31], own({0: tuple(strangers)}), None)
    weight = LINEAR.key_present[rare] + LINEAR.key_weights[rare] * np.clip((1 - LINEAR.key_mean[rare]) / 0.9, -2, 2)
    assert sorted(found.effects.tolist(), key=abs) == [0.0, weight]
