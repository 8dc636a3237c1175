"""Which currency is the main one, who chose it, and whether sales are in it."""

from collections.abc import Mapping
from typing import Any, Final

SHOWN: Final = 12
"""Currencies that are counted one by one in the report, the most frequent."""
ENOUGH: Final = 14
"""Days of sales in another currency before a worker warns of it."""
_CHOSEN: Final = {
    "setting": "as STREAMSCORE_CURRENCY says",
    "first_sale": "that of the first sale, for STREAMSCORE_CURRENCY is not set",
    "default": "the default, for STREAMSCORE_CURRENCY is not set and nothing was sold",
}


def of_sales(main: str, chosen_by: str, sales: Mapping[str, int]) -> dict[str, Any]:
    """Return the part `currency` of a report.

    Parameters
    ----------
    main
        The main currency.
    chosen_by
        Why it is: `setting`, `first_sale` or `default`.
    sales
        How many sales were in each currency, refunds among them.
    """
    most = sorted(sales.items(), key=lambda one: (-one[1], one[0]))
    return {
        "main": main,
        "chosen_by": chosen_by,
        "sales": dict(most[:SHOWN]),
        "warning": _elsewhere(main, sum(sales.values()), *most[0])
        if most and most[0][1] > sales.get(main, 0)
        else None,
    }


def _elsewhere(main: str, count: int, other: str, there: int) -> str:
    return (
        f"{there:,} of {count:,} sales are in {other}, and the main currency is {main}. Spend, value, segments and the "
        f"forecast of all sales know of {main} alone: set STREAMSCORE_CURRENCY={other} to judge these."
    )


def of_days(main: str, days: Mapping[str, int]) -> str | None:
    """Return a warning where another currency has sold on twice as many days as the main one; None where none has.

    >>> of_days("GBP", {"EUR": 60, "GBP": 3})
    'EUR sold on 60 days and the main currency, GBP, on 3: is STREAMSCORE_CURRENCY=EUR meant?'
    >>> of_days("EUR", {"EUR": 60, "GBP": 13}), of_days("EUR", {"GBP": 13})
    (None, None)
    """
    others = {name: n for name, n in days.items() if name != main}
    most = max(others, key=others.__getitem__, default=main)
    mine = days.get(main, 0)
    if others.get(most, 0) < ENOUGH or others[most] <= 2 * mine:
        return None
    told = f"{most} sold on {others[most]:,} days and the main currency, {main}, on {mine:,}"
    return f"{told}: is STREAMSCORE_CURRENCY={most} meant?"


def chosen(currency: Mapping[str, Any]) -> str:
    """Say which currency is the main one, and why.

    >>> chosen({"main": "EUR", "chosen_by": "first_sale"})
    'Main currency: EUR, that of the first sale, for STREAMSCORE_CURRENCY is not set.'
    """
    return f"Main currency: {currency['main']}, {_CHOSEN[currency['chosen_by']]}."
