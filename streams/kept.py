"""States of a shard's customers in memory, from one chunk to the next."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from schemas.state import Remembered

MOST: Final = 3_000
"""Customers a shard: some 15 MB."""


class Kept:
    """What the shard's last commits wrote, so that it need not be read again.

    It is as good as Redis only because commits are fenced: whoever holds the shard wrote it last. A chunk
    changes states in place, so they are taken out for it, and come back with a commit known to have gone
    through; it goes with the shard. Beyond `most` customers, whoever was not met for longest goes.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._states: OrderedDict[str, Remembered] = OrderedDict()

    def __contains__(self, customer: object) -> bool:
        return customer in self._states

    def __len__(self) -> int:
        return len(self._states)

    def take(self, customers: Iterable[str]) -> dict[str, Remembered]:
        """Take out whoever is known of some customers."""
        found = {}
        for customer in customers:
            remembered = self._states.pop(customer, None)
            if remembered is not None:
                found[customer] = remembered
        return found

    def keep(self, customers: Mapping[str, Remembered | None]) -> None:
        """Keep what a commit has written. None: nothing is remembered of that customer."""
        states = self._states
        for customer, remembered in customers.items():
            states.pop(customer, None)
            if remembered is not None:
                states[customer] = remembered
        while len(states) > self.most:
            states.popitem(last=False)
