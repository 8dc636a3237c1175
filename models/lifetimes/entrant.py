"""Buy-till-you-die models as entrants of a league: their parameters come from draws, their footing from examples."""

from collections.abc import Sequence
from copy import copy
from typing import Any, Final, Literal, Self

import msgspec
import numpy as np

from models.league.contract import Features
from models.lifetimes.serve import score_lifetimes, with_intercept
from models.serving import predict
from schemas.lifetimes import Lifetimes
from schemas.serving import LifetimeModel

Target = Literal["churn", "value", "purchases"]
MEMORY: Final = 1.0 / 2_000
"""Share of what was predicted and came that each example replaces."""
SLOWEST: Final = 20.0
"""Examples that the sums count as at least: a correction starts at none."""
LARGEST: Final = 2.0
"""Of a correction. Beyond it the model is wrong, not its level."""


class LifetimeEntrant:
    """One model for one target: no purchase at all, spend, or number of purchases within the window.

    `tell` gives it newly fitted parameters. Amounts are multiplied by what came over what was
    predicted, of some thousand recent examples: BG/NBD on CDNOW predicts 0.86 of what comes.
    """

    kind = "lifetimes"

    def __init__(self, target: Target, days: float, prior: float, model: Lifetimes | None = None) -> None:
        self.target: Target = target
        self.days = days
        self.prior = prior
        self.model = model
        self._known: dict[tuple[float, ...], float] = {}
        self.predicted = 0.0
        self.came = 0.0
        self.seen = 0.0

    def tell(self, model: Lifetimes | None) -> None:
        """Take over newly fitted parameters."""
        self.model = model
        self._known = {}

    def within(self, days: float) -> Self:
        """Return the same for another horizon."""
        other = copy(self)
        other.days = days
        other.tell(self.model)
        return other

    def factor(self) -> float:
        """What came over what was predicted, drawn towards 1, of which it is at most the double or the half."""
        if self.target == "churn" or self.seen <= 0.0:
            return 1.0
        usual = SLOWEST * max(self.predicted, self.came) / self.seen
        if usual <= 0.0:
            return 1.0
        return min(max((self.came + usual) / (self.predicted + usual), 1.0 / LARGEST), LARGEST)

    def prepare(self, examples: Sequence[Features]) -> None:
        """Score many examples at once: what comes one by one finds its answer, the same to the bit."""
        self._known = {}
        if self.model is None or not examples:
            return
        model = self._as_served("", "", 1.0)
        keys = [tuple(x.get(name, 0.0) for name in model.features) for x in examples]
        z, _ = score_lifetimes(model, np.array(keys))
        self._known = dict(zip(keys, z.tolist(), strict=True))

    def _raw(self, x: Features) -> float:
        """Return the probability, or the amount without its correction."""
        model = self._as_served("", "", 1.0)
        key = tuple(x.get(name, 0.0) for name in model.features)
        if key not in self._known:
            self.prepare((x,))
        return predict(model, self._known[key])

    def score_one(self, x: Features) -> float:
        """Probability in [0, 1], or amount of at least 0; the prior while cold or for who never bought."""
        return self.prior if self.model is None else self._raw(x) * self.factor()

    def learn_one(self, x: Features, y: float) -> None:
        """Learn how far amounts were off."""
        if self.model is None or self.target == "churn":
            return
        raw = self._raw(x)
        keep = 1.0 - MEMORY
        self.seen = keep * self.seen + 1.0
        self.predicted = keep * self.predicted + raw
        self.came = keep * self.came + max(y, 0.0)

    def forget(self, names: Sequence[str]) -> None:
        """Attributes are nothing to it."""

    def compiled(self, task: str, version: str, names: Sequence[str]) -> LifetimeModel | None:  # noqa: ARG002 - its columns are its own
        """Return what shards score with; None before the first fit."""
        if self.model is None:
            return None
        return with_intercept(self._as_served(task, f"{version}.{self.model.version}", self.factor()))

    def _as_served(self, task: str, version: str, factor: float) -> LifetimeModel:
        assert self.model is not None  # noqa: S101 - callers looked
        return LifetimeModel(
            task=task,
            version=version,
            target=self.target,
            days=self.days,
            factor=factor,
            prior=self.prior,
            lifetimes=self.model,
            link="logit" if self.target == "churn" else "log1p",
        )

    def state(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "kind": self.kind,
            "target": self.target,
            "days": self.days,
            "prior": self.prior,
            "model": None if self.model is None else msgspec.to_builtins(self.model),
            "sums": (self.predicted, self.came, self.seen),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the entrant whose state this was."""
        model = None if state["model"] is None else msgspec.convert(state["model"], Lifetimes)
        made = cls(state["target"], state["days"], state["prior"], model)
        made.predicted, made.came, made.seen = state["sums"]
        return made
