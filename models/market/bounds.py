"""How large a sum may become: what does not fit into 64 bits could not be saved."""

from typing import Final

MOST: Final = 1 << 62


def bounded(amount: int) -> int:
    """Return an amount that can be saved; a sum stays where it cannot grow any more.

    >>> bounded(3) == 3 and bounded(10**30) == MOST and bounded(-(10**30)) == -MOST
    True
    """
    return max(-MOST, min(amount, MOST))
