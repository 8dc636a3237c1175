"""A league of labels: many entrants, their mixture, calibration, promotion on evidence, drift."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self
from zlib import crc32

import msgspec
import numpy as np
from msgspec import Struct

from models.league.baselines import OneFeatureRule, RunningMean
from models.league.budget import BUDGET, cost_of, every, spent
from models.league.changes import Change, note
from models.league.compiled import calibrated, mixed, with_slots
from models.league.contract import Features, Learner
from models.league.delayed import ByDelay
from models.league.drift import WORSE, Drift
from models.league.kalman import DOUBTED, Kalman, log_odds
from models.league.lead import Lead
from models.league.league import NO_PAIRS, League, Pairs, learner_of
from models.league.prequential import BinaryQuality
from models.league.promotion import Contest
from models.league.roster import CHAMPION, EARLIEST, ENTRANTS, EVERY, MIXED, MIXTURE, TRIVIAL
from models.league.shift import Shift
from models.league.vocabulary import Vocabulary
from models.lifetimes.entrant import LifetimeEntrant
from models.serving import sigmoid
from schemas.serving import LifetimeModel, LinearModel, ServingModel, TreesModel

NOBODY: Final[Mapping[str, LifetimeEntrant]] = {}
RATE: Final = "last_1000"
"""The rate of late that the champion's skill is measured against."""
SLOPE: Final = np.zeros(1, dtype=np.int64)


class Timed(Struct):
    """Seconds that learning took, and for how many examples."""

    seconds: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        """Count one example."""
        self.seconds += seconds
        self.count += 1

    def microseconds(self) -> float | None:
        """Return the mean of an example."""
        return 1e6 * self.seconds / self.count if self.count else None


