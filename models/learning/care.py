"""What an operator asks of the models, and the versions that can serve again.

A request is a record of the topic `examples` and takes effect at its place there, so that what is published stays a
function of that topic. A version that serves again is frozen: its league learns on and is judged on beside it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from models.league.changes import Change
from models.league.labels import LabelLeague
from models.league.league import League
from schemas.requests import Request
from schemas.serving import ServingModel, decode_model, encode_model

KEPT: Final = 8
"""Versions a task that can serve again; the oldest goes, unless it is the one that serves."""
GROWTH, STEP = 1.25, 5_000
"""A version is kept when there are so many times the examples of the last one, or so many more."""
REMEMBERED: Final = 200
"""Requests whose outcome is remembered: one that comes again is not done again."""
CHANGES: Final = 50


class Refused(Exception):
    """A request that cannot be done, in words."""


class Kept(Struct, frozen=True):
    """A version of a serving model. `at` is the newest decision it has learned from, in epoch seconds."""

    version: str
    champion: str
    examples: int
    at: float
    figures: dict[str, float | None] = {}


class Care(Struct):
    """Versions by task, oldest first; what serves frozen; outcomes of requests; changes that no league notes."""

    kept: dict[str, list[Kept]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    changes: dict[str, list[Change]] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)

    def due(self, task: str, champion: str, examples: int) -> bool:
        """Whether the present version is to be kept."""
        kept = self.kept.get(task)
        if not kept:
            return examples > 0
        last = kept[-1]
        grown = examples >= min(last.examples * GROWTH, last.examples + STEP) and examples > last.examples
        return grown or champion != last.champion

    def keep(self, task: str, model: ServingModel, version: Kept) -> None:
        """Keep a version, unless it is there."""
        shelf = self.kept.setdefault(task, [])
        if any(one.version == version.version for one in shelf):
            return
        shelf.append(version)
        self.bodies[part(task, version.version)] = encode_model(model)
        while len(shelf) > KEPT:
            oldest = next(one for one in shelf if one.version != self.held.get(task))
            shelf.remove(oldest)
            del self.bodies[part(task, oldest.version)]

    def serving(self, task: str) -> ServingModel | None:
        """Return the version that was asked to serve again; None where the league's own does."""
        version = self.held.get(task)
        return None if version is None else decode_model(self.bodies[part(task, version)])

    def hold(self, task: str, version: str, league: League, reason: str) -> None:
        """Let a version serve again. Raises `Refused` where it is not kept, or serves already."""
        found = next((one for one in self.kept.get(task, ()) if one.version == version), None)
        if found is None:
            there = ", ".join(one.version for one in self.kept.get(task, ())) or "none"
            raise Refused(f"{task} has no version {version} any more; kept are: {there}")
        if self.held.get(task) == version:
            raise Refused(f"version {version} of {task} serves already")
        before = self.held.get(task) or league.version
        self.held[task] = version
        self.note(task, league.examples, "rollback", version, before, reason)

    def release(self, task: str, league: League, reason: str) -> bool:
        """Let the league's own champion serve again; False where it does already."""
        before = self.held.pop(task, None)
        if before is not None:
            self.note(task, league.examples, "release", league.version, before, reason)
        return before is not None

    def note(self, task: str, examples: int, what: str, model: str, before: str, reason: str) -> None:
        """Note a change, with the number of examples after which it came."""
        changes = self.changes.setdefault(task, [])
        changes.append(Change(examples, what, model, before, reason))
        del changes[:-CHANGES]

    def answer(self, request: str, outcome: str) -> None:
        """Remember what became of a request."""
        self.asked[request] = outcome
        while len(self.asked) > REMEMBERED:
            del self.asked[next(iter(self.asked))]

    def state(self) -> dict[str, Any]:
        """Plain data, without bodies: these are `parts`."""
        return dict(msgspec.to_builtins(msgspec.structs.replace(self, bodies={})))

    @classmethod
    def restore(cls, state: Mapping[str, Any], parts: Mapping[str, bytes]) -> "Care":
        """Return what `state` and `parts` were of. Raises `KeyError` where a body is missing."""
        made = msgspec.convert(state, cls)
        names = [part(task, one.version) for task, shelf in made.kept.items() for one in shelf]
        made.bodies = {name: parts[name] for name in names}
        return made


def part(task: str, version: str) -> str:
    """Name of a version's body among what is saved once."""
    return f"kept:{task}:{version}"


def promote_labels(league: LabelLeague, request: Request) -> None:
    """Let an entrant serve because somebody said so. Raises `Refused`."""
    if request.model not in league.eligible():
        raise Refused(f"{request.model} cannot serve {league.task}: {', '.join(league.eligible())} can")
    league.promote_by_hand(request.model, request.reason())


def allow_labels(league: League, request: Request) -> None:
    """Change what learning an example may take because somebody said so. Raises `Refused`."""
    if not isinstance(league, LabelLeague):
        raise Refused(f"{league.task} has no budget: all its entrants together take less than one of the others")
    if not 0.0 < request.microseconds < 1e9:
        raise Refused(f"a budget is a number of microseconds above 0, not {request.microseconds}")
    league.allow_by_hand(request.microseconds, request.reason())
