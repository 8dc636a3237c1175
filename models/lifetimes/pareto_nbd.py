"""Pareto/NBD: customers buy at a steady rate each, until they leave unseen.

A customer's history is `x` repeat purchases, the last at `tx`, seen until `T`: days since the first
purchase, arrays of shape (n,), `0 <= tx <= T`, and `tx = 0` where `x = 0`.

References
----------
Schmittlein, Morrison and Colombo (1987), Management Science 33, 1-24.
Fader and Hardie (2005), A note on deriving the Pareto/NBD model and related expressions.
"""

from typing import Final

import numpy as np
from scipy import special

from models.lifetimes.numbers import NODES, WEIGHTS, Array, exp, log, log_add

ENOUGH: Final = 36.0
"""What has fallen by this much on log scale counts for nothing."""
TINY: Final = 1e-9


def _log_gone(r: float, alpha: float, s: float, beta: float, x: Array, tx: Array, T: Array) -> Array:  # noqa: N803
    """Log of the chance density of having left between `tx` and `T`: `s` times an integral over when.

    The integral of `(alpha + t) ** -(r + x) * (beta + t) ** -(s + 1)` is taken over the logarithm of
    the smaller of alpha and beta plus t, as far as there is anything left of it, relative to its beginning.
    """
    near = min(alpha, beta)
    start, at_alpha, at_beta = log(near + tx), log(alpha + tx), log(beta + tx)
    falls = (r + x) * (near + tx) / (alpha + tx) + (s + 1.0) * (near + tx) / (beta + tx) - 1.0
    reach = np.minimum(log(near + T) - start, ENOUGH / np.maximum(falls, TINY))
    total = np.zeros_like(T)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        step = node * reach
        t = exp(start + step) - near
        total += weight * exp(step - (r + x) * (log(alpha + t) - at_alpha) - (s + 1.0) * (log(beta + t) - at_beta))
    first = start - (r + x) * at_alpha - (s + 1.0) * at_beta
    found: Array = np.log(s) + first + log(np.maximum(total * reach, 1e-300))
    return found


def log_stayed(parameters: tuple[float, float, float, float], x: Array, T: Array) -> Array:  # noqa: N803
    """Log of how likely it is to have bought so and not to have left, up to terms of `x` alone."""
    r, alpha, s, beta = parameters
    return -(r + x) * log(alpha + T) - s * log(beta + T)


def log_likelihood(parameters: tuple[float, float, float, float], x: Array, tx: Array, T: Array) -> Array:  # noqa: N803
    """Return the log likelihood of each customer's history, up to terms of the purchases' times alone."""
    r, alpha, s, beta = parameters
    both = log_add(log_stayed(parameters, x, T), _log_gone(r, alpha, s, beta, x, tx, T))
    rising: Array = special.gammaln(r + x) - special.gammaln(r)
    found: Array = rising + r * np.log(alpha) + s * np.log(beta) + both
    return found


def log_alive(parameters: tuple[float, float, float, float], x: Array, tx: Array, T: Array) -> Array:  # noqa: N803
    """Return the log of the probability that the customer has not left."""
    r, alpha, s, beta = parameters
    gone = _log_gone(r, alpha, s, beta, x, tx, T) - log_stayed(parameters, x, T)
    return -log_add(np.zeros_like(gone), gone)


def log_stays(parameters: tuple[float, float, float, float], x: Array, T: Array, days: float) -> Array:  # noqa: N803
    """Log of the days, of the coming ones, in which a customer who has not left now is expected to be there."""
    _, _, s, beta = parameters
    reach = log(beta + T + days) - log(beta + T)
    expected: Array = (beta + T) * reach * special.exprel(-(s - 1.0) * reach)
    del x
    return log(expected)


def log_rate(parameters: tuple[float, float, float, float], x: Array, T: Array) -> Array:  # noqa: N803
    """Log of the expected purchases a day, while there."""
    r, alpha, _, _ = parameters
    return log(r + x) - log(alpha + T)
