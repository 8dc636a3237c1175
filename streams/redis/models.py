"""The serving models in Redis: who scores follows them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import redis.asyncio

from models.serving_set import ServingSet
from schemas.choice import decode_choice
from schemas.segments import decode_segments
from schemas.serving import decode_model
from streams.errors import Misconfigured
from streams.redis.client import redis_errors
from streams.redis.keys import Keys

EVERY: Final = 0.25
"""Seconds between looks."""

_READERS: Final[dict[str, Callable[[bytes], Any]]] = {"segments": decode_segments, "brand_choice": decode_choice}


class ModelFeed:
    """Keeps `current` as new as what is published. Versions are compared, models are read when they change.

    Parameters
    ----------
    pins
        The version of each task to score with instead, whatever is published; a task not named has no model.
    """

    def __init__(
        self, client: redis.asyncio.Redis, keys: Keys, initial: ServingSet, pins: Mapping[str, str] | None = None
    ) -> None:
        self.client: Any = client
        self.keys = keys
        self.current = initial if pins is None else ServingSet()
        self.pins = pins
        self.versions: dict[str, str] = {}

    async def look(self) -> None:
        """Read what has changed. Raises `Unavailable`; `Misconfigured` where a pinned version is not there."""
        if self.pins is not None:
            if not self.versions:
                await self._look_up(self.pins)
            return
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
        models = {task: _read(task, body) for task, body in zip(changed, bodies, strict=True) if body is not None}
        kept = {task: getattr(self.current, task) for task in ServingSet.__struct_fields__}
        self.current = ServingSet(**(kept | models))
        self.versions = found

    async def _look_up(self, pins: Mapping[str, str]) -> None:
        models: dict[str, Any] = {}
        for task, version in pins.items():
            if task not in ServingSet.__struct_fields__:
                raise Misconfigured(f"STREAMSCORE_MODELS: there is no task {task}")
            with redis_errors():
                kept = await self.client.mget([self.keys.model_version(task, version), self.keys.model(task)])
            found = [model for model in (_read(task, body) for body in kept if body) if model.version == version]
            if not found:
                key = self.keys.model_version(task, version)
                raise Misconfigured(f"STREAMSCORE_MODELS: {task} has no version {version}: put its JSON at {key}")
            models[task] = found[0]
        self.current = ServingSet(**models)
        self.versions = dict(pins)


def _read(task: str, body: bytes) -> Any:
    return _READERS.get(task, decode_model)(body)
