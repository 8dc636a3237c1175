"""How often something large may be written."""

from typing import Final

SOONEST: Final = 0.5
"""Seconds between writes, at least."""
BYTES_PER_SECOND: Final = 1_000_000
AT_ONCE: Final = 16_000_000
"""Bytes written at any speed after a rest."""


class Pace:
    """Seconds to wait after each write, so that in the long run a rate in bytes holds.

    A burst of writes goes on at once, as far as no more was written of late than is written anyway.
    """

    def __init__(self) -> None:
        self._owed = 0.0
        self._at = float("-inf")

    def after(self, size: int, now: float) -> float:
        """Take note of a write of `size` bytes at `now`; return the seconds until the next may come."""
        self._owed = max(self._owed - (now - self._at) * BYTES_PER_SECOND, 0.0) + size
        self._at = now
        return max(SOONEST, (self._owed - AT_ONCE) / BYTES_PER_SECOND)
