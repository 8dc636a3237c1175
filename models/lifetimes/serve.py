"""Score rows of features with a buy-till-you-die model, and say what moved them."""

import math
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import special

from models.lifetimes.numbers import Array, exp, log, log1p
from models.lifetimes.predict import Customers, log_none, parts
from schemas.serving import LifetimeModel

SURE = 1e-9
"""A probability is never taken as nearer to 0 or 1."""


def customers_of(x: NDArray[Any]) -> Customers:
    """Histories of rows whose columns are log1p of recency, orders, spend and tenure, shape (n, 4)."""
    natural = special.expm1(np.ascontiguousarray(x.T, dtype=np.float64))
    return Customers(natural[0], natural[1], natural[2], natural[3])


def score_lifetimes(model: LifetimeModel, x: NDArray[Any]) -> tuple[Array, Array]:
    """Linear predictors, shape (n,), and what each column adds, shape (n, 4); see `models.serving.score_matrix`.

    What multiplies to the expected amount adds up in logs: the chance of still being there goes to
    recency, the rate of purchases to orders and tenure, the order's amount to spend. The rest between their
    sum and the score is what the link bends.
    """
    customers = customers_of(x)
    alive, rate, stays, order = parts(model.lifetimes, customers, model.days)
    if model.target == "churn":
        none = np.clip(exp(log_none(model.lifetimes, customers, model.days, alive)), SURE, 1.0 - SURE)
        z, sign = log(none) - log1p(-none), -1.0
    else:
        total = alive + rate + stays + (order if model.target == "value" else 0.0)
        z, sign = log1p(exp(total)), 1.0
    count = log(model.lifetimes.r + np.maximum(customers.orders - 1.0, 0.0))
    found = np.stack([alive, count, order if model.target == "value" else np.zeros_like(z), rate - count + stays], 1)
    bought = customers.orders > 0.5
    usual = _usual(model)
    effects = np.where(bought[:, None], sign * (found - usual), 0.0)
    return np.where(bought, z, _prior(model)), effects


def _prior(model: LifetimeModel) -> float:
    if model.target == "churn":
        prior = min(max(model.prior, SURE), 1.0 - SURE)
        return math.log(prior / (1.0 - prior))
    return math.log1p(model.prior)


def _typical(model: LifetimeModel) -> Customers:
    m = model.lifetimes
    spend = m.mean_order * m.orders
    return Customers(*(np.array([value]) for value in (m.recency_days, m.orders, spend, m.tenure_days)))


@lru_cache(maxsize=32)
def _usual(model: LifetimeModel) -> Array:
    """What the typical customer's columns stand at. Once a model: a lone row would spend most of its time here."""
    typical = _typical(model)
    alive, rate, stays, order = parts(model.lifetimes, typical, model.days)
    count = log(model.lifetimes.r + np.maximum(typical.orders - 1.0, 0.0))
    value = order if model.target == "value" else np.zeros_like(order)
    return np.concatenate([alive, count, value, rate - count + stays])


def with_intercept(model: LifetimeModel) -> LifetimeModel:
    """Return the model with the typical customer's linear predictor as its base."""
    t = _typical(model)
    row = np.log1p(np.stack([t.recency, t.orders, t.spend, t.tenure], axis=1))
    return msgspec.structs.replace(model, intercept=float(score_lifetimes(model, row)[0][0]))
