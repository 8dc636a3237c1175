"""What entrants for labels of 0 and 1 share: the rate served while cold, and the place of their plain state."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

from models.league.columns import Columns
from models.league.contract import Features
from schemas.serving import ServingModel

COLD: Final = 20
"""Examples before an entrant trusts itself; until then it answers the running rate."""
PRIOR_WEIGHT: Final = 10.0
"""The prior counts as much as this many examples."""


class Binary:
    """Base of entrants; a subclass gives `kind`, `_chance` and `_learn`, and names what it keeps."""

    kind: ClassVar[str]
    kept: ClassVar[tuple[str, ...]] = ()
    """Attributes with plain data or arrays."""
    parts: ClassVar[dict[str, Any]] = {}
    """Attributes that have `state` and `restore` of their own, with their classes."""

    def __init__(self, prior: float) -> None:
        self.prior, self.seen, self.positives = prior, 0, 0
        self.columns = Columns()

    def score_one(self, x: Features) -> float:
        """Probability in [0, 1]."""
        if self.seen < COLD:
            return self._rate()
        return self._chance(x)

    def _rate(self) -> float:
        """Return the share of positives so far, the prior counted in."""
        return (self.prior * PRIOR_WEIGHT + self.positives) / (PRIOR_WEIGHT + self.seen)

    def learn_one(self, x: Features, y: float) -> None:
        """Learn a label of 0 or 1."""
        self.columns.learn(x)
        self._learn(x, bool(y))
        self.seen += 1
        self.positives += bool(y)

    def _chance(self, x: Features) -> float:
        raise NotImplementedError

    def _learn(self, x: Features, label: bool) -> None:
        raise NotImplementedError

    def forget(self, names: Sequence[str]) -> None:
        """Start these columns anew."""
        for name in names:
            place = self.columns.forget(name)
            if place is not None:
                self._forget(place)

    def _forget(self, place: int) -> None:
        """Start one column anew."""

    def compiled(self, task: str, version: str, names: Sequence[str]) -> ServingModel | None:  # noqa: ARG002 - contract
        """Return None: it is judged and shown, not served."""
        return None

    def _all(self) -> dict[str, Any]:
        return {"columns": Columns, **self.parts}

    def state(self) -> dict[str, Any]:
        """Plain data and arrays."""
        plain = {name: getattr(self, name) for name in ("prior", "seen", "positives", *self.kept)}
        return {"kind": self.kind, **plain, **{name: getattr(self, name).state() for name in self._all()}}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the entrant whose state this was."""
        made = cls(state["prior"])
        for name in ("seen", "positives", *cls.kept):
            setattr(made, name, state[name])
        for name, kind in made._all().items():
            setattr(made, name, kind.restore(state[name]))
        return made
