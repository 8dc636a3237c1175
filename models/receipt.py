"""A sale's lines, gone through once for all who read them: the customer's facts, sales, market and brands."""

from typing import Final

from msgspec import Struct

from schemas.events import Line, Purchase, Refund

E4: Final = 10_000
UNCATEGORISED: Final = "other"


class Shelf(Struct):
    """Lines of one category, with their amounts in 1/10,000 of the currency, each rounded by itself.

    `is_named`: the category is said; otherwise it is `UNCATEGORISED`.
    """

    lines: list[Line]
    amounts: list[int]
    is_named: bool


class Receipt(Struct):
    """A sale with its lines by category, in the order in which these come. `total_e4` is that of all lines."""

    event: Purchase | Refund
    sign: int
    total_e4: int
    shelves: dict[str, Shelf]
    is_branded: bool


def read(event: Purchase | Refund) -> Receipt:
    """Go through a sale's lines."""
    total, is_branded = 0, False
    shelves: dict[str, Shelf] = {}
    for line in event.lines:
        amount = line_e4(line)
        total += amount
        is_branded = is_branded or line.brand is not None
        category = line.category or UNCATEGORISED
        shelf = shelves.get(category)
        if shelf is None:
            shelves[category] = Shelf([line], [amount], bool(line.category))
            continue
        shelf.lines.append(line)
        shelf.amounts.append(amount)
        shelf.is_named = shelf.is_named or bool(line.category)
    return Receipt(event, 1 if isinstance(event, Purchase) else -1, total, shelves, is_branded)


def line_e4(line: Line) -> int:
    """Quantity times price, in 1/10,000 of the currency."""
    return round(line.quantity * line.unit_price * E4)


def amount_e4(lines: tuple[Line, ...]) -> int:
    """Total of the lines, in 1/10,000 of the currency; each line is rounded by itself."""
    return sum(line_e4(line) for line in lines)
