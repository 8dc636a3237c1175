"""Batch k-means on small samples: k-means++, Lloyd's iterations, and swaps out of poor optima.

Columns are added up one by one, never by a matrix product: its last bits change with the number of rows.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

ITERATIONS: Final = 100


def squared_distances(x: Array, centres: Array) -> Array:
    """Squared distance of each row to each centre: shapes (n, d) and (k, d) give (n, k).

    A row's numbers do not depend on its company, to the bit.
    """
    columns = np.ascontiguousarray(x.T)
    found = np.zeros((len(centres), x.shape[0]))
    for i, centre in enumerate(centres):
        for column, value in zip(columns, centre, strict=True):
            step = column - value
            found[i] += step * step
    return np.ascontiguousarray(found.T)


def nearest(distances: Array) -> Ids:
    """The id of the closest centre of each row; the lowest among equals."""
    ids: Ids = np.argmin(distances, axis=1).astype(np.int64)
    return ids


def ssq(x: Array, centres: Array) -> float:
    """Sum over rows of the squared distance to the closest centre."""
    return float(squared_distances(x, centres).min(axis=1).sum())


def lloyd(x: Array, centres: Array) -> Array:
    """Move each centre to the mean of its rows until no row changes. One without rows stays where it is.

    References
    ----------
    Lloyd (1982), IEEE Transactions on Information Theory 28, 129-137.
    """
    centres, before = centres.copy(), None
    for _ in range(ITERATIONS):
        ids = nearest(squared_distances(x, centres))
        if before is not None and np.array_equal(ids, before):
            break
        before = ids
        counts = np.bincount(ids, minlength=len(centres))
        filled = counts > 0
        for j in range(x.shape[1]):
            sums = np.bincount(ids, weights=x[:, j], minlength=len(centres))
            centres[filled, j] = sums[filled] / counts[filled]
    return centres


def draw_far(x: Array, centres: Array, draw: np.random.Generator) -> Array:
    """One row, shape (d,), drawn with chances in proportion to its squared distance from all centres."""
    chances = np.cumsum(squared_distances(x, centres).min(axis=1))
    place = int(np.searchsorted(chances, draw.random() * chances[-1], side="right"))
    found: Array = x[min(place, len(x) - 1)]  # all rows alike: any will do
    return found


def plus_plus(x: Array, k: int, draw: np.random.Generator) -> Array:
    """Starting centres, shape (k, d).

    References
    ----------
    Arthur and Vassilvitskii (2007), k-means++: the advantages of careful seeding, SODA, 1027-1035.
    """
    centres = x[[int(draw.integers(len(x)))]]
    while len(centres) < k:
        centres = np.vstack([centres, draw_far(x, centres, draw)])
    return centres


def best_of(x: Array, k: int, restarts: int, draw: np.random.Generator) -> Array:
    """Return the centres with the least sum of squares over some restarts, shape (k, d)."""
    tries = [lloyd(x, plus_plus(x, k, draw)) for _ in range(restarts)]
    return min(tries, key=lambda centres: ssq(x, centres))


def least_missed(x: Array, centres: Array) -> tuple[int, int]:
    """Return the id of the centre that would be missed least, and its number of rows.

    Missed: by how much the sum of squares grows if its rows go to the second closest centre.
    """
    distances = squared_distances(x, centres)
    ids = nearest(distances)
    two = np.partition(distances, 1, axis=1)
    missed = np.bincount(ids, weights=two[:, 1] - two[:, 0], minlength=len(centres))
    spare = int(np.argmin(missed))
    return spare, int(np.count_nonzero(ids == spare))
