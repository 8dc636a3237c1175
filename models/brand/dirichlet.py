"""What a brand of a given share should look like, if nothing about it were special.

The NBD-Dirichlet of Goodhardt, Ehrenberg and Chatfield (1984), J. R. Stat. Soc. A 147, 621-655: how often
customers buy the category is negative binomial, which brand is Dirichlet-multinomial. Small brands
have fewer buyers, who also buy them less often: double jeopardy. What differs from it is the brand's own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

SMALLEST, LARGEST = 1e-3, 1e4
"""Bounds of the Dirichlet's strength: customers who each have one brand; customers who are all alike."""
HALVINGS: Final = 40
FURTHEST: Final = 200
"""Purchases of a customer beyond which the negative binomial is cut."""
Array = NDArray[np.float64]


class Expected(Struct, frozen=True):
    """What the model leads one to expect of one brand, among the category's buyers."""

    penetration: float
    purchases_per_buyer: float
    share_of_requirements: float
    repeat_rate: float


def negative_binomial(mean: float, zero: float) -> list[float] | None:
    """Probability of 0, 1, 2, ... purchases, from the mean and the share of those who never bought.

    None where no negative binomial has both: nobody without a purchase, or no more of them than chance leaves.
    """
    if not (0.0 < zero < 1.0) or mean <= -math.log(zero):
        return None
    low, high = 1e-6, 1e6
    for _ in range(200):
        k = math.sqrt(low * high)
        if k * math.log1p(mean / k) < -math.log(zero):
            low = k
        else:
            high = k
    a, k = mean / low, low
    p = [(1.0 + a) ** -k]
    for n in range(1, FURTHEST + 1):
        p.append(p[-1] * (k + n - 1) / n * a / (1.0 + a))
    return p


def _misses(alpha: Array, strength: float, furthest: int) -> Array:
    """Probability that none of n purchases of the category is the brand's, shape (furthest + 1, brands)."""
    n = np.arange(furthest)[:, None]
    steps = (strength - alpha + n) / (strength + n)
    return np.vstack([np.ones((1, len(alpha))), np.cumprod(steps, axis=0)])


def expected(share: float, strength: float, purchases: Sequence[float]) -> Expected:
    """Expected figures of a brand.

    Parameters
    ----------
    share
        Its share of the category's purchases, in (0, 1).
    strength
        Of the Dirichlet, above 0: the larger, the less loyal.
    purchases
        Customers, or their share, by number of purchases 0, 1, 2, ...; those with none do not count.
    """
    alpha, n = share * strength, np.arange(1, len(purchases))
    h = np.array(purchases[1:])
    none = _misses(np.array([alpha]), strength, len(h))[1:, 0]
    once = n * alpha * none / (strength - alpha + n - 1)
    total, own = float(h @ n), float(h @ (1.0 - none))
    return Expected(
        penetration=own / float(h.sum()),
        purchases_per_buyer=share * total / own,
        share_of_requirements=share * total / float(h @ (n * (1.0 - none))),
        repeat_rate=float(h @ (1.0 - none - once)) / own,
    )


def fit(shares: Mapping[str, float], penetrations: Mapping[str, float], purchases: Sequence[float]) -> float:
    """Strength with which the mean penetration, weighted by share, is what was seen.

    Parameters
    ----------
    shares, penetrations
        By brand: of the category's purchases, and of its buyers.
    purchases
        As of `expected`.
    """
    names = [name for name, share in shares.items() if 0.0 < share < 1.0]
    weights, h = np.array([shares[name] for name in names]), np.array(purchases[1:])
    seen = math.fsum(shares[name] * penetrations[name] for name in names)
    low, high = SMALLEST, LARGEST
    for _ in range(HALVINGS):
        strength = math.sqrt(low * high)
        none = _misses(weights * strength, strength, len(h))[1:]
        reached = h @ (1.0 - none) / h.sum()
        low, high = (strength, high) if float(weights @ reached) < seen else (low, strength)
    return math.sqrt(low * high)
