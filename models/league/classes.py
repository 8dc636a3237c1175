"""Tasks with classes: which of several it will be. Judged test-then-train, as all are."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self

import msgspec
from msgspec import Struct, field

from models.league.changes import Change, lower, note
from models.league.prequential import SURE, BinaryQuality

MAX_CLASSES: Final = 256
"""Classes told apart in `macro_f1`; further ones are one class together."""
REST: Final = "\x00rest"
FADE: Final = 0.999
"""What an older loss weighs when the champion is looked at, an example."""
LOOK_EVERY: Final = 100
MARGIN: Final = 0.005
"""Nats by which a challenger must be better than the champion to take its place."""


class ClassLearner(Protocol):
    """Says how probable each class is, online and in bounded memory. What an example is, is the task's."""

    kind: str

    def score_one(self, x: Any) -> Sequence[float]:
        """Probabilities that add up to 1, in the order of the example's classes. Learns nothing."""

    def learn_one(self, x: Any, y: int) -> None:
        """Learn one example: `y` is the place of the class that it was."""

    def state(self) -> dict[str, Any]:
        """Plain data, with `kind`. It is alive: freeze it before the next example."""

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the learner whose `state` this was; its future is the same, to the bit."""


class ClassQuality(Struct):
    """How good probabilities of classes are, in counts alone.

    `classes` holds, by class: foreseen rightly, foreseen, came. `watched` judges one class of each
    example as a task of its own, such as the same brand as last time.
    """

    count: int = 0
    right: int = 0
    log_loss: float = 0.0
    classes: dict[str, list[int]] = field(default_factory=dict)
    watched: BinaryQuality = field(default_factory=BinaryQuality)

    def update(self, names: Sequence[str], p: Sequence[float], y: int, at: float, watched: int | None) -> None:
        """Judge one example. `at` is event time in epoch seconds."""
        foreseen = max(range(len(p)), key=p.__getitem__)
        self.count += 1
        self.right += foreseen == y
        self.log_loss -= math.log(max(p[y], SURE))
        self._class(names[foreseen])[1] += 1
        came = self._class(names[y])
        came[2] += 1
        came[0] += foreseen == y
        if watched is not None:
            self.watched.update(y == watched, p[watched], at)

    def _class(self, name: str) -> list[int]:
        if name not in self.classes and len(self.classes) >= MAX_CLASSES:
            name = REST
        return self.classes.setdefault(name, [0, 0, 0])

    def report(self) -> dict[str, float | None]:
        """Return the metrics by name; None where there is nothing to tell yet.

        `macro_f1` is the mean over the classes that came or were foreseen; `auc` is that of the watched class.
        """
        f1 = [2 * right / (foreseen + came) for right, foreseen, came in self.classes.values() if foreseen + came]
        return {
            "accuracy": self.right / self.count if self.count else None,
            "macro_f1": math.fsum(f1) / len(f1) if f1 else None,
            "log_loss": self.log_loss / self.count if self.count else None,
            "auc": self.watched.report()["auc"],
        }


class ClassLeague:
    """Judges and teaches the entrants of one task. A function of its examples, in their order.

    Parameters
    ----------
    entrants
        By name; the first is champion until another is better by `MARGIN` of log loss on recent examples.
    baselines
        Judged beside them, never champion.
    trivial
        The entrant that is trivial too: it serves while nobody is better, and is reported as a baseline.
    judge_from
        Examples before this event time, in epoch seconds, are learned and not judged.
    """

    def __init__(
        self,
        task: str,
        entrants: Mapping[str, ClassLearner],
        baselines: Mapping[str, ClassLearner],
        trivial: str | None = None,
        judge_from: float = -math.inf,
    ) -> None:
        self.task = task
        self.judge_from = judge_from
        self.examples = 0
        self.trivial = trivial
        self.entrants = dict(entrants)
        self.baselines = dict(baselines)
        self.champion = next(iter(entrants))
        self.fresh = {name: ClassQuality() for name in (*entrants, *baselines)}
        self.recent = dict.fromkeys(self.entrants, 0.0)
        self.weight = 0.0
        self.promotions = 0
        self.changes: list[Change] = []

    def score_one(self, x: Any) -> Sequence[float]:
        """Return the champion's probabilities."""
        return self.entrants[self.champion].score_one(x)

    def mature(self, x: Any, y: int, names: Sequence[str], at: float, watched: int | None = None) -> Sequence[float]:
        """Test, then train; return the champion's probabilities from before.

        Parameters
        ----------
        names
            The example's classes.
        y, watched
            Places of the class that came, and of the one judged by itself; None where there is none.
        at
            Event time in epoch seconds.
        """
        given: dict[str, Sequence[float]] = {}
        for name, learner in {**self.entrants, **self.baselines}.items():
            p = given[name] = learner.score_one(x)
            if at >= self.judge_from:
                self.fresh[name].update(names, p, y, at, watched)
            learner.learn_one(x, y)
        self.examples += 1
        self.weight = self.weight * FADE + 1.0
        for name in self.entrants:
            self.recent[name] = self.recent[name] * FADE - math.log(max(given[name][y], SURE))
        before = given[self.champion]
        if self.examples % LOOK_EVERY == 0:
            self._look()
        return before

    def _look(self) -> None:
        best = min(self.recent, key=self.recent.__getitem__)
        if self.recent[best] + MARGIN * self.weight < self.recent[self.champion]:
            losses = (self.recent[name] / self.weight for name in (best, self.champion))
            note(self.changes, lower(self.examples, best, self.champion, *losses))
            self.champion = best
            self.promotions += 1

    def report(self) -> dict[str, Any]:
        """Return the task's part of the report. `positives` are examples where the watched class came."""
        watched = self.fresh[self.champion].watched
        return {
            "examples": self.examples,
            "judged": self.fresh[self.champion].count,
            "positives": sum(watched.positives),
            "champion": self.champion,
            "models": {
                name: self.fresh[name].report() | {"microseconds_per_example": None}
                for name in self.entrants
                if name in (self.champion, *(set(self.entrants) - {self.trivial}))
            },
            "baselines": {
                name: quality.report()
                for name, quality in self.fresh.items()
                if name == self.trivial or name in self.baselines
            },
            "changes": [msgspec.to_builtins(change) for change in self.changes],
        }

    def state(self) -> dict[str, Any]:
        """Plain data, for `freeze`. It is alive: freeze it before the next example."""
        return {
            "champion": self.champion,
            "examples": self.examples,
            "learners": {name: learner.state() for name, learner in {**self.entrants, **self.baselines}.items()},
            "fresh": {name: msgspec.to_builtins(quality) for name, quality in self.fresh.items()},
            "recent": self.recent,
            "weight": self.weight,
            "promotions": self.promotions,
            "changes": [msgspec.to_builtins(change) for change in self.changes],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` was taken of, in a league of the same entrants; the future is the same, to the bit."""
        for learners in (self.entrants, self.baselines):
            for name, learner in learners.items():
                learners[name] = type(learner).restore(state["learners"][name])
        self.champion, self.examples = state["champion"], state["examples"]
        self.promotions = state["promotions"]
        self.changes = msgspec.convert(state.get("changes", []), list[Change])  # not kept before
        self.fresh = {name: msgspec.convert(kept, ClassQuality) for name, kept in state["fresh"].items()}
        recent = state["recent"]  # one that was no entrant then is as good as the champion
        self.recent = {name: recent.get(name, recent[self.champion]) for name in self.entrants}
        self.weight = state["weight"]
