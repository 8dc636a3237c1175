"""Pareto/NBD: customers buy at a steady rate each, until they leave unseen.

A customer's history is `x` repeat purchases, the last at `tx`, seen until `T`: days since the first
purchase, arrays of shape (n,), `0 <= tx <= T`, and `tx = 0` where `x = 0`.

References
----------
Schmittlein, Morrison and Colombo (1987), Management Science 33, 1-24.
Fader and Hardie (2005), A note on deriving the Pareto/NBD model and related expressions.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy import special

from models.lifetimes.numbers import NODES, WEIGHTS, Array, exp, log, log_add

ENOUGH: Final = 36.0
"""What has fallen by this much on log scale counts for nothing."""
TINY: Final = 1e-9
Pair = tuple[Array, Array]


def _when(
    r: float,
    alpha: float,
    s: float,
    beta: float,
    x: Array,
    tx: Array,
    T: Array,  # noqa: N803
) -> tuple[Array, Iterator[tuple[Array, Pair, Pair]]]:
    """Moments of leaving between `tx` and `T` that stand for all.

    The integral of `(alpha + t) ** -(r + x) * (beta + t) ** -(s + 1)` is taken over the logarithm of
    the smaller of alpha and beta plus t, as far as there is anything left of it, relative to its beginning.

    Returns
    -------
    scale
        Log of what the weights are to be multiplied with, shape (n,).
    moments
        Of each, weight in the integral, and alpha and beta plus t, each with its log; arrays of shape (n,).
    """
    near, far = min(alpha, beta), max(alpha, beta)
    start, at_far = log(near + tx), log(far + tx)
    # The exponents of the nearer and of the farther one.
    first, second = (r + x, s + 1.0) if alpha <= beta else (np.full_like(tx, s + 1.0), r + x)
    falls = first + second * (near + tx) / (far + tx) - 1.0
    reach = np.minimum(log(near + T) - start, ENOUGH / np.maximum(falls, TINY))

    def moments() -> Iterator[tuple[Array, Pair, Pair]]:
        for node, share in zip(NODES, WEIGHTS, strict=True):
            step = node * reach
            nearer = (near + tx) * exp(step)
            farther = far - near + nearer
            log_farther = log(farther)
            weight = share * exp(step * (1.0 - first) - second * (log_farther - at_far))
            one, other = (nearer, start + step), (farther, log_farther)
            yield (weight, one, other) if alpha <= beta else (weight, other, one)

    return log(np.maximum(reach, 1e-300)) + start - first * start - second * at_far, moments()


def _log_gone(r: float, alpha: float, s: float, beta: float, x: Array, tx: Array, T: Array) -> Array:  # noqa: N803
    """Log of the chance density of having left between `tx` and `T`: `s` times an integral over when."""
    scale, moments = _when(r, alpha, s, beta, x, tx, T)
    found: Array = np.log(s) + scale + log(sum((weight for weight, _, _ in moments), np.zeros_like(T)))
    return found


def log_stayed(parameters: tuple[float, float, float, float], x: Array, T: Array) -> Array:  # noqa: N803
    """Log of how likely it is to have bought so and not to have left, up to terms of `x` alone."""
    r, alpha, s, beta = parameters
    return -(r + x) * log(alpha + T) - s * log(beta + T)


def log_likelihood(
    parameters: tuple[float, float, float, float],
    x: Array,
    tx: Array,
    T: Array,  # noqa: N803
) -> tuple[Array, Array]:
    """Log likelihood of each customer's history, up to terms of the purchases' times alone.

    Returns
    -------
    values
        Shape (n,).
    slopes
        By the logarithm of each parameter, shape (4, n).
    """
    r, alpha, s, beta = parameters
    scale, moments = _when(r, alpha, s, beta, x, tx, T)
    total, at_alpha, at_beta, by_alpha, by_beta = np.zeros((5, len(T)))
    for weight, (alpha_then, log_alpha), (beta_then, log_beta) in moments:
        total += weight
        at_alpha += weight * log_alpha
        at_beta += weight * log_beta
        by_alpha += weight / alpha_then
        by_beta += weight / beta_then
    stayed, gone = log_stayed(parameters, x, T), np.log(s) + scale + log(total)
    both = log_add(stayed, gone)
    # By how much either counts, and the means over when one left, if gone.
    here, away = exp(stayed - both), exp(gone - both)
    gone_by = away / total
    rising: Array = special.gammaln(r + x) - special.gammaln(r)
    values = rising + r * np.log(alpha) + s * np.log(beta) + both
    slopes = (
        r * (special.digamma(r + x) - special.digamma(r) + np.log(alpha) - here * log(alpha + T) - gone_by * at_alpha),
        r - alpha * (r + x) * (here / (alpha + T) + gone_by * by_alpha),
        s * (np.log(beta) + away / s - here * log(beta + T) - gone_by * at_beta),
        s - beta * (here * s / (beta + T) + (s + 1.0) * gone_by * by_beta),
    )
    return values, np.stack(slopes)


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
