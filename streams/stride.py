"""How much a shard does at once: much where it has far to go, and never for long."""

import math
from typing import Final

FIRST: Final = 500
LEAST: Final = 50


class Stride:
    """How many records, and how many customers whose timers are due, the next chunk may have.

    Some things are paid once a chunk, or once a customer in it, so an event of a large chunk costs less. After a full
    chunk the limit doubles at most, to what would have taken `longest`; after one that took longer it falls to that.
    A lone event is a chunk of one all the same.

    Parameters
    ----------
    most
        What one commit may hold.
    longest
        Seconds that a chunk should be handled at most.
    """

    def __init__(self, most: int, longest: float = math.inf) -> None:
        self.most, self.longest = most, longest
        self.limit = min(FIRST, most)

    def took(self, size: int, seconds: float) -> None:
        """Take note of a chunk: its records or customers, of which there were more, and how long it was handled."""
        if size >= self.limit or seconds > self.longest:
            fitting = size * self.longest / max(seconds, 1e-9)
            self.limit = int(max(min(fitting, 2.0 * self.limit, self.most), min(LEAST, self.most)))
