"""Segments of customers: learned as clusters, compiled, assigned, named and explained."""

import numpy as np
from numpy.typing import NDArray

from models.segmentation.clusters import FEATURES, Clusters
from models.segmentation.kmeans import Array, Ids, nearest, squared_distances
from schemas.segments import Segments

__all__ = ["FEATURES", "REST", "Clusters", "assign", "explain_row"]

REST = "rest"
TOPS = 2
"""Features named in an explanation."""
_UNIT = 10_000  # explanations have four decimals


def assign(segments: Segments, x: NDArray[np.float64]) -> tuple[Ids, Array]:
    """Find the segment of each customer.

    A row's answer does not depend on the other rows, to the bit.

    Parameters
    ----------
    segments
        Its `features` name the columns.
    x
        Shape (n, d), log1p of the features, finite.

    Returns
    -------
    ids
        Shape (n,): the closest centre; the lowest id among equals.
    distances
        Shape (n, k): to each centre, in standard deviations.

    Raises
    ------
    ValueError
        `x` has another number of columns than the segments.
    """
    squares = squared_distances(_standardised(segments, x), np.array(segments.centres))
    return nearest(squares), np.sqrt(squares)


def explain_row(segments: Segments, x: NDArray[np.float64], segment: int) -> list[tuple[str, float]]:
    """Which features put a customer into a segment rather than into the next closest one.

    Parameters
    ----------
    x
        One row of `assign`, shape (d,).
    segment
        Its id.

    Returns
    -------
    list
        Two features and what each adds to the difference of squared distances (to the next closest
        centre less to its own, in squared standard deviations), largest first, then `rest`. Four
        decimals each; they add up exactly to the difference rounded alike. Empty with one segment.

    Raises
    ------
    IndexError
        There is no such segment.
    """
    row = _standardised(segments, np.asarray(x)[np.newaxis, :])
    centres = np.array(segments.centres)
    squares = squared_distances(row, centres)[0]
    own = squares[segment]
    squares[segment] = np.inf
    if len(squares) < 2:
        return []
    other = int(np.argmin(squares))
    parts = ((row[0] - centres[other]) ** 2 - (row[0] - centres[segment]) ** 2).tolist()
    tops = sorted(range(len(parts)), key=lambda j: -parts[j])[:TOPS]
    named = [(segments.features[j], _units(parts[j])) for j in tops]
    rest = _units(float(squares[other] - own)) - sum(units for _, units in named)
    return [(name, units / _UNIT) for name, units in (*named, (REST, rest))]


def _standardised(segments: Segments, x: NDArray[np.float64]) -> Array:
    if x.ndim != 2 or x.shape[1] != len(segments.features):
        raise ValueError(f"shape {x.shape} does not fit {len(segments.features)} features")
    scaled: Array = (x - np.array(segments.mean)) / np.array(segments.scale)
    return scaled


def _units(value: float) -> int:
    """`round(value, 4)` in ten-thousandths: whole numbers add up exactly."""
    return round(round(value, 4) * _UNIT)
