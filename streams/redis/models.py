"""The serving models in Redis: who scores follows them."""

from collections.abc import Callable
from typing import Any, Final

import redis.asyncio

from models.serving_set import ServingSet
from schemas.choice import decode_choice
from schemas.segments import decode_segments
from schemas.serving import decode_model
from streams.redis.client import redis_errors
from streams.redis.keys import Keys

EVERY: Final = 0.25
"""Seconds between looks."""

_READERS: Final[dict[str, Callable[[bytes], Any]]] = {"segments": decode_segments, "brand_choice": decode_choice}


class ModelFeed:
    """Keeps `current` as new as what is published. Versions are compared, models are read when they change."""

    def __init__(self, client: redis.asyncio.Redis, keys: Keys, initial: ServingSet) -> None:
        self.client: Any = client
        self.keys = keys
        self.current = initial
        self.versions: dict[str, str] = {}

    async def look(self) -> None:
        """Read what has changed. Raises `Unavailable`."""
        with redis_errors():
            found = {
                task.decode(): version.decode()
                for task, version in (await self.client.hgetall(self.keys.models)).items()
                if task.decode() in ServingSet.__struct_fields__  # a newer learner may publish more
            }
            changed = [task for task, version in found.items() if self.versions.get(task) != version]
            if not changed:
                return
            bodies = await self.client.mget([self.keys.model(task) for task in changed])
        models = {
            task: _READERS.get(task, decode_model)(body)
            for task, body in zip(changed, bodies, strict=True)
            if body is not None
        }
        kept = {task: getattr(self.current, task) for task in ServingSet.__struct_fields__}
        self.current = ServingSet(**(kept | models))
        self.versions = found
