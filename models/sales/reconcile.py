"""Forecasts of parts that add up to that of the whole.

References
----------
Wickramasuriya, Athanasopoulos and Hyndman (2019), Optimal forecast reconciliation for hierarchical and grouped time
series through trace minimization, J. Am. Stat. Assoc. 114, 804-819: here with a diagonal covariance (WLS).
"""

from collections.abc import Sequence


def reconcile(
    whole: float, parts: Sequence[float], whole_error: float, errors: Sequence[float], positive: Sequence[bool] = ()
) -> tuple[float, list[float]]:
    """Return the forecasts changed as little as their errors allow, so that the parts add up to the whole.

    Parameters
    ----------
    whole, parts
        Forecasts as they were made.
    whole_error, errors
        Mean squared error of each so far. One without any error keeps its forecast.
    positive
        Which parts must not fall below zero, where any must not: those that would stay at zero, and the others make up.

    Examples
    --------
    >>> reconcile(100.0, [60.0, 50.0], 1.0, [4.0, 5.0])
    (101.0, [56.0, 45.0])
    >>> reconcile(4.0, [9.0, 1.0], 1.0, [1.0, 2.0], [True, True])
    (6.5, [6.5, 0.0])
    """
    if not parts:
        return whole, []
    free = list(range(len(parts)))
    moved = list(parts)
    while True:
        gap, total = whole - sum(parts[i] for i in free), whole_error + sum(errors[i] for i in free)
        for i in free:
            moved[i] = parts[i] + gap * (errors[i] / total if total > 0.0 else 1.0 / len(free))
        below = {i for i in free if positive and positive[i] and moved[i] < 0.0}
        if not below:
            return whole - gap * (whole_error / total if total > 0.0 else not free), moved
        for i in below:
            moved[i] = 0.0
        free = [i for i in free if i not in below]
