"""Gamma-gamma: what a customer's mean order is, given the few that were seen.

References
----------
Fader and Hardie (2013), The gamma-gamma model of monetary value.
"""

import numpy as np
from scipy import special

from models.lifetimes.numbers import Array


def log_likelihood(parameters: tuple[float, float, float], orders: Array, mean: Array) -> tuple[Array, Array]:
    """Log likelihood of the mean of each customer's orders; both positive, shape (n,).

    Returns
    -------
    values
        Shape (n,).
    slopes
        By the logarithms of p, `q - 1` and gamma, shape (3, n).
    """
    p, q, gamma = parameters
    shape = p * orders
    beta: Array = special.gammaln(shape + q) - special.gammaln(shape) - special.gammaln(q)
    all_of_it = np.log(orders * mean + gamma)
    values = beta + q * np.log(gamma) + (shape - 1.0) * np.log(mean) + shape * np.log(orders) - (shape + q) * all_of_it
    rise = special.digamma(shape + q)
    slopes = (
        shape * (rise - special.digamma(shape) + np.log(orders * mean) - all_of_it),
        (q - 1.0) * (rise - special.digamma(q) + np.log(gamma) - all_of_it),
        q - (shape + q) * gamma / (orders * mean + gamma),
    )
    return values, np.stack(slopes)


def expected(parameters: tuple[float, float, float], orders: Array, spend: Array) -> Array:
    """Return the expected mean order of each customer, given number and sum of the orders so far."""
    p, q, gamma = parameters
    return p * (gamma + spend) / (p * orders + q - 1.0)
