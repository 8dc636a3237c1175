"""Market and brands on a terminal: what is said of them, printed."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from streams.reporting import brand_words, market_words
from streams.reporting.market_words import Block

SHOWN_BRANDS: Final = 12
SHOWN_CATEGORIES: Final = 10
SHOWN_MONTHS: Final = 4


def _print(console: Console, blocks: Iterable[Block]) -> None:
    for block in blocks:
        if isinstance(block, str):
            console.print(block)
            continue
        table = Table(*block.columns, title=block.title, title_justify="left")
        table.columns[0].overflow = "fold"  # two names that are cut may look alike
        for column in table.columns[1:]:
            column.justify = "right"
        for row in block.rows:
            table.add_row(*row)
        console.print(table)


def markets(console: Console, market: Mapping[str, Any]) -> None:
    """Print the largest categories beside each other, and who comes and goes."""
    sheets = (
        market_words.side_by_side(market, SHOWN_CATEGORIES),
        market_words.customers(market.get("all", {}), SHOWN_MONTHS),
    )
    _print(console, (sheet for sheet in sheets if sheet.rows))


def show_market(console: Console, category: str, figures: Mapping[str, Any]) -> None:
    """Print one category's market."""
    markets(console, {category: figures})
    _print(console, market_words.of_category(figures))


def show_product(console: Console, product: str, figures: Mapping[str, Any]) -> None:
    """Print what is bought with a product, how its quantity goes with its price, and what others ask."""
    _print(console, market_words.of_product(product, figures))


def brands(console: Console, found: Mapping[str, Any]) -> None:
    """Print the largest brands beside each other."""
    nothing = "Brands: no line of a purchase names one, and no feedback."
    _print(console, [brand_words.side_by_side(found, SHOWN_BRANDS) if found else nothing])


def show_brand(
    console: Console, name: str, figures: Mapping[str, Any], brands: Mapping[str, Any] | None = None
) -> None:
    """Print one brand in one category; among all `brands`, who leaves for it, too."""
    _print(console, brand_words.of_brand(name, figures, brands))
