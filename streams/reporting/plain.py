"""Text from outside on a terminal: it is shown, never obeyed."""

import re
from typing import Any, Final

from rich.console import Console
from rich.text import Text

_OBEYED: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f"  # control characters; terminal escapes begin with one
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # those that turn the direction of writing
    "\u2028\u2029\ud800-\udfff]"  # further ends of lines; halves of pairs, which cannot be encoded
)


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return text with what a terminal would obey written as an escape; ends of lines too, unless `lines` keeps them.

    >>> visible("a\x1b[2J\nb"), visible("a\nb", lines=True), visible("Käse [bold]")
    ('a\\x1b[2J\\nb', 'a\nb', 'Käse [bold]')
    """
    shown = _OBEYED.sub(lambda found: _escape(found[0]), text)
    return shown if lines else shown.replace("\n", "\\n")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


class Plain(Console):
    """A console on which a string is no markup and no command, wherever it stands: in a print, a table, a title.

    Styles are given as `Text`. So no name of a product, brand, campaign or customer has to be escaped by hand.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text of its own characters."""
        return super().render_str(visible(text, lines=True), **options)
