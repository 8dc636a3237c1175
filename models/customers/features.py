"""Features as models see them: computed in one pass, cleaned, scaled and packed. `catalogue.py` says what each is.

Before a model sees a feature, it is compressed by `log1p` (signed), bounded and rounded to 16 bits, because that is how
a pending example keeps it: what is learned is what was scored. Missing is told apart from zero by `has_...` flags.
Attributes of customers and offers stand beside them, see `models/customers/attributes.py`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.customers.catalogue import CATALOGUE, FUSED, Moment
from models.policy import DAY
from schemas.state import CustomerState

NATURAL: Final = tuple(feature.name for feature in CATALOGUE)
"""Names of the features, in the order of their columns."""
BOUND: Final = 60_000.0
"""Scaled values stay within what a 16-bit float holds."""
_FURTHER: Final = tuple(feature.of for feature in CATALOGUE[FUSED:])


def natural(state: CustomerState, at: float, currency: str) -> list[float]:
    """Values of `NATURAL` of one customer at one time (epoch seconds); amounts in the main currency."""
    orders = state.orders
    first, last = state.first_purchase, state.last_purchase
    recency = tenure = gap = ratio = 0.0
    if first is not None and last is not None:
        recency = max(at - last, 0.0) / DAY
        tenure = max(at - first, 0.0) / DAY
        if orders > 1:
            gap = (last - first) / DAY / (orders - 1)
            ratio = recency / max(gap, 1.0)
    spend = state.spend.get(currency, 0) / 1e4
    today = int(at // DAY)
    o7 = o30 = o90 = s7 = s30 = s90 = 0
    for day in reversed(state.days):
        age = today - day.day
        if age < 0:
            continue
        if age >= 90:
            break
        o90 += day.orders
        s90 += day.spend_e4
        if age < 30:
            o30 += day.orders
            s30 += day.spend_e4
            if age < 7:
                o7 += day.orders
                s7 += day.spend_e4
    sent = opened = clicked = converted = 0
    for offer in state.offers.values():
        sent += offer.sent
        opened += offer.opened
        clicked += offer.clicked
        converted += offer.converted
    row = [
        recency,
        tenure,
        orders,
        state.refunds,
        spend,
        spend / orders if orders else 0.0,
        gap,
        ratio,
        o7,
        o30,
        o90,
        s7 / 1e4,
        s30 / 1e4,
        s90 / 1e4,
        first is not None,
        orders > 1,
        len(state.categories),
        sent,
        opened,
        clicked,
        converted,
    ]
    if _FURTHER:
        one = Moment(state, at, currency)
        row += [of(one) for of in _FURTHER]
    return row


def scaled(rows: Sequence[Sequence[float]]) -> NDArray[np.float16]:
    """Clean and compress rows of natural values, shape (n, d): `sign(v) * log1p(|v|)`. NaN becomes 0."""
    x = np.array(rows, dtype=np.float64).reshape(len(rows), len(NATURAL))
    x[~np.isfinite(x)] = 0.0
    x = np.copysign(np.log1p(np.abs(x)), x)
    np.clip(x, -BOUND, BOUND, out=x)
    return x.astype(np.float16)


def pack(row: NDArray[np.float16]) -> bytes:
    """One row as a pending example keeps it: little-endian 16-bit floats."""
    return row.astype("<f2").tobytes()


def unpack(body: bytes, names: Sequence[str]) -> dict[str, float]:
    """Names to scaled values of a packed row; names beyond its length are missing, and 0."""
    values = np.frombuffer(body, dtype="<f2").astype(np.float64).tolist()
    values += [0.0] * (len(names) - len(values))
    return dict(zip(names, values, strict=False))
