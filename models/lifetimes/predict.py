"""What a fitted model says about customers: purchases to come, none at all, still there, next one when."""

from types import ModuleType
from typing import Final

import numpy as np
from msgspec import Struct

from models.lifetimes import bg_nbd, gamma_gamma, pareto_nbd
from models.lifetimes.fit import histories
from models.lifetimes.numbers import Array, exp, log
from schemas.lifetimes import Family, Lifetimes

PROCESSES: Final[dict[Family, ModuleType]] = {"pareto_nbd": pareto_nbd, "bg_nbd": bg_nbd}


class Customers(Struct):
    """Histories of customers, arrays of shape (n,). Days, counts and currency units."""

    recency: Array
    orders: Array
    spend: Array
    tenure: Array


def _process(model: Lifetimes) -> tuple[ModuleType, tuple[float, float, float, float]]:
    return PROCESSES[model.family], (model.r, model.alpha, model.s, model.beta)


def parts(model: Lifetimes, customers: Customers, days: float) -> tuple[Array, Array, Array, Array]:
    """Logs of what multiplies to the expected spend of the coming `days`, each of shape (n,).

    Returns
    -------
    alive
        Probability of not having left.
    rate
        Expected purchases a day, while there.
    stays
        Of the coming days, how many the customer is expected to be there for.
    order
        Expected amount of an order.
    """
    process, four = _process(model)
    x, tx, seen = histories(customers.recency, customers.orders, customers.tenure)
    alive, rate = process.log_alive(four, x, tx, seen), process.log_rate(four, x, seen)
    stays = process.log_stays(four, x, seen, days)
    return alive, rate, stays, log(np.maximum(mean_order(model, customers), 1e-9))


def mean_order(model: Lifetimes, customers: Customers) -> Array:
    """Expected amount of a customer's next order, in currency units."""
    orders, spend = np.maximum(np.rint(customers.orders), 1.0), np.maximum(customers.spend, 0.0)
    return gamma_gamma.expected((model.p, model.q, model.gamma), orders, spend)


def purchases(model: Lifetimes, customers: Customers, days: float) -> Array:
    """Return the expected number of purchases in the coming `days`."""
    alive, rate, stays, _ = parts(model, customers, days)
    return exp(alive + rate + stays)


def none_within(model: Lifetimes, customers: Customers, days: float) -> Array:
    """Probability of no purchase in the coming `days`: how likely the history, were it longer by so much silence."""
    process, four = _process(model)
    x, tx, seen = histories(customers.recency, customers.orders, customers.tenure)
    return np.minimum(exp(log_none(model, customers, days, process.log_alive(four, x, tx, seen))), 1.0)


def log_none(model: Lifetimes, customers: Customers, days: float, alive: Array) -> Array:
    """Log of `none_within`, where the log of the probability of not having left is known already.

    A history's likelihood is that of having bought so and stayed, over the probability of not having left.
    """
    process, four = _process(model)
    x, tx, seen = histories(customers.recency, customers.orders, customers.tenure)
    stayed: Array = process.log_stayed(four, x, seen + days) - process.log_stayed(four, x, seen)
    none: Array = stayed - process.log_alive(four, x, tx, seen + days) + alive
    return none


def alive(model: Lifetimes, customers: Customers) -> Array:
    """Probability of not having left."""
    process, four = _process(model)
    x, tx, seen = histories(customers.recency, customers.orders, customers.tenure)
    return exp(process.log_alive(four, x, tx, seen))


def next_purchase_days(model: Lifetimes, customers: Customers) -> Array:
    """Days within which half of such customers, if they have not left, buy again."""
    x, _, seen = histories(customers.recency, customers.orders, customers.tenure)
    return (model.alpha + seen) * (exp(np.log(2.0) / (model.r + x)) - 1.0)


def silence_share(model: Lifetimes, customers: Customers) -> Array:
    """Return the share of silences, of such customers while they are there, that last as long as this one or longer."""
    x, tx, seen = histories(customers.recency, customers.orders, customers.tenure)
    return exp((model.r + x) * (log(model.alpha + tx) - log(model.alpha + seen)))
