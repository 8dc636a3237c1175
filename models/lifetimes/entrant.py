"""Buy-till-you-die models as entrants of a league: their parameters come from draws, their footing from examples."""

from collections.abc import Sequence
from copy import copy
from typing import Any, Literal, Self

import msgspec
import numpy as np

from models.league.contract import Features
from models.lifetimes.serve import score_lifetimes, with_intercept
from models.serving import predict
from schemas.lifetimes import Lifetimes
from schemas.serving import LifetimeModel

Target = Literal["churn", "value", "purchases"]


class LifetimeEntrant:
    """One model for one target: no purchase at all, spend, or number of purchases within the window.

    `tell` gives it newly fitted parameters, from draws. Examples teach it nothing: a correction of its level by what
    came over what was predicted made totals worse on Online Retail, see docs/adr/0015-lifetimes.md.
    """

    kind = "lifetimes"

    def __init__(self, target: Target, days: float, prior: float, model: Lifetimes | None = None) -> None:
        self.target: Target = target
        self.days = days
        self.prior = prior
        self.model = model
        self._known: dict[tuple[float, ...], float] = {}

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

    def prepare(self, examples: Sequence[Features]) -> None:
        """Score many examples at once: what comes one by one finds its answer, the same to the bit."""
        self._known = {}
        if self.model is None or not examples:
            return
        model = self._as_served("", "")
        keys = [tuple(x.get(name, 0.0) for name in model.features) for x in examples]
        z, _ = score_lifetimes(model, np.array(keys))
        self._known = dict(zip(keys, z.tolist(), strict=True))

    def _raw(self, x: Features) -> float:
        """Return the probability or amount."""
        model = self._as_served("", "")
        key = tuple(x.get(name, 0.0) for name in model.features)
        if key not in self._known:
            self.prepare((x,))
        return predict(model, self._known[key])

    def score_one(self, x: Features) -> float:
        """Probability in [0, 1], or amount of at least 0; the prior while cold or for who never bought."""
        return self.prior if self.model is None else self._raw(x)

    def learn_one(self, x: Features, y: float) -> None:
        """Nothing is learned."""

    def forget(self, names: Sequence[str]) -> None:
        """Attributes are nothing to it."""

    def compiled(self, task: str, version: str, names: Sequence[str]) -> LifetimeModel | None:  # noqa: ARG002 - its columns are its own
        """Return what shards score with; None before the first fit."""
        if self.model is None:
            return None
        return with_intercept(self._as_served(task, f"{version}.{self.model.version}"))

    def _as_served(self, task: str, version: str) -> LifetimeModel:
        assert self.model is not None  # noqa: S101 - callers looked
        return LifetimeModel(
            task=task,
            version=version,
            target=self.target,
            days=self.days,
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
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the entrant whose state this was."""
        model = None if state["model"] is None else msgspec.convert(state["model"], Lifetimes)
        return cls(state["target"], state["days"], state["prior"], model)
