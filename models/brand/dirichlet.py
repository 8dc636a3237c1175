"""What a brand of a given share should look like, if nothing about it were special.

The NBD-Dirichlet of Goodhardt, Ehrenberg and Chatfield (1984), J. R. Stat. Soc. A 147, 621-655: how often
customers buy the category is negative binomial, which brand is Dirichlet-multinomial. Small brands
have fewer buyers, who also buy them less often: double jeopardy. What differs from it is the brand's own.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

SMALLEST, LARGEST = 1e-3, 1e4
"""Bounds of the Dirichlet's strength: customers who each have one brand; customers who are all alike."""
HALVINGS: Final = 60
FURTHEST: Final = 200
"""Purchases of a customer beyond which the negative binomial is cut."""


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


def _misses(alpha: float, strength: float, furthest: int) -> tuple[list[float], list[float]]:
    """Probability that of n purchases of the category none, or exactly one, is the brand's; n = 0, 1, ..."""
    none = [1.0]
    for n in range(furthest):
        none.append(none[-1] * (strength - alpha + n) / (strength + n))
    once = [n * alpha * none[n] / (strength - alpha + n - 1) for n in range(1, furthest + 1)]
    return none, [0.0, *once]


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
    none, one = _misses(share * strength, strength, len(purchases) - 1)
    some = list(enumerate(purchases))[1:]
    buyers = math.fsum(h for _, h in some)
    total = math.fsum(n * h for n, h in some)
    own = math.fsum(h * (1.0 - none[n]) for n, h in some)
    twice = math.fsum(h * (1.0 - none[n] - one[n]) for n, h in some)
    of_its_buyers = math.fsum(n * h * (1.0 - none[n]) for n, h in some)
    return Expected(own / buyers, share * total / own, share * total / of_its_buyers, twice / own)


def fit(shares: Mapping[str, float], penetrations: Mapping[str, float], purchases: Sequence[float]) -> float:
    """Strength with which the mean penetration, weighted by share, is what was seen.

    Parameters
    ----------
    shares, penetrations
        By brand: of the category's purchases, and of its buyers.
    purchases
        As of `expected`.
    """
    seen = math.fsum(shares[name] * penetrations[name] for name in shares)
    low, high = SMALLEST, LARGEST
    for _ in range(HALVINGS):
        strength = math.sqrt(low * high)
        mean = math.fsum(
            share * expected(share, strength, purchases).penetration for share in shares.values() if 0 < share < 1
        ) + math.fsum(share for share in shares.values() if share >= 1)
        low, high = (strength, high) if mean < seen else (low, strength)
    return math.sqrt(low * high)
