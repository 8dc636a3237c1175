"""Compiled models: the same bits for any cut of the rows, and explanations that add up."""

import itertools
import math
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.serving import amount, explain_row, predict, predictions, score_matrix, sigmoid
from schemas.serving import LinearModel, decode_model, encode_model


def model(width: int, seed: int = 0, link: str = "logit") -> LinearModel:
    draw = np.random.default_rng(seed)
    return LinearModel(
        task="response",
        version="7",
        features=tuple(f"f{i}" for i in range(width)),
        mean=tuple(draw.normal(size=width).tolist()),
        scale=tuple(draw.uniform(0.5, 3.0, size=width).tolist()),
        clip=5.0,
        weights=tuple(draw.normal(size=width).tolist()),
        intercept=-1.25,
        link=link,
        cap=500.0,
    )


def naive_z(serving: LinearModel, row: list[float]) -> float:
    z = serving.intercept
    for value, mean, scale, weight in zip(row, serving.mean, serving.scale, serving.weights, strict=True):
        z += min(max((value - mean) / scale, -serving.clip), serving.clip) * weight
    return z


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(0, 20),
    st.lists(st.integers(0, 70), max_size=6),
    st.sampled_from(["logit", "log1p"]),
)
def test_any_cut_of_the_rows_gives_the_same_bits(rows, width, borders, link):
    serving = model(width, seed=width, link=link)
    x = np.random.default_rng(rows).normal(size=(rows, width)) * 4.0
    z, parts = score_matrix(serving, x)
    scores = predictions(serving, z)
    cuts = [0, *sorted(min(border, rows) for border in borders), rows]
    pieces = [score_matrix(serving, x[a:b]) for a, b in itertools.pairwise(cuts)]
    assert np.concatenate([piece[0] for piece in pieces]).tobytes() == z.tobytes()
    assert np.concatenate([piece[1] for piece in pieces]).tobytes() == parts.tobytes()
    assert [score for piece in pieces for score in predictions(serving, piece[0])] == scores
    assert z.tolist() == [naive_z(serving, row) for row in x.tolist()]


def test_the_layout_of_memory_does_not_matter():
    serving, x = model(9), np.random.default_rng(3).normal(size=(41, 9))
    wide = np.zeros((82, 18))
    wide[::2, ::2] = x
    for same in (np.asfortranarray(x), wide[::2, ::2], x[::-1][::-1]):
        assert score_matrix(serving, same)[0].tobytes() == score_matrix(serving, x)[0].tobytes()
    assert score_matrix(serving, x)[1].flags["C_CONTIGUOUS"]


def test_other_columns_are_refused():
    with pytest.raises(ValueError, match="does not fit 9 features"):
        score_matrix(model(9), np.zeros((2, 8)))


def test_a_huge_value_is_clipped_like_any_large_one():
    serving = model(1)
    x = np.array([[1e308], [1e3], [-1e308], [-1e3]])
    z, _ = score_matrix(serving, x)
    assert z[0] == z[1] != z[2] == z[3]


@given(st.floats(-1e6, 1e6))
def test_links_stay_in_their_range(z):
    assert 0.0 <= sigmoid(z) <= 1.0
    assert 0.0 <= amount(z, 500.0) <= 500.0
    assert predict(model(0), z) == sigmoid(z)
    assert predict(model(0, link="log1p"), z) == amount(z, 500.0)


def test_links_are_what_they_say():
    assert sigmoid(math.log(3.0)) == pytest.approx(0.75)
    assert amount(math.log1p(42.0), 500.0) == pytest.approx(42.0)


@settings(deadline=None)
@given(st.floats(-50, 50), st.lists(st.floats(-50, 50), max_size=12), st.floats(-1e5, 1e5))
def test_an_explanation_adds_up_exactly_in_decimal(base, contributions, z):
    names = [f"f{i}" for i in range(len(contributions))]
    start, tops, rest = explain_row(names, base, contributions, z)
    told = [start, *(value for _, value in tops), rest]
    assert sum(Decimal(repr(value)) for value in told) == Decimal(repr(round(z, 4)))
    assert all(value == round(value, 4) for value in told)
    largest = sorted(contributions, key=abs, reverse=True)[:2]
    assert [abs(value) for _, value in tops] == [abs(round(value, 4)) for value in largest]


def test_a_model_survives_json_to_the_bit():
    serving = model(12)
    assert decode_model(encode_model(serving)) == serving


@pytest.mark.parametrize(
    "broken",
    [{"weights": [1.0]}, {"scale": [0.0, 1.0]}, {"link": "probit"}, {"intercept": None}, {"clip": -1.0}],
)
def test_a_broken_model_is_refused(broken):
    body = msgspec.json.encode(msgspec.to_builtins(model(2)) | broken)
    with pytest.raises(msgspec.ValidationError):
        decode_model(body)


def test_infinity_is_refused_before_json_loses_it():
    with pytest.raises(ValueError, match="finite"):
        msgspec.structs.replace(model(2), intercept=math.inf)
