"""Forecasts of parts that add up to that of the whole.

References
----------
Wickramasuriya, Athanasopoulos and Hyndman (2019), Optimal forecast reconciliation for hierarchical and grouped time
series through trace minimization, J. Am. Stat. Assoc. 114, 804-819: here with a diagonal covariance (WLS).
"""

from collections.abc import Sequence


def reconcile(
    whole: float, parts: Sequence[float], whole_error: float, errors: Sequence[float]
) -> tuple[float, list[float]]:
    """Return the forecasts changed as little as their errors allow, so that the parts add up to the whole.

    Parameters
    ----------
    whole, parts
        Forecasts as they were made.
    whole_error, errors
        Mean squared error of each so far. One without any error keeps its forecast.

    Examples
    --------
    >>> reconcile(100.0, [60.0, 50.0], 1.0, [4.0, 5.0])
    (101.0, [56.0, 45.0])
    """
    gap, total = whole - sum(parts), whole_error + sum(errors)
    if total <= 0.0:
        share = [1.0 / len(parts)] * len(parts) if parts else []
        return whole, [part + gap * one for part, one in zip(parts, share, strict=True)]
    return (
        whole - gap * whole_error / total,
        [part + gap * error / total for part, error in zip(parts, errors, strict=True)],
    )
