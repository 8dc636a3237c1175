"""BG/NBD: customers buy at a steady rate each, and may leave after any repeat purchase.

Histories are as in `pareto_nbd`. The parameters `s` and `beta` are the paper's a and b.

References
----------
Fader, Hardie and Lee (2005), "Counting your customers" the easy way, Marketing Science 24, 275-284.
"""

import numpy as np
from scipy import special

from models.lifetimes.numbers import Array, exp, log, log_add


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
    r, alpha, a, b = parameters
    coming = b + np.maximum(x, 1.0) - 1.0
    rising: Array = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
    coins: Array = special.betaln(a, b + x) - special.betaln(a, b)
    stayed = log_stayed(parameters, x, T)
    left = np.where(x > 0, np.log(a) - log(coming) - (r + x) * log(alpha + tx), -np.inf)
    both = log_add(stayed, left)
    here, away = exp(stayed - both), exp(left - both)
    together = special.digamma(a + b) - special.digamma(a + b + x)
    slopes = (
        r
        * (
            special.digamma(r + x) - special.digamma(r) + np.log(alpha) - here * log(alpha + T) - away * log(alpha + tx)
        ),
        r - alpha * (r + x) * (here / (alpha + T) + away / (alpha + tx)),
        a * (together + away / a),
        b * (special.digamma(b + x) - special.digamma(b) + together - away / coming),
    )
    return rising + coins + both, np.stack(slopes)


def log_stayed(parameters: tuple[float, float, float, float], x: Array, T: Array) -> Array:  # noqa: N803
    """Log of how likely it is to have bought so and not to have left, up to terms of `x` alone."""
    r, alpha, _, _ = parameters
    return -(r + x) * log(alpha + T)


def log_alive(parameters: tuple[float, float, float, float], x: Array, tx: Array, T: Array) -> Array:  # noqa: N803
    """Return the log of the probability that the customer has not left."""
    r, alpha, a, b = parameters
    gone = np.log(a) - log(b + np.maximum(x, 1.0) - 1.0) + (r + x) * (log(alpha + T) - log(alpha + tx))
    return np.where(x > 0, -log_add(np.zeros_like(gone), gone), 0.0)


def log_stays(parameters: tuple[float, float, float, float], x: Array, T: Array, days: float) -> Array:  # noqa: N803
    """Log of expected purchases over expected purchases a day: equation 10 of the paper over `log_rate`."""
    r, alpha, a, b = parameters
    share = days / (alpha + T + days)
    series: Array = special.hyp2f1(r + x, b + x, a + b + x - 1.0, share)
    kept = exp((r + x) * (log(alpha + T) - log(alpha + T + days)))
    expected = (a + b + x - 1.0) / (a - 1.0) * (1.0 - kept * series)
    return log(np.maximum(expected, 1e-300)) - log_rate(parameters, x, T)


def log_rate(parameters: tuple[float, float, float, float], x: Array, T: Array) -> Array:  # noqa: N803
    """Log of the expected purchases a day, while there."""
    r, alpha, _, _ = parameters
    return log(r + x) - log(alpha + T)
