"""The trivial answers that a champion has to beat: a rate, a mean, one feature's rule, more of the same."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

from models.league.binary import COLD, PRIOR_WEIGHT
from models.league.contract import Features
from models.league.kalman import log_odds
from schemas.serving import LinearModel

RULE_BINS: Final = 40
"""Bins of a rule's feature, four a unit of log1p: the last begins at 17,000 and takes all above."""


class _Baseline:
    """Plain numbers alone. Most are judged and shown, not served."""

    kind: str
    kept: ClassVar[tuple[str, ...]]
    since: ClassVar[dict[str, Any]] = {}
    """Of what is kept: what older states do not have."""

    def compiled(self, task: str, version: str, names: Sequence[str]) -> LinearModel | None:  # noqa: ARG002 - contract
        """Return None: nobody serves it."""
        return None

    def forget(self, names: Sequence[str]) -> None:
        """No baseline looks at attributes."""

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind} | {name: getattr(self, name) for name in self.kept}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the baseline whose state this was."""
        made = cls.__new__(cls)
        for name in cls.kept:
            setattr(made, name, (cls.since | state)[name])
        return made


class RunningMean(_Baseline):
    """The mean of all targets so far, drawn towards the prior: of labels the base rate."""

    kind = "running_mean"
    kept = ("prior", "seen", "total")

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self.seen = 0
        self.total = 0.0

    def score_one(self, x: Features) -> float:  # noqa: ARG002 - the same for everybody
        """Return the base rate or mean amount."""
        return (self.prior * PRIOR_WEIGHT + self.total) / (PRIOR_WEIGHT + self.seen)

    def learn_one(self, x: Features, y: float) -> None:  # noqa: ARG002 - the same for everybody
        """Count one target; a negative amount as 0."""
        self.seen += 1
        self.total += max(float(y), 0.0)


class RecentRate(_Baseline):
    """The rate of late: each label counts less the older it is, `memory` examples in all; at first all alike."""

    kind = "recent_rate"
    kept = ("rate", "memory", "seen")
    since: ClassVar[dict[str, Any]] = {"seen": COLD}

    def __init__(self, prior: float, memory: float) -> None:
        self.rate, self.memory, self.seen = prior, memory, 0

    def score_one(self, x: Features) -> float:  # noqa: ARG002 - the same for everybody
        """Return the rate of late."""
        return self.rate

    def learn_one(self, x: Features, y: float) -> None:  # noqa: ARG002 - the same for everybody
        """Move towards one label."""
        self.seen += 1
        self.rate += (bool(y) - self.rate) / min(PRIOR_WEIGHT + self.seen, self.memory)

    def compiled(self, task: str, version: str, names: Sequence[str]) -> LinearModel | None:
        """Return a linear model without weights."""
        if self.seen < COLD:
            return None
        zeros, ones = (0.0,) * len(names), (1.0,) * len(names)
        return LinearModel(
            task=task,
            version=version,
            features=tuple(names),
            mean=zeros,
            scale=ones,
            clip=1.0,
            weights=zeros,
            intercept=log_odds(self.rate),
            link="logit",
        )


class OneFeatureRule(_Baseline):
    """The running rate among examples alike in one feature, such as churn by recency alone.

    The feature is in log1p, as all are. Alike is: in the same of `RULE_BINS` bins, four a unit. A bin
    is drawn towards the rate of all.
    """

    kind = "one_feature_rule"
    kept = ("feature", "prior", "counts", "totals")

    def __init__(self, feature: str, prior: float) -> None:
        self.feature = feature
        self.prior = prior
        self.counts = [0] * RULE_BINS
        self.totals = [0.0] * RULE_BINS

    def _bin(self, x: Features) -> int:
        value = max(x.get(self.feature, 0.0), 0.0)
        return min(int(value * 4.0), RULE_BINS - 1)

    def score_one(self, x: Features) -> float:
        """Rate of the example's bin."""
        place = self._bin(x)
        rate = (self.prior * PRIOR_WEIGHT + sum(self.totals)) / (PRIOR_WEIGHT + sum(self.counts))
        return (rate * PRIOR_WEIGHT + self.totals[place]) / (PRIOR_WEIGHT + self.counts[place])

    def learn_one(self, x: Features, y: float) -> None:
        """Count one target in its bin; a negative amount as 0."""
        place = self._bin(x)
        self.counts[place] += 1
        self.totals[place] += max(float(y), 0.0)


class Persistence(_Baseline):
    """The coming window brings what the last one brought, such as the spend of the last 90 days."""

    kind = "persistence"
    kept = ("feature",)

    def __init__(self, feature: str) -> None:
        self.feature = feature

    def score_one(self, x: Features) -> float:
        """Return the amount whose log1p the feature is, of at least 0."""
        return math.expm1(min(max(x.get(self.feature, 0.0), 0.0), 30.0))

    def learn_one(self, x: Features, y: float) -> None:
        """Nothing is learned."""
