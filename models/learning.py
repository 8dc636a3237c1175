"""All that is learned, as one function of the examples in their order."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np

from models.brand.book import BrandBook
from models.customers.attributes import unpack_pairs
from models.customers.features import NATURAL, unpack
from models.league.fallback import persistence
from models.league.league import League, amount_league, binary_league
from models.policy import Policy
from models.sales.series import ALL, SalesBook
from models.segmentation import Clusters
from models.serving_set import PRIORS, ServingSet
from schemas.commit import Opened

NAMES: Final = {"response": NATURAL, "churn": NATURAL, "value": NATURAL}
LAST_WINDOW: Final = "spend_90d"
TASKS: Final = ("response", "churn", "value", "segments", "sales", "brand_choice", "sentiment")


class Learning:
    """Leagues, segments and sales of one job.

    Parameters
    ----------
    policy
        Currency, timezone and lateness are read.
    judge_from
        Decisions before this time, in epoch seconds, are learned from and not judged.
    """

    def __init__(self, policy: Policy, judge_from: float = -math.inf) -> None:
        self.policy, self.judge_from = policy, judge_from
        self.asked: dict[Opened, list[dict[str, float]]] = {}
        self.leagues: dict[str, League] = {
            "response": binary_league("response", PRIORS["response"]),
            "churn": binary_league("churn", PRIORS["churn"], rule="recency_days"),
            "value": amount_league("value", PRIORS["value"], persists=LAST_WINDOW),
        }
        self.clusters = Clusters(currency=policy.currency)
        self.members: dict[int, int] = {}
        self.sales = SalesBook()
        self.brands = BrandBook(policy.currency)
        self.shards: dict[int, tuple[float | None, bool]] = {}

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
        elif task == "brand_choice":
            for row in rows:
                self.brands.bought(row)
        elif task == "sentiment":
            for row in rows:
                self.brands.said(row)
        else:
            for row in rows:
                self._example(task, row)

    def _example(self, task: str, row: Mapping[str, Any]) -> None:
        opened = Opened(task, row["at"], row["x"], row.get("a", b""))
        answers = self.asked.get(opened, [])
        asked = answers.pop() if answers else None
        if not answers:
            self.asked.pop(opened, None)
        if not row.get("treated", True):
            return  # a control's outcome says what happens without a contact: uplift, not response
        x, pairs = unpack(opened.features, NAMES[task]), unpack_pairs(opened.attributes)
        judged = opened.at >= self.judge_from
        self.leagues[task].mature(x, row["y"], row["served"], opened.at, asked, pairs, judged=judged)

    def ask(self, opened: Opened) -> None:
        """Ask every entrant at the decision, for `take` to judge when the outcome comes. Of a backtest alone."""
        x, pairs = unpack(opened.features, NAMES[opened.task]), unpack_pairs(opened.attributes)
        self.asked.setdefault(opened, []).append(self.leagues[opened.task].ask(x, pairs))

    def _segments(self, row: Mapping[str, Any]) -> None:
        for values in row["drawn"]:
            if values[1] > 0:  # who never ordered is in no segment
                self.clusters.learn_one(np.log1p(np.maximum(values, 0.0)).astype(np.float16).tolist())
        for segment, change in row["moves"].items():
            self.members[int(segment)] = self.members.get(int(segment), 0) + change

    def _sales(self, row: Mapping[str, Any]) -> None:
        for series, day, amount in row["sold"]:
            self.sales.add(series, day, amount)
        self.shards[row["partition"]] = (row["time"], row["idle"])
        if len(self.shards) < row["partitions"]:
            return
        waited = [time for time, idle in self.shards.values() if not idle]
        known = [time for time, _ in self.shards.values() if time is not None]
        if None in waited or not known:
            return
        time = min(time for time in waited if time is not None) if waited else max(known)
        self.sales.close_until(self._day(time - self.policy.lateness))

    def _day(self, at: float) -> int:
        return datetime.fromtimestamp(at, UTC).astimezone(self.policy.zone).toordinal() - EPOCH

    def serving(self) -> ServingSet:
        """Return what shards score with, as learned so far."""
        compiled = {task: league.compiled(NAMES[task]) for task, league in self.leagues.items()}
        if compiled["value"] is None or not self.beats_persistence():
            compiled["value"] = persistence("value", LAST_WINDOW, NAMES["value"])
        return ServingSet(
            **compiled, segments=self.clusters.compiled(str(self.clusters.fits)), brand_choice=self.brands.compiled()
        )

    def beats_persistence(self) -> bool:
        """Whether the learned `value` was closer than persistence so far: both asked just before learning."""
        fresh = self.leagues["value"].fresh
        league = self.leagues["value"]
        learned, trivial = (fresh[name].report()["mae"] for name in (league.champion_name, "persistence"))
        return learned is not None and trivial is not None and learned < trivial

    def versions(self) -> tuple[str, ...]:
        """Change when a published model would."""
        return (*(league.version for league in self.leagues.values()), str(self.clusters.fits), self.brands.version)

    def report(self) -> dict[str, Any]:
        """Return `tasks`, `segments`, `sales` and `outlook` (the next 7 days' sales, main currency) of the report."""
        series = [ALL, *sorted(name for name in self.sales.series if name != ALL)]
        return {
            "tasks": {task: self._task(league) for task, league in self.leagues.items()} | self.brands.tasks(),
            "segments": self.clusters.quality() | {"members": self.members},
            "sales": {name: {str(h): figures for h, figures in self.sales.report(name).items()} for name in series},
            "outlook": {name: self._outlook(name) for name in series},
            "brands": self.brands.report(),
        }

    def _outlook(self, series: str) -> dict[str, float | None]:
        outlook = self.sales.outlook(series)
        return {"next_week": outlook.week, "next_week_naive": outlook.week_naive}

    def _task(self, league: League) -> dict[str, Any]:
        report = league.report()
        served = report.pop("served")
        name = league.champion_name
        if league.task == "value" and not self.beats_persistence():
            name = "persistence"
        fresh = report["models"]
        return report | {
            "champion": name,
            "models": {name: served | {"microseconds_per_example": None}},
            "just_before_learning": fresh,
        }

    def state(self) -> dict[str, Any]:
        """River objects and plain data, for `freeze`."""
        return {
            "leagues": {task: league.state() for task, league in self.leagues.items()},
            "clusters": self.clusters.state(),
            "members": self.members,
            "sales": msgspec.msgpack.encode(self.sales),
            "shards": self.shards,
            "brands": self.brands.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` was taken of; the future is the same, to the bit."""
        self.leagues = {task: League.restore(kept) for task, kept in state["leagues"].items()}
        self.clusters = Clusters.restore(state["clusters"])
        self.members, self.shards = state["members"], state["shards"]
        self.sales = msgspec.msgpack.decode(state["sales"], type=SalesBook)
        if "brands" in state:  # since 0.2
            self.brands.restore(state["brands"])


EPOCH: Final = 719_163
"""Ordinal of 1970-01-01."""
