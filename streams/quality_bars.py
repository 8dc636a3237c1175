"""A figure beside the trivial answer's and its bars: `must` has to be reached, `aim` is hoped for."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

SIDES: Final[Mapping[str, Callable[[float, float], bool]]] = {">=": operator.ge, "<=": operator.le}


def row(
    figure: str, value: float | None, must: str = "", aim: str = "", trivial: float | None = None
) -> dict[str, Any]:
    """Return one row of a table of figures, as plain data; what is not known is None."""
    return {
        "figure": figure, "value": None if value is None else float(value), "trivial": trivial,
        "must": must, "aim": aim,
    }  # fmt: skip


def meets(value: float | None, bar: str) -> bool:
    """Return whether a figure reaches a bar; what is not known reaches none.

    >>> meets(0.5, ">= .4"), meets(0.5, "<= .4"), meets(1.2, ".85 to 1.15"), meets(1.0, "1"), meets(None, ">= 0")
    (True, False, False, True, False)
    """
    if value is None:
        return False
    side, _, bound = bar.partition(" ")
    if side in SIDES:
        return SIDES[side](value, float(bound))
    low, _, high = bar.partition(" to ")
    return float(low) <= value <= float(high or low)


def verdict(value: float | None, must: str) -> str:
    """Say whether a figure has met its bar; nothing where there is none.

    >>> verdict(0.5, ">= .4"), verdict(0.5, ">= .6"), verdict(0.5, "")
    ('met', 'missed', '')
    """
    if not must:
        return ""
    return "met" if meets(value, must) else "missed"


def shown(value: float | None, must: str = "") -> str:
    """Return a figure in three decimals; in six, where three would put it on the other side of its bar.

    >>> shown(0.7914, ">= .79"), shown(0.764997, ">= .765"), shown(1664.0, "1664"), shown(None)
    ('0.791', '0.764997', '1664', '')
    """
    if value is None:
        return ""
    digits = 3 if not must or meets(round(value, 3), must) == meets(value, must) else 6
    return f"{value:.{digits}f}".removesuffix(".000")
