"""What goes on beside a block: a thread that begins and ends with it."""

from __future__ import annotations

import threading
from typing import Self


class Background:
    """Takes a turn every so many seconds while its block runs."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.turn()

    def turn(self) -> None:
        """Do what is done again and again."""
        raise NotImplementedError
