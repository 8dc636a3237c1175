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
        amount = round(line.quantity * line.unit_price * E4)
        total += amount
        if line.brand is not None:
            is_branded = True
        category = line.category or UNCATEGORISED
        shelf = shelves.get(category)
        if shelf is None:
            shelves[category] = Shelf([line], [amount], line.category is not None)
        else:
            shelf.lines.append(line)
            shelf.amounts.append(amount)
            if line.category is not None:
                shelf.is_named = True
    return Receipt(event, 1 if isinstance(event, Purchase) else -1, total, shelves, is_branded)


def amount_e4(lines: tuple[Line, ...]) -> int:
    """Total of the lines, in 1/10,000 of the currency; each line is rounded by itself, as in `read`."""
    return sum(round(line.quantity * line.unit_price * E4) for line in lines)
