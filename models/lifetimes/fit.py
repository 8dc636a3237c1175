"""Parameters of highest likelihood, found from where they were. Deterministic."""

from collections.abc import Callable
from typing import Final

import numpy as np

from models.lifetimes import bg_nbd, gamma_gamma, pareto_nbd
from models.lifetimes.numbers import Array
from schemas.lifetimes import Family, Lifetimes

START: Final[dict[Family, tuple[float, ...]]] = {
    "pareto_nbd": (0.5, 60.0, 0.5, 60.0),
    "bg_nbd": (0.5, 60.0, 0.8, 2.0),
}
SPEND_START: Final = (2.0, 3.0)
"""p and q; gamma starts where the mean is the sample's."""
DRAWN_TO: Final = 2.0
"""Customers' worth of evidence, on log scale, that the parameters are not far from where they started."""
FARTHEST: Final = 9.0
"""Of a parameter's logarithm."""
NOT_ONE: Final = 1e-3
"""BG/NBD divides by `s - 1`, the gamma-gamma model by `q - 1`."""


def fit(
    family: Family,
    recency: Array,
    orders: Array,
    spend: Array,
    tenure: Array,
    before: Lifetimes | None = None,
    version: str = "1",
) -> Lifetimes:
    """Fit purchases and order values of a sample of customers.

    Parameters
    ----------
    recency, tenure
        Days since the last and since the first purchase, shape (n,).
    orders, spend
        Number of purchases, at least 1, and their sum in currency units. Who spent nothing says
        nothing about order values.
    before
        The fit so far, where the search begins.
    """
    x, tx, seen = histories(recency, orders, tenure)
    process = pareto_nbd if family == "pareto_nbd" else bg_nbd
    start = START[family] if before is None else (before.r, before.alpha, before.s, before.beta)
    r, alpha, s, beta = _highest(lambda at: process.log_likelihood(_four(at), x, tx, seen), START[family], start)
    if abs(s - 1.0) < NOT_ONE:
        s = 1.0 + NOT_ONE
    p, q, gamma = _spend(orders, spend, before)
    return Lifetimes(
        version=version,
        family=family,
        r=r,
        alpha=alpha,
        s=s,
        beta=beta,
        p=p,
        q=q,
        gamma=gamma,
        customers=len(x),
        orders=float(np.median(orders)),
        tenure_days=float(np.median(tenure)),
        recency_days=float(np.median(recency)),
        mean_order=float(np.median(np.maximum(spend, 0.0) / orders)),
    )


def histories(recency: Array, orders: Array, tenure: Array) -> tuple[Array, Array, Array]:
    """Repeat purchases, the day of the last and days seen, made to fit each other: rounding must not count."""
    x = np.maximum(np.rint(orders) - 1.0, 0.0)
    seen = np.maximum(tenure, 0.0)
    tx = np.where(x > 0, np.clip(seen - recency, 0.0, seen), 0.0)
    return x, tx, seen


def _four(logs: Array) -> tuple[float, float, float, float]:
    r, alpha, s, beta = np.exp(logs).tolist()
    return r, alpha, s, beta


def _spend(orders: Array, spend: Array, before: Lifetimes | None) -> tuple[float, float, float]:
    paid = spend > 0
    if not paid.any():
        return (*SPEND_START, 1.0) if before is None else (before.p, before.q, before.gamma)
    count, mean = orders[paid], spend[paid] / orders[paid]
    usual = float(np.exp(np.log(mean).mean()))
    home = (SPEND_START[0], SPEND_START[1] - 1.0, usual * (SPEND_START[1] - 1.0) / SPEND_START[0])
    start = home if before is None else (before.p, max(before.q - 1.0, NOT_ONE), before.gamma)

    def likelihood(logs: Array) -> tuple[Array, Array]:
        p, q, gamma = np.exp(logs).tolist()
        return gamma_gamma.log_likelihood((p, q + 1.0, gamma), count, mean)

    p, q, gamma = _highest(likelihood, home, start)
    return p, q + 1.0, gamma


def _highest(
    likelihood: Callable[[Array], tuple[Array, Array]], home: tuple[float, ...], start: tuple[float, ...]
) -> tuple[float, ...]:
    """Return the parameters where the likelihood is highest, drawn a little towards `home`."""
    from scipy.optimize import minimize  # slow to import, and who only scores fits nothing

    about, first = np.log(home), np.log(start)

    def cost(logs: Array) -> tuple[float, Array]:
        each, slopes = likelihood(logs)
        draw = DRAWN_TO / len(each) / len(logs)
        away = logs - about
        return float(-each.mean() + draw * np.square(away).sum()), -slopes.mean(axis=1) + draw * 2.0 * away

    bounds = [(centre - FARTHEST, centre + FARTHEST) for centre in about]
    found = minimize(cost, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200, "ftol": 1e-10})
    best = found.x if np.isfinite(found.fun) and found.fun <= cost(first)[0] else first
    return tuple(np.exp(best).tolist())
