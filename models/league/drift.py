"""Alarms of one league: the champion's loss, the rate of labels, and the champion's skill.

Loss and rate have an adaptive window each (ADWIN). A loss that falls is no alarm: it does so by itself where a
response becomes rarer, and where models learn.

Skill is by how much the champion's loss is lower than that of the rate of late, as a share of that rate's entropy:
how hard a stretch is for anybody, and how rare a response, hardly count. Where fewer than 20 of the last 2,000 labels
are of the rarer kind, each of them moves it more than any change would, and nothing is said of it. A one-sided CUSUM
adds up how far it stays below its own mean so far. Were skills normal and independent, a false alarm would come once
in 11,000 examples; skills of three simulated shops, drawn at random, raised one in 20,000 to 30,000. A fall by a
sixth of the spread is found after some 600 examples. One by a twelfth takes any test with as few false alarms 2,700
(Lorden 1971): models may well have learned anew by then.

References
----------
Bifet and Gavalda (2007), Learning from time-changing data with adaptive windowing, SIAM Int. Conf. Data Mining.
Page (1954), Continuous inspection schemes, Biometrika 41, 100-115.
Lorden (1971), Procedures for reacting to a change in distribution, Ann. Math. Stat. 42, 1897-1908.
"""

import math
from typing import Any, Final, Self

import msgspec
from msgspec import Struct, field
from river.drift import ADWIN

CALM: Final = 1_000
"""Examples after an alarm of a stream before its next one counts; as many before the first of skill."""
DELTA: Final = 1e-4
LOSS_CUT: Final = 5.0
SLACK: Final = 0.05
LIMIT: Final = 40.0
CUT: Final = 3.0
"""Spreads below the mean that one example counts at most."""
MEMORY: Final = 2_000.0
"""Examples that the mean of skill looks back on."""
WORSE: Final = frozenset({"loss", "skill"})
"""Streams whose alarm says that what serves has become worse."""
SURE: Final = 0.02
"""A rate's entropy is never taken as less."""
FEWEST: Final = 20.0
"""Labels of either kind of late, below which skill is not judged."""
LEAST_SPREAD: Final = 0.05
"""The spread of skill is never taken as less: what models still gain by where all is nearly known is no change."""
SKILL_CUT: Final = 2.0
"""Nats that one example counts at most."""


class Skill(Struct):
    """Mean and variance of skill of late, and what it has fallen short of it, with since when."""

    count: int = 0
    mean: float = 0.0
    variance: float = 0.0
    short: float = 0.0
    since: float = 0.0
    total: float = 0.0
    ones: float = 0.0
    zeros: float = 0.0

    def note(self, label: bool) -> bool:
        """Count a label, and return whether there are enough of both of late to say anything."""
        keep = 1.0 - 1.0 / MEMORY
        self.ones, self.zeros = self.ones * keep + label, self.zeros * keep + (not label)
        return min(self.ones, self.zeros) >= FEWEST

    def update(self, value: float, *, judged: bool = True) -> tuple[float, float] | None:
        """Take one example in; where it has fallen, return from what to what, and begin anew."""
        self.count += 1
        off = value - self.mean
        if not judged:
            self.short = self.since = self.total = 0.0
        elif self.count > CALM:
            below = -off / max(math.sqrt(self.variance), LEAST_SPREAD)
            self.short += min(max(below, -CUT), CUT) - SLACK
            self.since, self.total = self.since + 1.0, self.total + value
            if self.short <= 0.0:
                self.short = self.since = self.total = 0.0
            elif self.short > LIMIT:
                fell = self.mean, self.total / self.since
                self.count, self.mean, self.variance = 0, 0.0, 0.0
                self.short = self.since = self.total = 0.0
                return fell
        step = max(1.0 / self.count, 1.0 / MEMORY)
        self.mean += step * off
        self.variance += step * (off * (value - self.mean) - self.variance)
        return None


def skill(loss: float, loss_of_rate: float, rate: float) -> float:
    """By how much a loss, in nats, is lower than that of a rate, as a share of the rate's entropy."""
    entropy = -(rate * math.log(rate) + (1.0 - rate) * math.log(1.0 - rate)) if 0.0 < rate < 1.0 else 0.0
    return min(max(loss_of_rate - loss, -SKILL_CUT), SKILL_CUT) / max(entropy, SURE)


class Alarms(Struct):
    """After how many examples each stream last alarmed, and how often it has."""

    latest: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, int] = field(default_factory=dict)


class Drift:
    """Watches one league's streams. A function of what it is given, in its order."""

    def __init__(self) -> None:
        self.counted = Alarms()
        self.detectors = {"loss": ADWIN(delta=DELTA), "rate": ADWIN(delta=DELTA)}
        self.skill = Skill()

    @property
    def alarms(self) -> dict[str, int]:
        """How often each stream has alarmed."""
        return self.counted.alarms

    def update(self, examples: int, loss: float, label: bool, loss_of_rate: float, rate: float) -> dict[str, str]:
        """Take one example in, the champion's loss and that of the rate of late; return alarms, with their reasons."""
        found = {}
        for stream, value in (("loss", min(loss, LOSS_CUT)), ("rate", float(label))):
            moved = self._moved(stream, value)
            if moved is not None:
                found[stream] = f"{stream} moved from {moved[0]:.4f} to {moved[1]:.4f}"
        judged = self.skill.note(label)
        fell = self.skill.update(skill(loss, loss_of_rate, rate), judged=judged)
        if fell is not None:
            found["skill"] = f"skill fell from {fell[0]:.3f} to {fell[1]:.3f}"
        counted = {}
        for stream, reason in found.items():
            if examples >= self.counted.latest.get(stream, -CALM) + CALM:
                self.counted.latest[stream] = examples
                self.alarms[stream] = self.alarms.get(stream, 0) + 1
                counted[stream] = reason
        return counted

    def _moved(self, stream: str, value: float) -> tuple[float, float] | None:
        detector = self.detectors[stream]
        before = detector.estimation
        detector.update(value)
        after = detector.estimation
        if not detector.drift_detected or (stream == "loss" and after <= before):
            return None
        return before, after

    def state(self) -> dict[str, Any]:
        """River objects and plain data."""
        return {
            "drift": msgspec.to_builtins(self.counted),
            "detectors": self.detectors,
            "skill": msgspec.to_builtins(self.skill),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return what the state was of; one that knew of no skill begins with it."""
        made = cls()
        made.counted = msgspec.convert(state["drift"], Alarms)
        made.detectors = state["detectors"]
        made.skill = msgspec.convert(state.get("skill", {}), Skill)
        return made
