"""Where a customer stands: new, active, at risk, lost or won back; and what is to be expected of each."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.customers.features import NATURAL, scaled
from models.lifetimes.predict import Customers, alive, next_purchase_days, purchases, silence_share
from models.policy import DAY
from models.serving import predictions, score_matrix
from schemas.serving import LifetimeModel, MixtureModel, ServingModel

NEW_DAYS: Final = 30.0
"""Since the first and only purchase."""
BACK_DAYS: Final = 90.0
"""How long somebody who came back is said to be won back."""
RARE, VERY_RARE = 0.2, 0.02
"""Chances of a silence as long as this one, of a customer who is there: at risk, and lost."""
UNLIKELY, VERY_UNLIKELY = 0.5, 0.2
"""Chances of being there: at risk, and lost."""
YEAR: Final = 365.0
"""A silence as long is the end for everybody."""
RISK_DAYS: Final = 90.0
"""A silence as long is a risk before anything is fitted."""
_COLUMNS: Final = tuple(NATURAL.index(name) for name in ("recency_days", "orders", "spend", "tenure_days"))


def outlooks(
    rows: Sequence[Sequence[float]], ended: Sequence[float], at: Sequence[float], model: ServingModel | None
) -> list[dict[str, str]]:
    """Fields `stage`, `purchases` and `next_purchase_at` of some customers, as Redis serves them.

    Parameters
    ----------
    rows
        Natural values, in the order of `NATURAL`.
    ended
        Days of silence that each one's last purchase ended; 0 for a first one.
    at
        Moment of each row, in epoch seconds.
    model
        What `purchases` is served with; without a buy-till-you-die model there is a stage alone, by recency.
    """
    columns = np.array([[row[column] for column in _COLUMNS] for row in rows], dtype=np.float64).T
    history = Customers(columns[0], columns[1], np.maximum(columns[2], 0.0), columns[3])
    lives = model.lifetimes[0] if isinstance(model, MixtureModel) and model.lifetimes else model
    if not isinstance(lives, LifetimeModel):
        nothing = np.full(len(rows), np.nan)
        risk = np.where(history.recency > RISK_DAYS, UNLIKELY / 2.0, 1.0)
        return _fields(history, ended, at, risk, np.ones(len(rows)), nothing, nothing)
    lifetimes = lives.lifetimes
    count = purchases(lifetimes, history, lives.days) if lives is model else _counted(model, rows)
    return _fields(
        history,
        ended,
        at,
        alive(lifetimes, history),
        silence_share(lifetimes, history),
        count,
        next_purchase_days(lifetimes, history),
    )


def _counted(model: ServingModel | None, rows: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the purchases that the linear model says which serves, whole weight, beside lifetimes."""
    assert isinstance(model, MixtureModel)  # noqa: S101 - the caller looked
    z, _ = score_matrix(model.linear[0], scaled(rows))
    return np.array(predictions(model, z))


def _fields(
    history: Customers,
    ended: Sequence[float],
    at: Sequence[float],
    here: NDArray[np.float64],
    silence: NDArray[np.float64],
    count: NDArray[np.float64],
    wait: NDArray[np.float64],
) -> list[dict[str, str]]:
    found = []
    columns = (history.recency, history.orders, history.tenure, here, silence, count, wait)
    for (recency, orders, tenure, p, share, expected, days), gap, moment in zip(
        np.stack(columns, axis=1).tolist(), ended, at, strict=True
    ):
        if orders < 1:
            found.append({"stage": "prospect", "purchases": "", "next_purchase_at": ""})
            continue
        name = stage(recency, orders, tenure, gap, p, share)
        known = days == days and name != "lost"  # noqa: PLR0124 - NaN: nothing is fitted
        found.append(
            {
                "stage": name,
                "purchases": f"{expected:.2f}" if days == days else "",  # noqa: PLR0124 - as above
                "next_purchase_at": _day(moment + days * DAY) if known else "",
            }
        )
    return found


def stage(recency: float, orders: float, tenure: float, ended: float, here: float, silence: float) -> str:
    """Name a customer's stage.

    Parameters
    ----------
    recency, tenure
        Days since the last and the first purchase.
    ended
        Days of silence that the last purchase ended.
    here
        Probability of not having left.
    silence
        How likely a silence as long as this is, of a customer who has not left.

    Examples
    --------
    >>> stage(3, 1, 3, 0, 0.95, 0.9), stage(20, 6, 300, 40, 0.9, 0.6), stage(80, 9, 300, 20, 0.7, 0.1)
    ('new', 'active', 'at risk')
    >>> stage(200, 9, 300, 20, 0.1, 0.01), stage(5, 3, 340, 300, 0.9, 0.9)
    ('lost', 'won back')
    """
    if recency > YEAR or here < VERY_UNLIKELY or silence < VERY_RARE:
        return "lost"
    if here < UNLIKELY or silence < RARE:
        return "at risk"
    if orders <= 1 and recency <= NEW_DAYS:
        return "new"
    usual = (tenure - recency - ended) / max(orders - 2.0, 1.0)
    if recency <= BACK_DAYS and ended > max(2.0 * BACK_DAYS, 3.0 * usual):
        return "won back"
    return "active"


def _day(at: float) -> str:
    return str(np.datetime64(int(min(at, 4e9)), "s").astype("datetime64[D]"))
