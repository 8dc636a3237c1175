"""The leagues of one job: who is asked, judged and taught, and who serves."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from models.cold import NAMES, PERSISTING, persisting
from models.customers.attributes import unpack_pairs
from models.customers.features import unpack
from models.league.amounts import AmountContest
from models.league.baselines import Persistence, RunningMean
from models.league.by_segment import Latest
from models.league.contract import Learner
from models.league.fallback import carrying, persistence
from models.league.labels import LabelLeague
from models.league.league import League, amount_league
from models.learning.care import Care, Kept
from models.lifetimes.draws import FAMILIES, Draws
from models.lifetimes.entrant import LifetimeEntrant, Target
from models.policy import Policy
from models.serving_set import PRIORS
from schemas.choice import ChoiceModel
from schemas.commit import Opened
from schemas.segments import Segments
from schemas.serving import LifetimeModel, ServingModel

Named = TypeVar("Named", ServingModel | None, Segments | None, ChoiceModel | None)
PERSISTS: Final = "persistence"
LIFETIMES: Final = "pareto_nbd"
"""The one of the buy-till-you-die models that tells what is to be expected."""
UNSERVED: Final = frozenset({"running_mean"})
SERVED: Final = "served"
"""Among the answers at a decision: what the champion of that moment said."""


class Leagues(Mapping[str, League]):
    """A league for each task that has one, by task, and what they share.

    Parameters
    ----------
    policy
        Length of the windows of `churn`, `value` and `purchases`.
    judge_from
        Decisions before this time, in epoch seconds, are learned from and not judged.
    name
        What tells versions of one that was trained anew from those of the first.
    """

    def __init__(self, policy: Policy, judge_from: float, name: str) -> None:
        self.judge_from, self.name, self.window_days = judge_from, name, policy.window_days
        lifetimes = {target: _lifetimes(policy, target) for target in _TARGETS}
        self._leagues: dict[str, League] = {
            "response": LabelLeague("response", PRIORS["response"]),
            "churn": LabelLeague("churn", PRIORS["churn"], "recency_days", {LIFETIMES: lifetimes["churn"][LIFETIMES]}),
            "value": amount_league("value", PRIORS["value"], persists=persisting("value", policy.window_days)),
            "purchases": _purchases(lifetimes["purchases"], persisting("purchases", policy.window_days)),
        }
        self._leagues["value"].add_baselines(lifetimes["value"])
        self.contests = {task: AmountContest(PERSISTS) for task in PERSISTING}  # at first as much as in the last window
        self.draws = Draws()
        self.care = Care()
        self.asks = False
        self.latest = {task: Latest() for task in PRIORS}
        self.asked: dict[Opened, list[dict[str, float]]] = {}

    def __getitem__(self, task: str) -> League:
        """Return the league of a task."""
        return self._leagues[task]

    def __iter__(self) -> Iterator[str]:
        """Go through the tasks."""
        return iter(self._leagues)

    def __len__(self) -> int:
        """Return the number of leagues."""
        return len(self._leagues)

    def champion(self, task: str) -> str:
        """Name of who serves a task."""
        return self.contests[task].champion if task in self.contests else self[task].champion_name

    # Learning.

    def take(self, task: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Learn one record's examples of a task, and keep the version that they make where that is due."""
        seen = [unpack(row["x"], NAMES[task]) for row in rows]
        for entrant in self._lives(task):
            entrant.prepare(seen)
        for row, x in zip(rows, seen, strict=True):
            self._example(task, row, x)
        newest = max((row["at"] for row in rows), default=-math.inf)
        for league in _leagues_of(task):
            self.care.newest[league] = max(self.care.newest.get(league, -math.inf), newest)
            if self.care.due(league, self.champion(league), self[league].examples):
                self.keep(league)

    def _example(self, task: str, row: Mapping[str, Any], x: dict[str, float]) -> None:
        opened = Opened(task, row["at"], row["x"], row.get("a", b""))
        if not row.get("treated", True):
            self._answers(opened)
            return  # a control's outcome says what happens without a contact: uplift, not response
        self.latest[task].add(opened.features, opened.attributes)
        pairs = unpack_pairs(opened.attributes)
        self._mature(task, x, row["y"], row["served"], opened, pairs, row.get("waited"))
        if task == "churn" and "orders" in row:
            self._mature("purchases", x, row["orders"], None, opened, {})

    def _mature(
        self,
        task: str,
        x: dict[str, float],
        y: float,
        served: float | None,
        opened: Opened,
        pairs: Mapping[int, float],
        waited: float | None = None,
    ) -> None:
        """Judge, compare, teach."""
        league, asked = self[task], self._answers(msgspec.structs.replace(opened, task=task))
        judged = opened.at >= self.judge_from
        if task in self.contests:
            said = None if asked is None else asked.pop(SERVED)
            served, asked = said if served is None else served, asked or league.ask(x, pairs, opened.at)
            self.contests[task].judge(y, {name: asked[name] for name in asked if name not in UNSERVED}, opened.at)
        league.mature(x, y, served, opened.at, asked, pairs, judged=judged, waited=waited)

    def _lives(self, task: str) -> Iterator[LifetimeEntrant]:
        """Return the buy-till-you-die entrants that the examples of a task are for."""
        for name in _leagues_of(task):
            for entrant in self[name].entrants().values():
                if isinstance(entrant, LifetimeEntrant):
                    yield entrant

    def draw(self, recency: float, orders: float, spend: float, tenure: float) -> None:
        """Learn from a customer who was drawn; newly fitted parameters go to the entrants that live on them."""
        if not self.draws.learn_one(recency, orders, spend, tenure):
            return
        for league in self.values():
            for family in FAMILIES:
                entrant = league.entrants().get(family)
                if isinstance(entrant, LifetimeEntrant) and family in self.draws.fitted:
                    entrant.tell(self.draws.fitted[family])

    # What was said at the decision: of a backtest alone.

    def ask(self, some: Sequence[Opened]) -> None:
        """Ask every entrant at the decision, for `take` to judge when the outcome comes."""
        self.asks = True
        seen = {task: [unpack(one.features, NAMES[task]) for one in some if one.task == task] for task in self}
        seen["purchases"] = seen["churn"]
        for task, rows in seen.items():
            for entrant in self._lives(task):
                entrant.prepare(rows)
            opened = [one for one in some if one.task == ("churn" if task == "purchases" else task)]
            for one, x in zip(opened, rows, strict=True):
                pairs = {} if task == "purchases" else unpack_pairs(one.attributes)
                key = msgspec.structs.replace(one, task=task)
                answers = self[task].ask(x, pairs, one.at)
                if task in self.contests:
                    answers[SERVED] = answers[self.champion(task)]
                self.asked.setdefault(key, []).append(answers)

    def _answers(self, opened: Opened) -> dict[str, float] | None:
        answers = self.asked.get(opened, [])
        asked = answers.pop() if answers else None
        if not answers:
            self.asked.pop(opened, None)
        return asked

    # Serving.

    def serving(self) -> dict[str, ServingModel | None]:
        """Return by task what shards score with: a version that was asked to serve again, or the league's own."""
        return {task: self.care.serving(task) or self.compiled(task) for task in self}

    def compiled(self, task: str) -> ServingModel | None:
        """Return the model that a league itself would serve."""
        return self.named(self._amount(task) if task in self.contests else self[task].compiled(NAMES[task]))

    def named(self, model: Named) -> Named:
        """Return a model with a version that names who learned it, where that is not the first."""
        if model is None or not self.name:
            return model
        return msgspec.structs.replace(model, version=f"{model.version}@{self.name}")

    def _amount(self, task: str) -> ServingModel | None:
        """Return what the champion of a task with amounts is compiled to; persistence while it is cold.

        `purchases` brings the buy-till-you-die model along: a customer's stage is read from it.
        """
        league, name = self[task], self.champion(task)
        if name == league.champion_name:
            model = league.compiled(NAMES[task])
        else:
            model = league.entrants()[name].compiled(task, f"{name}:{league.version}", NAMES[task])
        if model is not None:
            return model
        trivial = persistence(task, persisting(task, self.window_days), NAMES[task])
        lives = league.entrants().get(LIFETIMES) if task == "purchases" else None
        known = lives.compiled(task, LIFETIMES, NAMES[task]) if lives is not None else None
        return carrying(trivial, known) if isinstance(known, LifetimeModel) else trivial

    def keep(self, task: str) -> None:
        """Keep the version that the league would serve now, so that it can serve again."""
        league, champion, model = self[task], self.champion(task), self.compiled(task)
        if model is not None:
            figures = league.report_of(champion)
            at = self.care.newest.get(task, -math.inf)
            self.care.keep(task, model, Kept(model.version, champion, league.examples, at, figures))

    def versions(self) -> tuple[str, ...]:
        """Change when a published model of a league would."""
        served = tuple(contest.champion for contest in self.contests.values())
        held = tuple(self.care.held.values())
        return (*(league.version for league in self.values()), *served, str(self.draws.fits), *held)

    def time_with(self, clock: Callable[[], float]) -> None:
        """Measure what each entrant's learning takes, for the report alone."""
        for league in self.values():
            league.clock = clock

    # Saving.

    def state(self) -> dict[str, Any]:
        """River objects and plain data, for `freeze`."""
        return {
            "leagues": {task: league.state() for task, league in self.items()},
            "name": self.name,
            "care": self.care.state(),
            "draws": self.draws.state(),
            "contests": {task: msgspec.to_builtins(contest) for task, contest in self.contests.items()},
            "latest": {task: latest.state() for task, latest in self.latest.items()},
        }

    def restore(self, state: Mapping[str, Any], parts: Mapping[str, bytes]) -> None:
        """Become what `state` and `parts` were taken of."""
        self._leagues |= {
            task: (LabelLeague if "learners" in kept else League).restore(kept)
            for task, kept in state["leagues"].items()
        }
        self.draws = Draws.restore(state["draws"])
        self.contests = msgspec.convert(state["contests"], dict[str, AmountContest])
        if "care" in state:  # since 0.2
            self.name, self.care = state["name"], Care.restore(state["care"], parts)
        if "latest" in state:  # since 0.2
            self.latest |= {task: Latest.restore(kept) for task, kept in state["latest"].items()}


_TARGETS: Final[tuple[Target, ...]] = ("churn", "value", "purchases")


def _leagues_of(task: str) -> tuple[str, ...]:
    """Return the leagues that learn from a task's examples: those of `churn` also say how many purchases came."""
    return (task, "purchases") if task == "churn" else (task,)


def _lifetimes(policy: Policy, target: Target) -> dict[str, LifetimeEntrant]:
    prior = 0.0 if target == "purchases" else PRIORS[target]
    return {family: LifetimeEntrant(target, policy.window_days, prior) for family in FAMILIES}


def _purchases(entrants: dict[str, LifetimeEntrant], persists: str) -> League:
    """Number of purchases to come; learned from the examples of `churn`, which say how many came."""
    champion = (LIFETIMES, entrants.pop(LIFETIMES))
    trivial: dict[str, Learner] = {"running_mean": RunningMean(0.0), "persistence": Persistence(persists)}
    return League("purchases", "amount", champion, {**entrants, **trivial})
