"""One task's champion and the trivial answers beside it, each judged test-then-train."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Self

import msgspec

from models.league.baselines import OneFeatureRule, Persistence, RecentRate, RunningMean
from models.league.boosted import Boosted
from models.league.compiled import with_slots
from models.league.contract import Features, Learner
from models.league.dynamic import Dynamic
from models.league.forest import Forest
from models.league.learners import Classifier, Regressor, classifier, regressor
from models.league.margin import Fourier, Hinge
from models.league.net import Net
from models.league.prequential import AmountQuality, BinaryQuality
from models.league.tree import Tree
from models.league.vocabulary import Vocabulary
from models.lifetimes.entrant import LifetimeEntrant
from schemas.serving import LinearModel, ServingModel, TreesModel

Pairs = Mapping[int, float]
"""Attributes of an example: keys to values."""
NO_PAIRS: Final[Pairs] = {}
Kind = Literal["binary", "amount"]
Quality = BinaryQuality | AmountQuality

_QUALITIES: Final[dict[Kind, type[Quality]]] = {"binary": BinaryQuality, "amount": AmountQuality}
_LEARNERS: Final[dict[str, type[Learner]]] = {
    entrant.kind: entrant
    for entrant in (
        Classifier,
        Regressor,
        RunningMean,
        RecentRate,
        OneFeatureRule,
        Persistence,
        LifetimeEntrant,
        Dynamic,
        Hinge,
        Fourier,
        Net,
        Boosted,
        Tree,
        Forest,
    )
}


class League:
    """Judges and teaches the entrants of one task. A function of its examples, in their order.

    Parameters
    ----------
    task
        The task's name.
    kind
        `binary` for labels of 0 or 1, `amount` for amounts.
    champion
        Name and learner of what serves.
    baselines
        Judged beside it, never served.
    """

    def __init__(self, task: str, kind: Kind, champion: tuple[str, Learner], baselines: Mapping[str, Learner]) -> None:
        if champion[0] in baselines:
            raise ValueError(f"{task}: {champion[0]} is both champion and baseline")
        self.task = task
        self.kind = kind
        self.champion_name, self.champion = champion
        self.baselines = dict(baselines)
        self.vocabulary = Vocabulary()
        self.fresh: dict[str, Quality] = {name: _QUALITIES[kind]() for name in self.entrants()}
        self.served: Quality = _QUALITIES[kind]()
        self.examples = 0
        self.positives = 0
        self.clock: Callable[[], float] | None = None

    def entrants(self) -> dict[str, Learner]:
        """Return the champion and the baselines, by name."""
        return {self.champion_name: self.champion, **self.baselines}

    def add_baselines(self, more: Mapping[str, Learner]) -> None:
        """Judge these, too, from now on."""
        self.baselines.update(more)
        self.fresh.update({name: _QUALITIES[self.kind]() for name in more})

    @property
    def version(self) -> str:
        """Number of examples learned; the same examples make the same version."""
        return str(self.examples)

    def score_one(self, x: Features, pairs: Pairs = NO_PAIRS) -> float:
        """Return the champion's score."""
        return self.champion.score_one({**x, **self.vocabulary.features(pairs)})

    def seen(self, x: Features, pairs: Pairs = NO_PAIRS) -> dict[str, float]:
        """Return features and attributes as entrants see them."""
        return {**x, **self.vocabulary.features(pairs)}

    def ask(self, x: Features, pairs: Pairs = NO_PAIRS, at: float = 0.0) -> dict[str, float]:  # noqa: ARG002
        """Return every entrant's score at a decision, for `mature` to judge later. `at` in epoch seconds."""
        x = self.seen(x, pairs)
        return {name: learner.score_one(x) for name, learner in self.entrants().items()}

    def mature(
        self,
        x: Features,
        y: float,
        served: float | None,
        at: float,
        asked: Mapping[str, float] | None = None,
        pairs: Pairs = NO_PAIRS,
        *,
        judged: bool = True,
        waited: float | None = None,  # noqa: ARG002 - leagues of labels tell quality by it
    ) -> None:
        """Test, then train.

        Parameters
        ----------
        x
            Features at the decision.
        y
            What came: 0 or 1, or an amount.
        served
            The score given at the decision; None if there was none.
        at
            Event time of the decision, in epoch seconds.
        asked
            Every entrant's score at the decision, where all were asked then (a backtest). Without
            it they are asked now, just before learning, and look better than they served.
        pairs
            Attributes at the decision, keys to values.
        judged
            False: learned from alone.
        waited
            Seconds of event time from the decision to its outcome; None where nobody knows.
        """
        self._know(pairs)
        x = {**x, **self.vocabulary.features(pairs)}
        if served is not None and judged:
            self.served.update(y, served, at)
        for name, learner in self.entrants().items():
            score = asked[name] if asked and name in asked else learner.score_one(x)
            if judged:
                self.fresh[name].update(y, score, at)
            learner.learn_one(x, y)
        self.examples += 1
        self.positives += y > 0

    def _know(self, pairs: Pairs) -> None:
        for slot in self.vocabulary.learn(pairs):
            for learner in self.entrants().values():
                learner.forget((f"@{slot}", f"@{slot}?"))

    def compiled(self, names: Sequence[str]) -> ServingModel | None:
        """Return the champion as shards score with it; None while it is cold."""
        model = self.champion.compiled(self.task, self.version, (*names, *self.vocabulary.names()))
        return with_slots(model, len(names), self.vocabulary) if isinstance(model, LinearModel | TreesModel) else model

    def report(self) -> dict[str, Any]:
        """Return the task's part of the report. The caller measures the microseconds."""
        return {
            "examples": self.examples,
            "positives": self.positives,
            "champion": self.champion_name,
            "models": {self.champion_name: self._report(self.champion_name) | {"microseconds_per_example": None}},
            "baselines": {name: self._report(name) for name in self.baselines},
            "served": self.served.report(),
        }

    def report_of(self, name: str) -> dict[str, float | None]:
        """Return one entrant's figures so far."""
        return self._report(name)

    def _report(self, name: str) -> dict[str, float | None]:
        return self.fresh[name].report()

    def state(self) -> dict[str, Any]:
        """River objects and plain data, for `freeze`. It is alive: freeze it before the next example."""
        return {
            "task": self.task,
            "kind": self.kind,
            "champion": (self.champion_name, self.champion.state()),
            "baselines": {name: learner.state() for name, learner in self.baselines.items()},
            "fresh": {name: msgspec.to_builtins(quality) for name, quality in self.fresh.items()},
            "served": msgspec.to_builtins(self.served),
            "examples": self.examples,
            "positives": self.positives,
            "vocabulary": msgspec.to_builtins(self.vocabulary),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the league whose `state` this was; its future is the same, to the bit.

        Raises
        ------
        KeyError, msgspec.ValidationError
            The state is not one of a league of this release.
        """
        name, champion = state["champion"]
        baselines = {name: learner_of(kept) for name, kept in state["baselines"].items()}
        league = cls(state["task"], state["kind"], (name, learner_of(champion)), baselines)
        quality = _QUALITIES[league.kind]
        league.fresh = {name: msgspec.convert(kept, quality) for name, kept in state["fresh"].items()}
        league.served = msgspec.convert(state["served"], quality)
        league.examples, league.positives = state["examples"], state["positives"]
        league.vocabulary = msgspec.convert(state.get("vocabulary", {}), Vocabulary)
        return league


def learner_of(state: dict[str, Any]) -> Learner:
    """Return the entrant whose state this was."""
    return _LEARNERS[state["kind"]].restore(state)


def binary_league(task: str, prior: float, rule: str | None = None) -> League:
    """Return a new league of labels: logistic regression, beside the base rate and one feature's rule.

    `prior` is the probability served while cold; `rule` names the feature, such as the recency in days.
    """
    baselines: dict[str, Learner] = {"base_rate": RunningMean(prior)}
    if rule is not None:
        baselines[rule] = OneFeatureRule(rule, prior)
    return League(task, "binary", ("logistic", classifier(prior)), baselines)


def amount_league(task: str, prior: float = 0.0, persists: str | None = None) -> League:
    """Return a new league of amounts: log-linear regression, beside the mean and more of the same.

    `prior` is the amount served while cold; `persists` names the feature with the last window's amount.
    """
    baselines: dict[str, Learner] = {"running_mean": RunningMean(prior)}
    if persists is not None:
        baselines["persistence"] = Persistence(persists)
    return League(task, "amount", ("log_linear", regressor(prior)), baselines)