class LabelLeague(League):
    """Everybody learns every example, test then train; one serves.

    Parameters
    ----------
    prior
        Probability served while cold.
    rule
        A feature whose own running rates are one of the baselines.
    lifetimes
        Buy-till-you-die models by name, which need no labels: until there are labels the mixture is they alone.
    """

    def __init__(
        self,
        task: str,
        prior: float,
        rule: str | None = None,
        lifetimes: Mapping[str, LifetimeEntrant] = NOBODY,
    ) -> None:
        self.learners: dict[str, Learner] = {name: make(prior) for name, make in ENTRANTS.items()}
        baselines: dict[str, Learner] = {"base_rate": RunningMean(prior)}
        baselines |= {name: make(prior) for name, make in TRIVIAL.items()}
        if rule is not None:
            baselines[rule] = OneFeatureRule(rule, prior)
        self.calibrations = {name: _calibration() for name in self.learners}
        self.learners |= lifetimes
        self.mixed = (*MIXED, *lifetimes)
        super().__init__(task, "binary", (MIXED[0], self.learners[MIXED[0]]), baselines)
        self.champion_name = CHAMPION
        self.prior, self.rule = prior, rule
        self.fresh[MIXTURE] = BinaryQuality()
        self.mixture = _mixture(len(self.mixed), tuple(self.mixed.index(name) for name in lifetimes))
        self.contest, self.drift = Contest(), Drift()
        self.changes: list[Change] = []
        self.timed: dict[str, Timed] = {}
        self.by_hand = 0
        self.allow(BUDGET)
        self.lead = Lead(next(iter(lifetimes or MIXED)))
        self.by_delay = ByDelay()
        self.shift = Shift()

    @property
    def version(self) -> str:
        """Number of examples learned, and of changes that no example brought."""
        return f"{self.examples}.{self.by_hand}" if self.by_hand else str(self.examples)

    def entrants(self) -> dict[str, Learner]:
        """Return all who learn by themselves, by name."""
        return {**self.learners, **self.baselines}

    def allow(self, microseconds: float) -> None:
        """Keep learning an example within a budget of declared costs: see `budget.every`."""
        self.budget = microseconds
        self.every = every(self.learners, self.mixed, microseconds)

    def allow_by_hand(self, microseconds: float, reason: str) -> None:
        """Do so because somebody said it."""
        before = self.budget
        self.allow(microseconds)
        self._note("budget", f"{microseconds:g}", f"{before:g}", reason)

    def _drawn(self, x: Features, pairs: Pairs, at: float) -> frozenset[str]:
        """Return who learns this example: those who are sampled see a share, drawn by the example itself.

        By its time as well: many customers have the same features, those of whom nothing is known.
        """
        number = crc32(np.array([at, *x.values(), *pairs, *pairs.values()]).tobytes())
        rare = (name for name, share in self.every.items() if not share or number % share)
        return frozenset(self.entrants()).difference(rare)

    def _seeing(self, drawn: frozenset[str]) -> dict[str, Learner]:
        """Return who is asked about an example: who learns it, and all whom the mixture needs."""
        return {name: one for name, one in self.entrants().items() if name in drawn or name in self.mixed}

    @staticmethod
    def _raw(x: Features, seeing: Mapping[str, Learner]) -> dict[str, float]:
        return {name: learner.score_one(x) for name, learner in seeing.items()}

    def _answers(self, raw: Mapping[str, float]) -> dict[str, float]:
        """Raw scores, calibrated, and the mixture's."""
        answers = dict(raw)
        for name, calibration in self.calibrations.items():
            if name in raw:
                answers[name] = sigmoid(calibration.z(SLOPE, np.array([log_odds(raw[name])])))
        answers[MIXTURE] = sigmoid(self.mixture.z(np.arange(len(self.mixed)), self._members(answers)))
        return answers

    def _members(self, answers: Mapping[str, float]) -> Any:
        return np.array([log_odds(answers[name]) for name in self.mixed])

    def score_one(self, x: Features, pairs: Pairs = NO_PAIRS) -> float:
        """Return the champion's score."""
        x = self.seen(x, pairs)
        return self._answers(self._raw(x, self.entrants()))[self.champion_name]

    def ask(self, x: Features, pairs: Pairs = NO_PAIRS, at: float = 0.0) -> dict[str, float]:
        """Return every entrant's score at a decision, for `mature` to judge later. `at` in epoch seconds."""
        drawn = self._drawn(x, pairs, at)
        return self._answers(self._raw(self.seen(x, pairs), self._seeing(drawn)))

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
        waited: float | None = None,
    ) -> None:
        """Test, then train; see `League.mature`."""
        self._know(pairs)
        self.shift.update(x)
        drawn = self._drawn(x, pairs, at)
        x, label = self.seen(x, pairs), bool(y)
        seeing = self._seeing(drawn)
        raw = self._raw(x, seeing)
        now = self._answers(raw)
        if judged:
            if served is not None:
                self.served.update(y, served, at)
            for name, score in now.items():
                self.fresh[name].update(y, (asked or now).get(name, score), at)
            decided = asked.get(self.champion_name) if asked else served
            if waited is not None and decided is not None:
                self.by_delay.add(label, waited, decided, now[self.champion_name])
        self._compare(now, label)
        self.mixture.learn(np.arange(len(self.mixed)), self._members(now), label)
        for name, calibration in self.calibrations.items():
            if name in raw:
                calibration.learn(SLOPE, np.array([log_odds(raw[name])]), label)
        for name, learner in seeing.items():
            if name not in drawn:
                continue
            began = self.clock() if self.clock else 0.0
            learner.learn_one(x, y)
            if self.clock:
                self.timed.setdefault(name, Timed()).add(self.clock() - began)
        self.examples += 1
        self.positives += label
        if self.examples >= EARLIEST and self.examples % EVERY == 0:
            self._look()

    # Who serves.

    def _compare(self, now: Mapping[str, float], label: bool) -> None:
        losses = {name: -math.log(max(chance if label else 1.0 - chance, 1e-6)) for name, chance in now.items()}
        self.lead.update({name: losses[name] for name in self.mixed})
        rate_loss = losses[RATE]
        champion = losses.pop(self.champion_name)
        self.contest.update(champion, losses)
        alarms = self.drift.update(self.examples, champion, label, rate_loss, now[RATE])
        for reason in alarms.values():
            self._note("drift", self.champion_name, self.champion_name, reason)
        if alarms.keys() & WORSE:
            self._learn_faster()

    def _look(self) -> None:
        """Promote who has shown to be better. A rate takes over from the mixture alone: it ranks nobody."""
        self._look_at_lead()
        eligible = [name for name in self.eligible() if name != self.champion_name]
        winner = self.contest.winner(eligible)
        if winner is None:
            return
        reason = f"its losses are lower: evidence of {self.contest.evidence(winner):,.0f} to 1 since the last change"
        if winner in TRIVIAL and self.champion_name in self.mixed:
            winner, reason = MIXTURE, f"{winner} has beaten the champion: {reason}"
        self.promote(winner, reason)

    def _look_at_lead(self) -> None:
        """Tell where another member is the best of the mixture: who serves stays, and what it says moves over."""
        before, evidence = self.lead.name, self.lead.look()
        if evidence is not None:
            weights = dict(zip(self.mixed, self.mixture.weights[1:].tolist(), strict=False))
            weighs = f"it weighs {weights[self.lead.name]:.2f} in the mixture, {before} {weights[before]:.2f}"
            self._note(
                "lead", self.lead.name, before, f"its losses are lower: evidence of {evidence:,.0f} to 1; {weighs}"
            )

    def eligible(self) -> tuple[str, ...]:
        """Return who may serve: all that can be compiled."""
        return (*self.mixed, MIXTURE, *TRIVIAL)

    def promote_by_hand(self, name: str, reason: str) -> None:
        """Let another serve though no example has shown it to be better. Evidence may take it back."""
        self.by_hand += 1
        self.promote(name, reason)

    def promote(self, name: str, reason: str) -> None:
        """Let another serve. Raises `KeyError` where there is no such entrant."""
        if name != MIXTURE and name not in self.entrants():
            raise KeyError(name)
        self._note("promotion", name, self.champion_name, reason)
        self.champion_name, self.contest = name, Contest()

    def _note(self, what: str, model: str, before: str, reason: str) -> None:
        note(self.changes, Change(self.examples, what, model, before, reason))

    def _learn_faster(self) -> None:
        """What was learned holds less than it did: the next examples count for more."""
        for learner in self.learners.values():
            if hasattr(learner, "drifted"):
                learner.drifted()
        for one in (self.mixture, *self.calibrations.values()):
            one.doubt(DOUBTED)

    # What serves.

    def compiled(self, names: Sequence[str]) -> ServingModel | None:
        """Return the champion, calibrated, as shards score with it; None while it is cold."""
        if self.champion_name == MIXTURE:
            members = {name: self._member(name, names) for name in self.mixed}
            if not any(members.values()):
                return None
            cold = {name: log_odds(self.learners[name].score_one({})) for name in self.mixed if members[name] is None}
            fits = [model.lifetimes.version for model in members.values() if isinstance(model, LifetimeModel)]
            return mixed(self.task, ".".join([self.version, *fits]), names, self.mixture, members, cold)
        return self._member(self.champion_name, names)

    def _member(self, name: str, names: Sequence[str]) -> LinearModel | TreesModel | LifetimeModel | None:
        model = self.entrants()[name].compiled(self.task, self.version, (*names, *self.vocabulary.names()))
        if not isinstance(model, LinearModel | TreesModel):
            return model if isinstance(model, LifetimeModel) else None
        model = with_slots(model, len(names), self.vocabulary)
        return calibrated(model, self.calibrations[name]) if name in self.calibrations else model

    # What is told and kept.

    def report(self) -> dict[str, Any]:
        """Return the task's part of the report. Microseconds are known where a clock was given."""
        timed = {name: self.timed.get(name, Timed()).microseconds() for name in (*self.learners, MIXTURE)}
        return {
            "examples": self.examples,
            "positives": self.positives,
            "champion": self.champion_name,
            "models": {name: self._report(name) | {"microseconds_per_example": took} for name, took in timed.items()},
            "baselines": {name: self._report(name) for name in self.baselines},
            "shares": {name: 1.0 / share if share else 0.0 for name, share in self.every.items()},
            "budget": self._spending(),
            "lead": self.lead.name,
            "served": self.served.report(),
            "changes": [msgspec.to_builtins(change) for change in self.changes],
            "drift": dict(self.drift.alarms),
            "by_month": {name: quality.by_month() for name, quality in self.fresh.items()},  # type: ignore[union-attr]
            "by_delay": self.by_delay.report(),
            "feature_drift": self.shift.report(),
            "reliability": self.fresh[self.champion_name].reliability(),  # type: ignore[union-attr]
            "evidence": {name: self.contest.evidence(name) for name in self.contest.wealth},
        }

    def _spending(self) -> dict[str, Any]:
        """Return the budget and what the entrants take of it, in declared microseconds an example."""
        return {
            "microseconds": self.budget,
            "spent": spent(dict.fromkeys(self.learners, 1) | self.every),
            "costs": {name: cost_of(name) for name in self.learners},
            "benched": [name for name, share in self.every.items() if not share],
        }

    def state(self) -> dict[str, Any]:
        """River objects and plain data, for `freeze`. It is alive: freeze it before the next example."""
        return {
            "league": "labels",
            "task": self.task,
            "prior": self.prior,
            "rule": self.rule,
            "champion_name": self.champion_name,
            "learners": {name: learner.state() for name, learner in self.entrants().items()},
            "calibrations": {name: one.state() for name, one in self.calibrations.items()},
            "mixture": self.mixture.state(),
            "contest": msgspec.to_builtins(self.contest),
            **self.drift.state(),
            "changes": [msgspec.to_builtins(change) for change in self.changes],
            "fresh": {name: msgspec.to_builtins(quality) for name, quality in self.fresh.items()},
            "served": msgspec.to_builtins(self.served),
            "examples": self.examples,
            "positives": self.positives,
            "by_hand": self.by_hand,
            "budget": self.budget,
            "lead": msgspec.to_builtins(self.lead),
            "by_delay": msgspec.to_builtins(self.by_delay),
            "shift": self.shift.state(),
            "vocabulary": msgspec.to_builtins(self.vocabulary),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Return the league whose state this was. An entrant that is not in it begins anew."""
        kept = {name: learner_of(one) for name, one in state["learners"].items()}
        lifetimes = {name: one for name, one in kept.items() if isinstance(one, LifetimeEntrant)}
        league = cls(state["task"], state["prior"], state["rule"], lifetimes)
        league.champion_name, league.examples, league.positives = (
            state["champion_name"],
            state["examples"],
            state["positives"],
        )
        league.by_hand = state.get("by_hand", 0)
        league.allow(state.get("budget", BUDGET))
        if "lead" in state:
            league.lead = msgspec.convert(state["lead"], Lead)
        league.shift = Shift.restore(state.get("shift", {}))
        league.by_delay = msgspec.convert(state.get("by_delay", {}), ByDelay, strict=False)
        for name, learner in kept.items():
            home = league.learners if name in league.learners else league.baselines
            home[name] = learner
        for name, one in state["calibrations"].items():
            if name in league.calibrations:
                league.calibrations[name] = Kalman.restore(one)
        for name, one in state["fresh"].items():
            league.fresh[name] = msgspec.convert(one, BinaryQuality)
        league.mixture = Kalman.restore(state["mixture"])
        league.mixture.grow(len(league.mixed))
        league.contest = msgspec.convert(state["contest"], Contest)
        league.drift = Drift.restore(state)
        league.changes = [msgspec.convert(change, Change) for change in state["changes"]]
        league.served = msgspec.convert(state["served"], BinaryQuality)
        league.vocabulary = msgspec.convert(state["vocabulary"], Vocabulary)
        return league


def _mixture(members: int, knowing: Sequence[int]) -> Kalman:
    """Log odds of members to log odds. Who knows without labels is believed at first, else all are alike."""
    made = Kalman(0.0, 0.3, 1e-4, 1e-7, prior=1.0 / members)
    made.grow(members)
    if knowing:
        made.weights[1 : members + 1] = 0.0
        made.weights[np.array(knowing) + 1] = 1.0 / len(knowing)
    return made


def _calibration() -> Kalman:
    """Log odds to log odds: nothing is changed until labels say so (Platt 1999, learned online)."""
    made = Kalman(0.0, 0.3, 1e-4, 0.0, prior=1.0)
    made.grow(1)
    made.cov[0, 0] = 0.1
    return made
