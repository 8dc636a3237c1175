"""Everybody scored at one moment: nothing after it is seen, and figures are those of the obvious formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from models.learning import Learning
from models.lookahead import Followed, look_ahead, of_amounts, of_labels
from models.policy import DAY, Policy
from schemas.state import CustomerState

scores = st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.25, 0.8, 0.9])), min_size=2, max_size=40)


@given(scores)
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs):
    came, score = np.array([float(c) for c, _ in pairs]), np.array([s for _, s in pairs])
    found = of_labels(came, score)["auc"]
    wins = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high, y in zip(score, came, strict=True)
        for low, n in zip(score, came, strict=True)
        if y and not n
    ]
    assert found == (pytest.approx(np.mean(wins)) if wins else None)


amounts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 12)), min_size=10, max_size=60)


@given(amounts)
def test_amounts_are_judged_by_the_obvious_formulas(pairs):
    came, score = np.array(pairs, dtype=float).T
    found = of_amounts(came, score)
    assert found["mae"] == pytest.approx(np.mean(np.abs(came - score)))
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((came - score) ** 2)))
    if came.sum() > 0:
        assert found["total_ratio"] == pytest.approx(score.sum() / came.sum())
    if len(set(came)) > 1 and len(set(score)) > 1:
        assert found["spearman"] == pytest.approx(np.corrcoef(rankdata(came), rankdata(score))[0, 1])


def test_who_sees_a_share_of_customers_is_left_out():
    """Whoever comes first: a share is drawn by what is known of a customer."""
    bought = [
        CustomerState(seen_at=0.0, orders=n, first_purchase=n * DAY, last_purchase=99.0 * DAY) for n in range(1, 25)
    ]
    followed = Followed(100.0 * DAY, 90.0, Policy())
    followed.whole = True
    for start in range(len(bought)):
        some = {f"c{n}": state for n, state in enumerate(bought[start:] + bought[:start])}
        found = look_ahead(some, followed, Learning(Policy()), Policy()).scores["churn"]
        assert "logistic" in found
        assert not {"fourier", "net"} & set(found)
        assert all(len(scores) == len(bought) for scores in found.values())


def test_the_best_tenth_is_a_tenth_of_the_customers():
    came = np.arange(100.0)
    assert of_amounts(came, came)["top_10_share"] == pytest.approx(came[90:].sum() / came.sum())
    assert of_amounts(came, np.zeros(100))["top_10_share"] == pytest.approx(0.1)  # nobody is better than anybody
