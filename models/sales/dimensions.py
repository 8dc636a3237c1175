"""What a sale is counted by: names of the series, and which of them divide the same total.

`all` is all that was sold in the main currency. `category:lights`, `country:France` and `channel:web` are parts
of it, by three dimensions; `other`, `other:country` and `other:channel` are what no series of the dimension has.
`all:EUR` is what was sold in another currency, and `other:currency` the sum of those beyond the bound.
"""

from collections.abc import Iterable
from typing import Final, Literal, get_args

Dimension = Literal["category", "country", "channel", "currency"]
Split = Literal["country", "channel"]
ALL: Final = "all"
OTHER: Final = "other"
SPLITS: Final[tuple[Split, ...]] = get_args(Split)
"""Those that a shop asks for."""
PARTS: Final[tuple[Dimension, ...]] = ("category", *SPLITS)
"""Each divides `all`."""


def split_of(names: str) -> tuple[Split, ...]:
    """Read dimensions that are set apart by commas. Raises `ValueError` where one is not known.

    >>> split_of("channel, country")
    ('country', 'channel')
    """
    given = {name.strip() for name in names.split(",") if name.strip()}
    if unknown := given.difference(SPLITS):
        raise ValueError(f"{min(unknown)!r} is none of {', '.join(SPLITS)}")
    return tuple(name for name in SPLITS if name in given)


def part(dimension: Dimension, name: str | None) -> str:
    """Return the name of a series; where it is not known which, that of the rest."""
    return rest(dimension) if not name else f"{dimension}:{name}"


def rest(dimension: Dimension) -> str:
    """Return the name of the series of what no other of the dimension has."""
    return OTHER if dimension == "category" else f"{OTHER}:{dimension}"


def dimension_of(series: str) -> Dimension | None:
    """Return what a series is a part by; None of the whole.

    >>> [dimension_of(name) for name in ("all", "all:EUR", "category:lights", "other", "other:country")]
    [None, 'currency', 'category', 'category', 'country']
    """
    if series == ALL:
        return None
    if series.startswith(f"{ALL}:"):
        return "currency"
    for dimension in PARTS:
        if series.startswith(f"{dimension}:") or series == rest(dimension):
            return dimension
    return "currency" if series == rest("currency") else "category"


def currency_of(series: str, main: str) -> str | None:
    """Return the currency of a series' amounts; None of the sum of several.

    >>> [currency_of(name, "GBP") for name in ("all", "all:EUR", "country:France", "other:currency")]
    ['GBP', 'EUR', 'GBP', None]
    """
    if series == rest("currency"):
        return None
    return series.removeprefix(f"{ALL}:") if dimension_of(series) == "currency" else main


def ordered(series: Iterable[str]) -> list[str]:
    """Return names as they are shown: the whole, then each dimension by name, with its rest at the end.

    >>> ordered(["country:GB", "other", "all:EUR", "category:tea", "other:country", "all"])
    ['all', 'category:tea', 'other', 'country:GB', 'other:country', 'all:EUR']
    """

    def place(name: str) -> tuple[int, bool, str]:
        dimension = dimension_of(name)
        if dimension is None:
            return -1, False, name
        return get_args(Dimension).index(dimension), name == rest(dimension), name

    return sorted(series, key=place)
