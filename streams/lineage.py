"""Where published models come from, and the versions that are kept: what the learner's commit writes of them."""

import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any, Final

import msgspec

from models.learning import Learning
from models.learning.care import part
from streams.redis.keys import Keys
from streams.settings import Settings

LIBRARIES: Final = ("streamscore", "river", "numpy", "scipy")
LEARNED_WITH: Final = (
    "currency", "timezone", "holidays", "sales_by", "window_days", "response_days", "lateness_seconds",
    "response_lateness_seconds", "window_lateness_seconds", "sales_lateness_seconds", "draw_days", "example_share",
)  # fmt: skip
"""Settings that change what is learned; those that are not set, or that a release does not have, are left out."""
Command = list[Any]


@cache
def libraries() -> dict[str, str]:
    """Return the versions of what models are made with."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = installed(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def lineage(settings: Settings, learning: Learning, task: str, offset: int | None) -> dict[str, Any]:
    """Return where the present model of a task comes from. `offset` is the next of `examples`."""
    league = learning.leagues.get(task)
    newest = learning.leagues.care.newest.get(task)
    return {
        "champion": learning.leagues.champion(task) if league is not None else None,
        "examples": league.examples if league is not None else None,
        "newest_example_at": None if newest is None else _rfc3339(newest),
        "learner": learning.leagues.name,
        "offset": offset,
        "published_at": _rfc3339(time.time()),
        "settings": _learned_with(settings),
        "libraries": libraries(),
    }


def _learned_with(settings: Settings) -> dict[str, Any]:
    found = {name: getattr(settings, name, None) for name in LEARNED_WITH}
    return {name: value for name, value in found.items() if value is not None}


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Shelf:
    """What of the kept versions stands in Redis, as far as this learner knows."""

    def __init__(self, there: Mapping[str, set[str]]) -> None:
        self.there = {task: set(some) for task, some in there.items()}

    def commands(
        self, keys: Keys, settings: Settings, learning: Learning, offset: int
    ) -> tuple[list[Command], "Shelf"]:
        """Commands that make Redis hold what is kept, and no more; and what is there once they are done."""
        commands: list[Command] = []
        care = learning.leagues.care
        for task, kept in care.kept.items():
            there = self.there.get(task, set())
            for one in kept:
                if one.version in there:
                    continue
                own = {
                    "champion": one.champion, "examples": one.examples, "newest_example_at": _rfc3339(one.at),
                    "figures": one.figures,
                }  # fmt: skip
                told = msgspec.json.encode(lineage(settings, learning, task, offset) | own).decode()
                body = care.bodies[part(task, one.version)]
                commands.append(["SET", keys.model_version(task, one.version), body])
                commands.append(["HSET", keys.versions(task), one.version, told])
            for old in sorted(there - {one.version for one in kept}):
                commands.append(["UNLINK", keys.model_version(task, old)])
                commands.append(["HDEL", keys.versions(task), old])
        return commands, Shelf(
            {task: {one.version for one in kept} for task, kept in learning.leagues.care.kept.items()}
        )


def published(settings: Settings, keys: Keys, learning: Learning, task: str, version: str, offset: int) -> Command:
    """Command that says where a model that is being published comes from."""
    kept = next((one for one in learning.leagues.care.kept.get(task, ()) if one.version == version), None)
    told = lineage(settings, learning, task, offset) | {"version": version}
    if kept is not None:
        told |= {"champion": kept.champion, "examples": kept.examples, "newest_example_at": _rfc3339(kept.at)}
    return ["HSET", keys.lineage, task, msgspec.json.encode(told).decode()]
