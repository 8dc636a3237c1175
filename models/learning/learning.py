"""Everything that learns, side by side: leagues, segments, sales, brands and the market."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from models.brand.book import BrandBook
from models.brand.taste import UNCATEGORISED
from models.learning import reports
from models.learning.days import Told
from models.learning.groups import Groups
from models.learning.leagues import Leagues
from models.learning.requests import perform
from models.market.book import Market
from models.market.journal import Journaled
from models.market.outlook import RANDOM_DAYS
from models.market.outlook import Outlook as DemandOutlook
from models.policy import DAY, Policy
from models.sales.calendar import Calendar, day_of
from models.sales.dimensions import ALL, ordered
from models.sales.series import SalesBook
from models.segmentation import Clusters
from models.serving_set import ServingSet
from schemas.commit import Opened
from schemas.requests import OPERATOR, Request


class Learning:
    """Leagues, segments, sales, brands and the market of one job.

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
        self.policy, self.judge_from = policy, judge_from
        self.labels: dict[int, str] = {}
        self.leagues = Leagues(policy, judge_from, name)
        self.groups = Groups(policy.currency)
        self.sales = SalesBook(calendar=Calendar(place=policy.holidays), split_by=policy.split_by)
        self.brands = BrandBook(policy.currency, judge_from)
        self.market = Journaled(Market())
        self.outlook = DemandOutlook()
        self.told = Told()

    def take(self, task: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Learn one record's rows of one task.

        Raises
        ------
        KeyError
            A field is missing, or there is no such task.
        """
        learn = {
            "segments": self._drawn,
            "sales": self._sold,
            "market": self.market.take,
            "brand_choice": self.brands.bought,
            "sentiment": self.brands.said,
            OPERATOR: self._asked,
        }.get(task)
        if learn is None:
            self.leagues.take(task, rows)
            return
        for row in rows:
            learn(row)

    def _asked(self, row: Mapping[str, Any]) -> None:
        perform(self.leagues, msgspec.convert(row, Request))

    def ask(self, some: Sequence[Opened]) -> None:
        """Ask every entrant at the decision, for `take` to judge when the outcome comes. Of a backtest alone."""
        self.leagues.ask(some)

    def _drawn(self, row: Mapping[str, Any]) -> None:
        for values in row["drawn"]:
            if values[1] > 0:  # who never ordered is in no segment
                self.groups.drawn(values)
                recency, orders, spend, tenure = values[:4]
                self.leagues.draw(recency, orders, spend, tenure)
        self.groups.count(row)

    def _sold(self, row: Mapping[str, Any]) -> None:
        for series, day, amount in row["sold"]:
            self.sales.add(series, day, amount)
        self.told.stand(row)
        time = self.told.upto(row["partitions"])
        if time is None:
            return
        day = self._day(time - self.policy.waits("sales"))
        if self.sales.next_day is None or day > self.sales.next_day:
            self._close_market(day)
            self.brands.close(day)
        self.sales.close_until(day)

    def _day(self, at: float) -> int:
        return day_of(datetime.fromtimestamp(at, self.policy.zone))

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

    # Serving.

    def serving(self) -> ServingSet:
        """Return what shards score with, as learned so far."""
        named = self.leagues.named
        segments = named(self.groups.compiled(str(self.groups.clusters.fits)))
        return ServingSet(**self.leagues.serving(), segments=segments, brand_choice=named(self.brands.compiled()))

    def versions(self) -> tuple[str, ...]:
        """Change when a published model would."""
        return (*self.leagues.versions(), str(self.groups.clusters.fits), self.brands.version)

    def report(self) -> dict[str, Any]:
        """Return `tasks`, `segments`, `sales` and `outlook` (the next 7 days' sales, main currency) of the report."""
        series = ordered(self.sales.series)
        demand = self.outlook.report()
        tasks = reports.tasks(self.leagues, self.groups.compiled(), self.labels) | self.brands.tasks()
        return {
            "tasks": tasks if demand is None else tasks | {"demand": demand},
            "segments": self.groups.report(),
            "sales": {name: {str(h): figures for h, figures in self.sales.report(name).items()} for name in series},
            "outlook": {name: self._outlook(name) for name in series},
            "sales_days": msgspec.to_builtins(self.sales.recent),
            "brands": self._with_currency(self.brands.report(self.groups.names())),
            "market": self._with_currency(self._market(demand)),
        }

    def _with_currency(self, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Figures by name, each with the currency that its amounts are in."""
        return {name: {"currency": self.policy.currency} | dict(figures) for name, figures in found.items()}

    def _outlook(self, series: str) -> dict[str, float | None]:
        outlook = self.sales.outlook(series)
        return {"next_week": outlook.week, "next_week_naive": outlook.week_naive}

    def _market(self, demand: Mapping[str, Any] | None) -> dict[str, Any]:
        """The market by category; with each brand's share among the competitors, where these are of the same lines.

        `demand` is that task's report: how good the chance of the next six days is stands beside it.
        """
        found, shown = self.market.book.report(self.policy.currency), self.brands.shown()
        judged = None if demand is None else _beside_control(demand)
        for name, figures in found.items():
            ahead = self.outlook.of(name)
            figures["next_six_days"] = ahead if ahead is None or judged is None else ahead | {"judged": judged}
            if name != ALL and (name != UNCATEGORISED or self._has_one_rest()):
                figures["competitors"] |= self.brands.shares(name, shown)
            if not figures["competitors"]:
                del figures["competitors"]
        return found

    def _has_one_rest(self) -> bool:
        """Whether the rest of the market and the rest of the brands are of the same lines: those without category."""
        of_market = self.market.book.sums.demand.candidates.counts
        return not of_market and self.brands.names_all and not self.brands.places.knows(ALL)

    def time_with(self, clock: Callable[[], float]) -> None:
        """Measure what each entrant's learning takes, for the report alone."""
        self.leagues.time_with(clock)

    # Saving.

    def state(self) -> dict[str, Any]:
        """River objects and plain data, for `freeze`."""
        groups = self.groups
        return self.leagues.state() | {
            "clusters": groups.clusters.state(),
            "members": groups.members,
            "movements": groups.movements,
            "kept": (groups.kept, groups.drawn_again),
            "sales": msgspec.msgpack.encode(self.sales),
            "shards": self.told.shards,
            "foremost": self.told.foremost,
            "brands": self.brands.state(),
            "market": self.market.state(),
            "outlook": self.outlook.state(),
        }

    def parts(self) -> dict[str, bytes]:
        """What belongs to `state` and does not change once it is there, by name."""
        return self.market.parts() | self.leagues.care.bodies

    def restore(self, state: Mapping[str, Any], parts: Mapping[str, bytes]) -> None:
        """Become what `state` and `parts` were taken of; the future is the same, to the bit."""
        self.leagues.restore(state, parts)
        groups = self.groups
        groups.clusters = Clusters.restore(state["clusters"])
        groups.members, groups.movements = state["members"], state["movements"]
        groups.kept, groups.drawn_again = state["kept"]
        self.told = Told(state["shards"], state.get("foremost", {}))  # the latter since 0.2
        self.sales = msgspec.msgpack.decode(state["sales"], type=SalesBook)
        self.sales.stand_in(self.policy.holidays)
        self.sales.split(self.policy.split_by)
        if "brands" in state:  # since 0.2
            self.brands.restore(state["brands"])
        if "market" in state:  # since 0.2
            self.market = Journaled.restore(state["market"], parts, Market(), Market.restore)
        if "outlook" in state:  # since 0.2
            self.outlook = DemandOutlook.restore(state["outlook"])


def _beside_control(demand: Mapping[str, Any]) -> dict[str, Any]:
    """How good the champion is, over all categories, and what `growth` finds on days in random order."""
    champion, control = demand["champion"], demand["controls"][RANDOM_DAYS]
    told = {"model": champion, "examples": demand["examples"], "auc": demand["models"][champion]["auc"]}
    return told | {"auc_random_days": control["auc"]}
