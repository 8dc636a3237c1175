"""What a league did by itself, and why: plain data, as the report has it."""

from typing import Final

from msgspec import Struct

KEPT: Final = 200
"""Changes remembered; the oldest goes."""


class Change(Struct, frozen=True):
    """What a league did by itself, after so many examples, and why."""

    examples: int
    what: str
    model: str
    before: str
    reason: str


def note(changes: list[Change], change: Change) -> None:
    """Add a change to those remembered, in place."""
    changes.append(change)
    del changes[:-KEPT]


def lower(examples: int, model: str, before: str, loss: float, than: float) -> Change:
    """Return the promotion of who has the lower log loss.

    >>> lower(500, "trees", "growth", 0.61, 0.65).reason
    'its log loss is 0.6100, not 0.6500'
    """
    return Change(examples, "promotion", model, before, f"its log loss is {loss:.4f}, not {than:.4f}")
