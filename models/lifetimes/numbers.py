"""Elementary functions, value by value: numpy's own may change their last bits with a value's neighbours."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]

_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(12)
NODES: Final[Array] = (_POINTS + 1.0) / 2.0
"""Gauss-Legendre on (0, 1)."""
WEIGHTS: Final[Array] = _WEIGHTS / 2.0
_LOG2_E: Final = float(np.log2(np.e))
LARGEST: Final = 700.0
"""Exponents are cut here, before `exp` overflows."""


def log(x: Array) -> Array:
    """Natural logarithm of positive numbers."""
    found: Array = special.xlogy(1.0, x)
    return found


def exp(x: Array) -> Array:
    """Exponential, cut at 1e304. Small ones keep their digits, which `expm1(x) + 1` loses."""
    found: Array = special.exp2(np.minimum(x, LARGEST) * _LOG2_E)
    return found


def log1p(x: Array) -> Array:
    """Logarithm of 1 + x."""
    found: Array = special.log1p(x)
    return found


def log_add(a: Array, b: Array) -> Array:
    """`log(exp(a) + exp(b))`, without overflow."""
    high, low = np.maximum(a, b), np.minimum(a, b)
    return high + log1p(exp(low - high))
