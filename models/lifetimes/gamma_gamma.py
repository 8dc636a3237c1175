"""Gamma-gamma: what a customer's mean order is, given the few that were seen.

References
----------
Fader and Hardie (2013), The gamma-gamma model of monetary value.
"""

import numpy as np
from scipy import special

from models.lifetimes.numbers import Array


def log_likelihood(parameters: tuple[float, float, float], orders: Array, mean: Array) -> Array:
    """Return the log likelihood of the mean of each customer's orders; both positive, shape (n,)."""
    p, q, gamma = parameters
    shape = p * orders
    beta: Array = special.gammaln(shape + q) - special.gammaln(shape) - special.gammaln(q)
    found: Array = beta + q * np.log(gamma) + (shape - 1.0) * np.log(mean) + shape * np.log(orders)
    return found - (shape + q) * np.log(orders * mean + gamma)


def expected(parameters: tuple[float, float, float], orders: Array, spend: Array) -> Array:
    """Return the expected mean order of each customer, given number and sum of the orders so far."""
    p, q, gamma = parameters
    return p * (gamma + spend) / (p * orders + q - 1.0)
