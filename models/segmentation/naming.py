"""Segments in a marketer's words, from where their centres lie."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

ONE_ORDER: Final = 1.5
"""Typical orders below this are a single one."""
CLEARLY: Final = 2.0
"""This many times the median, or a part of it, is worth a word."""
RHYTHMS: Final = ((10, "weekly"), (45, "monthly"), (135, "quarterly"), (math.inf, "rarely"))
STEPS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def name_segments(
    centres: Sequence[Mapping[str, float]], medians: Mapping[str, float], currency: str
) -> tuple[str, ...]:
    """Name each segment, all differently.

    Parameters
    ----------
    centres, medians
        log1p of `recency_days`, `orders`, `spend` (currency units), `tenure_days` and `gap_mean_days`:
        of each centre, and the median over all customers.
    currency
        ISO 4217, as it stands in the names.

    Examples
    --------
    >>> keys = ("recency_days", "orders", "spend", "tenure_days", "gap_mean_days")
    >>> shop = {key: math.log1p(value) for key, value in zip(keys, (40, 2, 90, 200, 60))}
    >>> loyal = {key: math.log1p(value) for key, value in zip(keys, (12, 9, 610, 280, 30))}
    >>> name_segments([loyal], shop, "GBP")
    ('loyal big spender, monthly, 600 GBP',)
    """
    usual = _plain(medians)
    typical = [_plain(centre) for centre in centres]
    names = [_name(segment, usual, currency) for segment in typical]
    for detail in (_orders, _recency):
        names = [
            f"{name}, {detail(segment)}" if names.count(name) > 1 else name
            for name, segment in zip(names, typical, strict=True)
        ]
    return tuple(
        f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)
    )


def _plain(logs: Mapping[str, float]) -> dict[str, float]:
    return {name: max(math.expm1(min(value, 50.0)), 0.0) for name, value in logs.items()}


def _name(segment: Mapping[str, float], usual: Mapping[str, float], currency: str) -> str:
    money = f"{about(segment['spend'])} {currency}"
    if segment["orders"] < ONE_ORDER:
        return f"{_one_time(segment, usual)}, {money}"
    return f"{_returning(segment, usual)}, {_rhythm(segment['gap_mean_days'])}, {money}"


def _one_time(segment: Mapping[str, float], usual: Mapping[str, float]) -> str:
    if _is_lapsed(segment, usual):
        return "lapsed one-time buyer"
    return "new one-time buyer" if CLEARLY * segment["tenure_days"] < usual["tenure_days"] else "one-time buyer"


def _returning(segment: Mapping[str, float], usual: Mapping[str, float]) -> str:
    usually = max(usual["spend"], 1.0)  # below a unit nothing is told: refunds may take all that is bought
    noun = "big spender" if segment["spend"] > CLEARLY * usually else ""
    if _is_lapsed(segment, usual):
        return f"lapsed {noun}".strip()
    if CLEARLY * segment["tenure_days"] < usual["tenure_days"]:
        return f"new {noun}".strip()
    if segment["orders"] >= CLEARLY * usual["orders"]:
        return f"loyal {noun}".strip()
    return noun or "occasional"


def _is_lapsed(segment: Mapping[str, float], usual: Mapping[str, float]) -> bool:
    return segment["recency_days"] > max(CLEARLY * usual["recency_days"], segment["gap_mean_days"])


def _rhythm(gap_days: float) -> str:
    return next(words for limit, words in RHYTHMS if gap_days <= limit)


def _orders(segment: Mapping[str, float]) -> str:
    return f"{round(segment['orders'])} orders"


def _recency(segment: Mapping[str, float]) -> str:
    return f"last seen {round(segment['recency_days'])} days ago"


def about(amount: float) -> str:
    """Round in wide steps, so that a name does not change with every fit.

    >>> about(0.2), about(57.0), about(1400.0), about(96_000.0)
    ('0', '60', '1500', '100000')
    """
    if amount < 1:
        return "0"
    power = 10.0 ** math.floor(math.log10(amount))
    step = min(STEPS, key=lambda step: abs(math.log(amount / (step * power))))
    return f"{step * power:.12g}"
