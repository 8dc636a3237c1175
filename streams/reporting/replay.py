"""What running workers made of a replay: the report that demo and backtest write."""

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.error import URLError

from streams.errors import Unavailable
from streams.redis.client import reader, redis_errors
from streams.reporting.job import Learned, build_report, places
from streams.settings import Settings

PATIENCE: Final = 120.0
"""Seconds without any progress before it is given up."""
LOOK: Final = 0.2


class Measured:
    """A replay from its first event to what was learned of it.

    Events are counted from here on; models, segments and sales are what the job has learned in all.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.began = settings, time.time()
        with redis_errors(), reader(settings) as client:
            self.before = places(client, settings)

    def report(self, sent: int, say: Callable[[str], None], patience: float = PATIENCE) -> dict[str, Any]:
        """Wait until all is scored and learned, and return the report.

        Raises
        ------
        Unavailable
            Nothing moves for so long: no worker runs on these topics, or it is stuck.
        """
        wanted = sum(at.next for place in self.before for at in place.topics.values()) + sent
        done, moved = -1, time.monotonic()
        with redis_errors(), reader(self.settings) as client:
            while True:
                now = sum(at.next for place in places(client, self.settings) for at in place.topics.values())
                if now != done:
                    done, moved = now, time.monotonic()
                    say(f"scored {max(sent - (wanted - done), 0):,} of {sent:,}")
                if done >= wanted:
                    break
                self._wait(moved, patience, f"{wanted - done:,} events are not scored")
            seconds, moved = time.time() - self.began, time.monotonic()
            say("learning")
            with Learned(client, self.settings) as learned:
                while not learned():
                    self._wait(moved, patience, "the learner is not at the end of `examples`")
        return build_report(self.settings, seconds, self._metrics(), self.before)

    @staticmethod
    def _wait(moved: float, patience: float, words: str) -> None:
        if time.monotonic() > moved + patience:
            raise Unavailable(f"nothing has moved for {patience:.0f} s, and {words}: does `streamscore worker` run?")
        time.sleep(LOOK)

    def _metrics(self) -> str | None:
        """Where a worker of these settings tells its delays; None where none does."""
        from streams.reporting.job import quantiles

        address = f"http://{self.settings.metrics_host}:{self.settings.metrics_port}/metrics"
        if not self.settings.metrics_port:
            return None
        try:
            quantiles(address)
        except (URLError, OSError, KeyError, IndexError):
            return None
        return address
