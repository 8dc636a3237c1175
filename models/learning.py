"""All that is learned, as one function of the examples in their order."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from models.brand.book import BrandBook
from models.brand.taste import UNCATEGORISED
from models.care import Care, Kept, Refused, allow_labels, promote_labels
from models.cold import LAST_ORDERS, LAST_WINDOW, NAMES
from models.customers.attributes import unpack_pairs
from models.customers.features import unpack
from models.league.amounts import AmountContest
from models.league.baselines import Persistence, RunningMean
from models.league.by_segment import Latest, by_segment
from models.league.contract import Learner
from models.league.fallback import carrying, persistence
from models.league.importance import importance
from models.league.labels import LabelLeague
from models.league.league import League, amount_league
from models.lifetimes.draws import FAMILIES, Draws
from models.lifetimes.entrant import LifetimeEntrant, Target
from models.market.book import Market
from models.market.journal import Journaled
from models.market.outlook import Outlook as DemandOutlook
from models.policy import DAY, Policy
from models.sales.calendar import Calendar, day_of
from models.sales.series import ALL, SalesBook
from models.segmentation import Clusters
from models.serving_set import PRIORS, ServingSet
from schemas.choice import ChoiceModel
from schemas.commit import Opened
from schemas.requests import DONE, OPERATOR, Request
from schemas.segments import Segments
from schemas.serving import LifetimeModel, ServingModel

Named = TypeVar("Named", ServingModel | None, Segments | None, ChoiceModel | None)
PERSISTS: Final = "persistence"
LIFETIMES: Final = "pareto_nbd"
"""The one of the buy-till-you-die models that tells what is to be expected."""
PERSISTING: Final = {"value": LAST_WINDOW, "purchases": LAST_ORDERS}
"""Tasks with a contest for who serves, and what serves at first: as much as in the last window."""
TRIVIAL: Final = frozenset({"running_mean", "persistence"})
UNSERVED: Final = frozenset({"running_mean"})
SERVED: Final = "served"
"""Among the answers at a decision: what the champion of that moment said."""
LOOKED_AT: Final = 1_000
"""Latest draws that importance is judged on."""
TASKS: Final = ("response", "churn", "value", "segments", "sales", "market", "brand_choice", "sentiment")


class Learning:
    """Leagues, segments and sales of one job.

    Parameters
    ----------
    policy
        Currency, timezone and lateness are read.
    judge_from
        Decisions before this time, in epoch seconds, are learned from and not judged.
    name
        What tells versions of one that was trained anew from those of the first.
    """

    def __init__(self, policy: Policy, judge_from: float = -math.inf, name: str = "") -> None:
        self.policy, self.judge_from, self.name = policy, judge_from, name
        self.care = Care()
        self.asked: dict[Opened, list[dict[str, float]]] = {}
        self.asks = False
        self.labels: dict[int, str] = {}
        self.latest = {task: Latest() for task in PRIORS}
        self.leagues: dict[str, League] = {
            "response": LabelLeague("response", PRIORS["response"]),
            "churn": self._churn(),
            "value": amount_league("value", PRIORS["value"], persists=LAST_WINDOW),
            "purchases": self._purchases(),
        }
        self.leagues["value"].add_baselines(self._lifetimes("value", PRIORS["value"]))
        self.contests = {task: AmountContest(PERSISTS) for task in PERSISTING}
        self.draws = Draws()
        self.clusters = Clusters(currency=policy.currency)
        self.members: dict[int, int] = {}
        self.movements: dict[tuple[int, int], int] = {}
        self.kept = self.drawn_again = 0.0
        self.sales = SalesBook(calendar=Calendar(place=policy.holidays))
        self.brands = BrandBook(policy.currency, judge_from)
        self.market = Journaled(Market())
        self.outlook = DemandOutlook()
        self.shards: dict[int, tuple[float | None, bool]] = {}
        self.foremost: dict[int, float | None] = {}

    def _lifetimes(self, target: Target, prior: float) -> dict[str, LifetimeEntrant]:
        return {family: LifetimeEntrant(target, self.policy.window_days, prior) for family in FAMILIES}

    def _churn(self) -> LabelLeague:
        lifetimes = self._lifetimes("churn", PRIORS["churn"])
        return LabelLeague("churn", PRIORS["churn"], "recency_days", {LIFETIMES: lifetimes[LIFETIMES]})

    def _purchases(self) -> League:
        """Number of purchases to come; learned from the examples of `churn`, which say how many came."""
        entrants = self._lifetimes("purchases", 0.0)
        champion = (LIFETIMES, entrants.pop(LIFETIMES))
        trivial: dict[str, Learner] = {"running_mean": RunningMean(0.0), "persistence": Persistence(LAST_ORDERS)}
        return League("purchases", "amount", champion, {**entrants, **trivial})

    def _tell(self) -> None:
        """Hand newly fitted parameters to the entrants that live on them."""
        for league in self.leagues.values():
            for family in FAMILIES:
                entrant = league.entrants().get(family)
                if isinstance(entrant, LifetimeEntrant) and family in self.draws.fitted:
                    entrant.tell(self.draws.fitted[family])

    def take(self, task: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Learn one record's rows of one task.

        Raises
        ------
        KeyError
            A field is missing, or there is no such task.
        """
        if task == "segments":
            for row in rows:
                self._segments(row)
        elif task == "sales":
            for row in rows:
                self._sales(row)
        elif task == "market":
            for row in rows:
                self.market.take(row)
        elif task == "brand_choice":
            for row in rows:
                self.brands.bought(row)
        elif task == "sentiment":
            for row in rows:
                self.brands.said(row)
        elif task == OPERATOR:
            for row in rows:
                self._request(msgspec.convert(row, Request))
        else:
            seen = [unpack(row["x"], NAMES[task]) for row in rows]
            for entrant in self._lives(task):
                entrant.prepare(seen)
            for row, x in zip(rows, seen, strict=True):
                self._example(task, row, x)
            newest = max((row["at"] for row in rows), default=-math.inf)
            for league in (task, "purchases") if task == "churn" else (task,):
                self.care.newest[league] = max(self.care.newest.get(league, -math.inf), newest)
                if self.care.due(league, self.champion(league), self.leagues[league].examples):
                    self._keep(league)

    # What an operator asks for.

    def _keep(self, task: str) -> None:
        """Keep the version that the league would serve now, so that it can serve again."""
        league, champion, model = self.leagues[task], self.champion(task), self._compiled(task)
        if model is not None:
            figures = league.report_of(champion)
            at = self.care.newest.get(task, -math.inf)
            self.care.keep(task, model, Kept(model.version, champion, league.examples, at, figures))

    def _request(self, request: Request) -> None:
        """Do what was asked, once; remember what became of it."""
        if request.id in self.care.asked:
            return
        try:
            self._do(request)
        except Refused as refused:
            self.care.answer(request.id, str(refused))
        else:
            self.care.answer(request.id, DONE)

    def _do(self, request: Request) -> None:
        if request.what == "retrained":
            return None  # who reads this has taken over already; who has not cannot save that he read it
        if request.task not in self.leagues:
            able = ", ".join(self.leagues)
            if request.task in (*TASKS, "demand"):  # `demand` has no rows of its own
                raise Refused(
                    f"{request.task} is served by what its own figures say, not by request: {able} can be asked for"
                )
            raise Refused(f"there is no league {request.task}: there are {able}")
        task, league = request.task, self.leagues[request.task]
        if request.what == "rollback":
            return self.care.hold(task, request.version, league, request.reason())
        if request.what == "budget":
            return allow_labels(league, request)
        self._keep(task)
        if request.model in ("", self.champion(task)):
            if task not in self.care.held:
                raise Refused(f"{self.champion(task)} serves {task} already")
        elif isinstance(league, LabelLeague):
            promote_labels(league, request)
        else:
            self._promote_amount(request)
        self.care.release(task, league, request.reason())
        return None

    def _promote_amount(self, request: Request) -> None:
        league, contest = self.leagues[request.task], self.contests[request.task]
        able = [name for name in league.entrants() if name not in UNSERVED]
        if request.model not in able:
            raise Refused(f"{request.model} cannot serve {request.task}: {', '.join(able)} can")
        contest.promote(request.model, self.care.newest.get(request.task, 0.0), request.reason())

    def _lives(self, task: str) -> Iterator[LifetimeEntrant]:
        """Return the buy-till-you-die entrants that the examples of a task are for."""
        for name in (task, "purchases") if task == "churn" else (task,):
            for entrant in self.leagues[name].entrants().values():
                if isinstance(entrant, LifetimeEntrant):
                    yield entrant

    def _example(self, task: str, row: Mapping[str, Any], x: dict[str, float]) -> None:
        opened = Opened(task, row["at"], row["x"], row.get("a", b""))
        if not row.get("treated", True):
            self._asked(opened)
            return  # a control's outcome says what happens without a contact: uplift, not response
        self.latest[task].add(opened.features, opened.attributes)
        pairs = unpack_pairs(opened.attributes)
        self._mature(task, x, row["y"], row["served"], opened, pairs, row.get("waited"))
        if task == "churn" and "orders" in row:
            self._mature("purchases", x, row["orders"], None, opened, {})

    def _asked(self, opened: Opened) -> dict[str, float] | None:
        answers = self.asked.get(opened, [])
        asked = answers.pop() if answers else None
        if not answers:
            self.asked.pop(opened, None)
        return asked

    def ask(self, some: Sequence[Opened]) -> None:
        """Ask every entrant at the decision, for `take` to judge when the outcome comes. Of a backtest alone."""
        self.asks = True
        seen = {task: [unpack(one.features, NAMES[task]) for one in some if one.task == task] for task in self.leagues}
        seen["purchases"] = seen["churn"]
        for task, rows in seen.items():
            for entrant in self._lives(task):
                entrant.prepare(rows)
            opened = [one for one in some if one.task == ("churn" if task == "purchases" else task)]
            for one, x in zip(opened, rows, strict=True):
                pairs = {} if task == "purchases" else unpack_pairs(one.attributes)
                key = msgspec.structs.replace(one, task=task)
                answers = self.leagues[task].ask(x, pairs)
                if task in self.contests:
                    answers[SERVED] = answers[self.champion(task)]
                self.asked.setdefault(key, []).append(answers)

    def _segments(self, row: Mapping[str, Any]) -> None:
        for values in row["drawn"]:
            if values[1] > 0:  # who never ordered is in no segment
                self.clusters.learn_one(np.log1p(np.maximum(values, 0.0)).astype(np.float16).tolist())
                recency, orders, spend, tenure = values[:4]
                if self.draws.learn_one(recency, orders, spend, tenure):
                    self._tell()
        for segment, change in row["moves"].items():
            self.members[int(segment)] = self.members.get(int(segment), 0) + change
            if not self.members[int(segment)]:
                del self.members[int(segment)]
        for before, after, n in row.get("moved", ()):
            self.movements[before, after] = self.movements.pop((before, after), 0) + n
        while len(self.movements) > MOVEMENTS:
            del self.movements[next(iter(self.movements))]
        kept, again = row.get("kept", (0, 0))
        fade = (1.0 - 1.0 / REMEMBERED) ** again
        self.kept, self.drawn_again = fade * self.kept + kept, fade * self.drawn_again + again

    def _segment_report(self) -> dict[str, Any]:
        """Quality of the segments; `stability` is the share of customers who kept theirs from draw to draw."""
        quality = self.clusters.quality()
        matrix: dict[str, dict[str, int]] = {}
        for (before, after), n in sorted(self.movements.items()):
            matrix.setdefault(str(before), {})[str(after)] = n
        names = self._segment_names()
        stability = self.kept / self.drawn_again if self.drawn_again else None
        return quality | {
            "stability": stability,
            "kept_in_fit": quality["stability"],
            "names": names,
            "members": self.members,
            "movements": matrix,
        }

    def _segment_names(self) -> dict[str, str]:
        segments = self.clusters.compiled("")
        return {} if segments is None else {str(number): name for number, name in segments.named().items()}

    def _sales(self, row: Mapping[str, Any]) -> None:
        for series, day, amount in row["sold"]:
            self.sales.add(series, day, amount)
        self._stand(row)
        times = [time for time, _ in self.shards.values() if time is not None]
        if len(times) < row["partitions"]:
            return
        time = min(times)
        day = self._day(time - self.policy.waits("sales"))
        if self.sales.next_day is None or day > self.sales.next_day:
            self._close_market(day)
            self.brands.close(day)
        self.sales.close_until(day)

    def _stand(self, row: Mapping[str, Any]) -> None:
        """Note up to when a shard has told its sales.

        One that says again that it is silent had no records since it said so before: it stands where the foremost
        stood then. Of later it says nothing, for what comes in at once after a silence reaches one shard after the
        other, while this one may be saying that it is silent.
        """
        number, time, idle = row["partition"], row["time"], row["idle"]
        foremost = self.foremost.pop(number, None)
        if idle:
            time = max((at for at in (time, foremost) if at is not None), default=None)
        self.shards[number] = (time, idle)
        if idle:
            self.foremost[number] = max((at for at, _ in self.shards.values() if at is not None), default=None)

    def _close_market(self, until: int) -> None:
        """Close day by day: at the end of each trading day the next six are asked for."""
        demand = self.market.book.sums.demand
        for day in [*(day + 1 for day in sorted(demand.waiting) if day < until - 1), until]:
            before = demand.trading_days
            self.market.take({"close": day})
            demand = self.market.book.sums.demand
            if demand.trading_days > before:
                at = day * DAY
                self.outlook.learn_day(demand, at, judged=at >= self.judge_from)

    def _day(self, at: float) -> int:
        return day_of(datetime.fromtimestamp(at, self.policy.zone))

    def serving(self) -> ServingSet:
        """Return what shards score with, as learned so far."""
        compiled = {task: self.care.serving(task) or self._compiled(task) for task in self.leagues}
        segments = self._named(self.clusters.compiled(str(self.clusters.fits)))
        return ServingSet(**compiled, segments=segments, brand_choice=self._named(self.brands.compiled()))

    def _compiled(self, task: str) -> ServingModel | None:
        """Return the model that a league itself would serve."""
        own = self._amount(task) if task in self.contests else self.leagues[task].compiled(NAMES[task])
        return self._named(own)

    def _named(self, model: Named) -> Named:
        """Return the model with a version that names who learned it, where that is not the first."""
        if model is None or not self.name:
            return model
        return msgspec.structs.replace(model, version=f"{model.version}@{self.name}")

    def _amount(self, task: str) -> ServingModel | None:
        """Return what the champion of a task with amounts is compiled to; persistence while it is cold.

        `purchases` brings the buy-till-you-die model along: a customer's stage is read from it.
        """
        league, name = self.leagues[task], self.champion(task)
        if name == league.champion_name:
            model = league.compiled(NAMES[task])
        else:
            model = league.entrants()[name].compiled(task, f"{name}:{league.version}", NAMES[task])
        if model is not None:
            return model
        trivial = persistence(task, PERSISTING[task], NAMES[task])
        lives = league.entrants().get(LIFETIMES) if task == "purchases" else None
        known = lives.compiled(task, league.version, NAMES[task]) if lives is not None else None
        return carrying(trivial, known) if isinstance(known, LifetimeModel) else trivial

    def champion(self, task: str) -> str:
        """Name of who serves a task."""
        return self.contests[task].champion if task in self.contests else self.leagues[task].champion_name

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
        league, asked = self.leagues[task], self._asked(msgspec.structs.replace(opened, task=task))
        judged = opened.at >= self.judge_from
        if task in self.contests:
            said = None if asked is None else asked.pop(SERVED)
            served, asked = said if served is None else served, asked or league.ask(x, pairs)
            self.contests[task].judge(y, {name: asked[name] for name in asked if name not in UNSERVED}, opened.at)
        league.mature(x, y, served, opened.at, asked, pairs, judged=judged, waited=waited)

    def versions(self) -> tuple[str, ...]:
        """Change when a published model would."""
        fits = (str(self.clusters.fits), str(self.draws.fits))
        served = tuple(contest.champion for contest in self.contests.values())
        held = tuple(self.care.held.values())
        return (*(league.version for league in self.leagues.values()), *served, *fits, self.brands.version, *held)

    def report(self) -> dict[str, Any]:
        """Return `tasks`, `segments`, `sales` and `outlook` (the next 7 days' sales, main currency) of the report."""
        series = [ALL, *sorted(name for name in self.sales.series if name != ALL)]
        return {
            "tasks": {task: self._task(league) for task, league in self.leagues.items()}
            | self.brands.tasks()
            | self._demand(),
            "segments": self._segment_report(),
            "sales": {name: {str(h): figures for h, figures in self.sales.report(name).items()} for name in series},
            "outlook": {name: self._outlook(name) for name in series},
            "sales_days": msgspec.to_builtins(self.sales.recent),
            "brands": self.brands.report(self._segment_names()),
            "market": self._market(),
        }

    def _outlook(self, series: str) -> dict[str, float | None]:
        outlook = self.sales.outlook(series)
        return {"next_week": outlook.week, "next_week_naive": outlook.week_naive}

    def _task(self, league: League) -> dict[str, Any]:
        report = league.report()
        report["changes"] = self._changes(league, report.get("changes", []))
        report["rolled_back_to"] = self.care.held.get(league.task)
        own = self._compiled(league.task) if league.task in self.latest else None
        if league.task in self.latest:
            model = self.care.serving(league.task) or own
            segments = self.clusters.compiled("")
            report["importance_by_segment"] = by_segment(model, self.latest[league.task], segments, self.labels)
        if isinstance(league, LabelLeague):
            return self._labels(league, report, own)
        served = report.pop("served")
        name, fresh = self.champion(league.task), report["models"]
        others: dict[str, Any] = {}
        if league.kind == "amount":
            report["promotions"] = self.contests[league.task].log if league.task in self.contests else []
            everybody = fresh | report["baselines"]
            others = {other: figures for other, figures in everybody.items() if other not in TRIVIAL}
            report["baselines"] = {other: figures for other, figures in everybody.items() if other in TRIVIAL}
            if served["mae"] is None:
                served = everybody[name]
        return report | {
            "champion": name,
            "models": others | {name: served | {"microseconds_per_example": None}},
            "just_before_learning": fresh,
        }

    def _changes(self, league: League, own: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what changed who serves, in the order it came."""
        by_hand = [msgspec.to_builtins(change) for change in self.care.changes.get(league.task, ())]
        fought = self.contests[league.task].log if league.task in self.contests else []
        amounts = [
            {"examples": one["examples"], "what": "promotion", "model": one["to"], "before": one["from"]}
            | {"reason": one.get("reason", "its losses are lower")}
            for one in fought
        ]
        return sorted(own + amounts + by_hand, key=lambda change: change["examples"])

    def _labels(self, league: LabelLeague, report: dict[str, Any], own: ServingModel | None) -> dict[str, Any]:
        """In a backtest all were asked at the decision; live only who served, the others just before learning."""
        champion = league.champion_name
        if not self.asks and champion in report["models"]:
            report["models"][champion] |= report["served"]
        histories = self.draws.latest(LOOKED_AT)
        report["importance"] = importance(own, league.vocabulary, self.labels, histories)
        others = "at the decision" if self.asks else "just before learning"
        return report | {"judged": {champion: "at the decision", "others": others}}

    def time_with(self, clock: Callable[[], float]) -> None:
        """Measure what each entrant's learning takes, for the report alone."""
        for league in self.leagues.values():
            league.clock = clock

    def state(self) -> dict[str, Any]:
        """River objects and plain data, for `freeze`."""
        return {
            "leagues": {task: league.state() for task, league in self.leagues.items()},
            "name": self.name,
            "care": self.care.state(),
            "clusters": self.clusters.state(),
            "draws": self.draws.state(),
            "contests": {task: msgspec.to_builtins(contest) for task, contest in self.contests.items()},
            "members": self.members,
            "movements": self.movements,
            "kept": (self.kept, self.drawn_again),
            "sales": msgspec.msgpack.encode(self.sales),
            "shards": self.shards,
            "foremost": self.foremost,
            "brands": self.brands.state(),
            "market": self.market.state(),
            "outlook": self.outlook.state(),
            "latest": {task: latest.state() for task, latest in self.latest.items()},
        }

    def _demand(self) -> dict[str, Any]:
        found = self.outlook.report()
        return {} if found is None else {"demand": found}

    def _market(self) -> dict[str, Any]:
        """The market by category; with each brand's share among the competitors, where these are of the same lines."""
        found, shown = self.market.book.report(self.policy.currency), self.brands.shown()
        for name, figures in found.items():
            figures["next_six_days"] = self.outlook.of(name)
            if name != ALL and (name != UNCATEGORISED or self._has_one_rest()):
                figures["competitors"] |= self.brands.shares(name, shown)
            if not figures["competitors"]:
                del figures["competitors"]
        return found

    def _has_one_rest(self) -> bool:
        """Whether the rest of the market and the rest of the brands are of the same lines: those without category."""
        of_market = self.market.book.sums.demand.candidates.counts
        return not of_market and self.brands.names_all and not self.brands.places.knows(ALL)

    def parts(self) -> dict[str, bytes]:
        """What belongs to `state` and does not change once it is there, by name."""
        return self.market.parts() | self.care.bodies

    def restore(self, state: Mapping[str, Any], parts: Mapping[str, bytes]) -> None:
        """Become what `state` and `parts` were taken of; the future is the same, to the bit."""
        self.leagues |= {
            task: (LabelLeague if "learners" in kept else League).restore(kept)
            for task, kept in state["leagues"].items()
        }
        self.clusters, self.draws = Clusters.restore(state["clusters"]), Draws.restore(state["draws"])
        self.contests = msgspec.convert(state["contests"], dict[str, AmountContest])
        self.members, self.shards = state["members"], state["shards"]
        self.foremost = state.get("foremost", {})  # since 0.2
        self.movements, (self.kept, self.drawn_again) = state["movements"], state["kept"]
        self.sales = msgspec.msgpack.decode(state["sales"], type=SalesBook)
        self.sales.calendar.place = self.policy.holidays
        if "care" in state:  # since 0.2
            self.name, self.care = state["name"], Care.restore(state["care"], parts)
        if "brands" in state:  # since 0.2
            self.brands.restore(state["brands"])
        if "market" in state:  # since 0.2
            self.market = Journaled.restore(state["market"], parts, Market(), Market.restore)
        if "outlook" in state:  # since 0.2
            self.outlook = DemandOutlook.restore(state["outlook"])
        if "latest" in state:  # since 0.2
            self.latest |= {task: Latest.restore(kept) for task, kept in state["latest"].items()}


REMEMBERED: Final = 10_000.0
"""Draws that the share of customers who kept their segment looks back on."""
MOVEMENTS: Final = 400
"""Pairs of segments between which movements are counted; the pair longest without any is forgotten."""
