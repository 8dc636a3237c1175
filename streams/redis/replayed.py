"""Which dead letters were sent again."""

import time
from typing import Any, Final

from streams.kafka.dlq import Letter
from streams.redis.client import reader, redis_errors
from streams.redis.keys import Keys
from streams.settings import Settings

KEPT: Final = 100_000
"""Letters remembered; one that was sent again before the last so many counts as open."""


class Replayed:
    """The places of records whose letters were sent again. Raises `Unavailable`."""

    def __init__(self, settings: Settings) -> None:
        self.client: Any = reader(settings, text=True)
        self.key = Keys(settings.prefix).replayed
        with redis_errors():
            self.places: set[str] = set(self.client.zrange(self.key, 0, -1))  # type: ignore[arg-type]

    def __contains__(self, place: str) -> bool:
        """Whether the letter of this record was sent again."""
        return place in self.places

    def add(self, letters: list[Letter]) -> None:
        """Remember letters that Kafka has taken."""
        if not letters:
            return
        now = time.time()
        with redis_errors():
            self.client.zadd(self.key, {letter.place: now for letter in letters})
            self.client.zremrangebyrank(self.key, 0, -KEPT - 1)
        self.places |= {letter.place for letter in letters}
