"""The serving models in Redis: who scores follows them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
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


class Pin(msgspec.Struct, frozen=True):
    """A version to score with at once, because an operator asked for it; `at` by the operator's clock."""

    task: str
    version: str
    at: float


class ModelFeed:
    """Keeps `current` as new as what is published, or as what an operator has rolled back to.

    Versions are compared, models are read when they change.

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
            published, pinned = await self._two(self.keys.models, self.keys.pinned)
            found = {
                task.decode(): version.decode()
                for task, version in published.items()
                if task.decode() in ServingSet.__struct_fields__  # a newer learner may publish more
            }
            pins = sorted((msgspec.json.decode(body, type=Pin) for body in pinned.values()), key=lambda pin: pin.at)
            found |= {pin.task: pin.version for pin in pins if pin.task in found}
            changed = [task for task, version in found.items() if self.versions.get(task) != version]
            if not changed:
                return
            own = {pin.task for pin in pins if found[pin.task] == pin.version}
            keys = [self.keys.model_version(t, found[t]) if t in own else self.keys.model(t) for t in changed]
            bodies = await self.client.mget(keys)
        models = {task: _read(task, body) for task, body in zip(changed, bodies, strict=True) if body is not None}
        kept = {task: getattr(self.current, task) for task in ServingSet.__struct_fields__}
        self.current = ServingSet(**(kept | models))
        self.versions = found

    async def _two(self, *hashes: str) -> list[dict[bytes, bytes]]:
        pipe = self.client.pipeline(transaction=False)
        for key in hashes:
            pipe.hgetall(key)
        found: list[dict[bytes, bytes]] = await pipe.execute()
        return found

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
