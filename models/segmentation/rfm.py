"""RFM quintiles: the segments that marketers make without learning, as a baseline.

References
----------
Hughes (1994), Strategic Database Marketing: scores of 1 to 5 for recency, frequency and monetary value.
"""

from typing import Final

import numpy as np

from models.segmentation.kmeans import Array, Ids

PARTS: Final = 5


def scores(rows: Array) -> Ids:
    """Quintile of each of recency, orders and spend, 1 (worst) to 5 (best); shape (n, 3).

    Parameters
    ----------
    rows
        Recency first (the less the better), then orders and spend, shape (n, 3 or more), on any scale that rises.
    """
    columns = [-rows[:, 0], rows[:, 1], rows[:, 2]]
    found = [np.searchsorted(np.quantile(one, np.arange(1, PARTS) / PARTS), one, side="left") for one in columns]
    quintiles: Ids = np.stack(found, axis=1).astype(np.int64) + 1
    return quintiles


def quintile_groups(rows: Array, k: int) -> Ids:
    """Group customers by the sum of their three scores into k groups of about equal size, shape (n,)."""
    total = scores(rows).sum(axis=1)
    borders = np.quantile(total, np.arange(1, k) / k)
    groups: Ids = np.searchsorted(borders, total, side="left").astype(np.int64)
    return groups


def within(x: Array, groups: Ids, k: int) -> float:
    """Sum of squared distances of rows to the mean of their group."""
    total = 0.0
    for group in range(k):
        rows = x[groups == group]
        if len(rows):
            total += float(np.square(rows - rows.mean(axis=0)).sum())
    return total
