"""The task `demand`: whether the next six trading days will sell more than the mean of the last thirty.

Against the last six days, going back to the mean alone would look like a forecast: it gives an AUC of .78 on days in
random order. Against the last thirty such days give .5 or less, which is what a test here shows.
"""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
from msgspec import Struct, field

from models.league.baselines import RecentRate, RunningMean
from models.league.boosted import Boosted
from models.league.changes import Change, lower, note
from models.league.contract import Features, Learner
from models.league.league import learner_of
from models.league.learners import classifier
from models.league.margin import Fourier, Hinge
from models.league.prequential import BinaryQuality
from models.market.ahead import Growth
from models.market.demand import ALL, WINDOW, Demand
from models.market.reasons import reasons

AHEAD: Final = 6
"""Trading days that the label looks ahead."""
PRIOR: Final = 0.5
GROWTH: Final = "growth"
RANDOM_DAYS: Final = "random_days"
LAST_SIX: Final = "last_six_days"
LAST_THIRTY: Final = "last_thirty_days"
ENTRANTS: Final[dict[str, Callable[[float], Learner]]] = {
    "logistic": classifier,
    "linear_svm": Hinge,
    "fourier_svm": Fourier,
    "trees": Boosted,
}
TRIVIAL: Final[dict[str, Callable[[float], Learner]]] = {
    "base_rate": RunningMean,
    "last_100": lambda prior: RecentRate(prior, 100.0),
}
EARLIEST: Final = 400
"""Examples before another than `growth` may serve; a trivial one from a quarter of them on."""
MARGIN: Final = 0.005
"""Nats by which another must be better than who serves, so that two alike do not take turns. `growth` only has to be
better: what it knows of is the amount, and not only the label."""
CLEARLY: Final = 0.95
"""Share of the error of `growth` below which a trivial forecast of units serves instead."""
LEAST: Final = 1.0 / WINDOW
"""Share of the level below which an amount counts as that: whatever the unit, nothing sold is no infinite fall."""
DOUBT: Final = 30.0
"""Outcomes of a category that weigh as much as those of all in how far off it may be: five that do not overlap."""
FADE: Final = 1.0 - 1.0 / 120.0
"""What an older error weighs, an outcome."""
FIRST: Final = 0.24
"""Mean absolute error that is assumed before any outcome, with the weight of ten."""
USUAL: Final = 1.61
"""Mean absolute errors to each side that hold with 80 %, of a normal as of a Laplace distribution."""
SURE: Final = 0.8
STEP: Final = 0.05
"""By how much an outcome outside an interval makes the next ones wider."""


def features(units: Sequence[float], everything: Sequence[float]) -> dict[str, float] | None:
    """What the last 30 trading days say: all of it logarithms, relative to their mean; None for too little.

    Parameters
    ----------
    units, everything
        Units a trading day of the category and of all, the newest last.
    """
    if len(units) < WINDOW or len(everything) < WINDOW:
        return None
    own, whole = list(units[-WINDOW:]), list(everything[-WINDOW:])
    if sum(one > 0 for one in own) < 2 * WINDOW // 3:
        return None
    level, market = _mean(own), _mean(whole)
    week = _ratio(_mean(own[-AHEAD:]), level)
    logs = [_ratio(one, level) for one in own]
    middle = (WINDOW - 1) / 2
    slope = sum((i - middle) * one for i, one in enumerate(logs)) / sum((i - middle) ** 2 for i in range(WINDOW))
    return {
        "week": week,
        "last_day": logs[-1],
        "median": sorted(logs)[WINDOW // 2],
        "week_of_share": week - _ratio(_mean(whole[-AHEAD:]), market),
        "trend": AHEAD * slope,
    }


def _mean(amounts: Sequence[float]) -> float:
    return math.fsum(amounts) / len(amounts)


def _ratio(amount: float, level: float) -> float:
    """Logarithm of an amount over a level; the same in whatever unit."""
    return math.log(max(amount / level, LEAST))


def _log_odds(chance: float) -> float:
    chance = min(max(chance, 1e-9), 1.0 - 1e-9)
    return math.log(chance / (1.0 - chance))


class Asked(Struct, array_like=True):
    """A question of one trading day: what was known, answered and foreseen.

    `growth` and `served` are logarithms over `level`, the mean of the last thirty days: of the regression, and what was
    served. `week` is the mean of the last six days.
    """

    day: int
    x: dict[str, float]
    answers: dict[str, float]
    growth: float
    level: float
    week: float
    served: float = 0.0


class Missed(Struct, array_like=True):
    """How far what was served went wrong: outcomes and absolute errors of the logarithm added up, older ones fading.

    `wider` is the logarithm of what makes the interval hold as often as it says, learned from how often it did.

    References
    ----------
    Gibbs and Candes (2021), Adaptive conformal inference under distribution shift, NeurIPS 34, 1660-1672.
    """

    n: float = 0.0
    errors: float = 0.0
    wider: float = 0.0

    def learn_one(self, error: float, half: float) -> None:
        """Take in an error, where `half` is how far the interval reached."""
        self.n, self.errors = FADE * self.n + 1.0, FADE * self.errors + error
        self.wider += STEP * ((error > half) - (1.0 - SURE))


class Errors(Struct):
    """Absolute errors of the logarithm of the next six days' units, added up: of the forecast, and of trivial ones."""

    forecast: float = 0.0
    last_six: float = 0.0
    last_thirty: float = 0.0
    n: int = 0


class Outlook:
    """Everybody is asked at the end of each trading day, for each category, and judged six trading days later."""

    def __init__(self) -> None:
        self.growth = Growth()
        self.learners = {name: make(PRIOR) for name, make in (ENTRANTS | TRIVIAL).items()}
        self.quality = {name: BinaryQuality() for name in (GROWTH, *self.learners)}
        self.errors = Errors()
        self.missed: dict[str, Missed] = {}
        self.everybody = Missed()
        self.control = BinaryQuality()
        self.serves = GROWTH
        self.changes: list[Change] = []
        self.pending: dict[str, list[Asked]] = {}
        self.now: dict[str, Asked] = {}
        self._why: dict[str, dict[str, Any]] = {}  # of `now`, once asked for: nobody learns in between

    @property
    def champion(self) -> str:
        """Who has the least log loss so far, if clearly less than who serves; `growth` at first. Trivial ones may."""
        able = [
            GROWTH,
            *(TRIVIAL if self.growth.n >= EARLIEST // 4 else ()),
            *(ENTRANTS if self.growth.n >= EARLIEST else ()),
        ]
        losses = {name: self.quality[name].mean_log_loss() for name in able}
        known = {
            name: loss + MARGIN * (name not in (self.serves, GROWTH))
            for name, loss in losses.items()
            if loss is not None
        }
        return min(known, key=lambda name: (known[name], name)) if self.serves in known else self.serves

    @property
    def forecaster(self) -> str:
        """Who says how many units: `growth`, or a trivial forecast that is clearly better."""
        errors = self.errors
        by = {GROWTH: errors.forecast, LAST_SIX: errors.last_six / CLEARLY, LAST_THIRTY: errors.last_thirty / CLEARLY}
        return min(by, key=by.__getitem__) if errors.n >= EARLIEST // 4 else GROWTH

    def _forecast(self, x: Features) -> float:
        """Logarithm of the next six days over the level, as the forecaster says it."""
        answers: dict[str, Callable[[Features], float]] = {
            GROWTH: self.growth.growth,
            LAST_SIX: lambda x: x["week"],
            LAST_THIRTY: lambda _: 0.0,
        }
        return answers[self.forecaster](x)

    def doubt(self, category: str) -> float:
        """By how much the logarithm of a category's forecast may be off with 80 %; as of all while it has few."""
        whole = self.everybody
        own = self.missed.get(category, Missed(wider=whole.wider))
        usual = (10.0 * FIRST + whole.errors) / (10.0 + whole.n)
        return USUAL * math.exp(own.wider) * (DOUBT * usual + own.errors) / (DOUBT + own.n)

    def learn_day(self, demand: Demand, at: float = 0.0, *, judged: bool = True) -> None:
        """Take in that a trading day is closed: what was asked six days ago is learned, and the next asked.

        Parameters
        ----------
        at
            The day's end, in epoch seconds.
        judged
            Whether what matures now counts in the figures.
        """
        day = demand.trading_days
        units = {category: [one.units_e3 / 1e3 for one in sold] for category, sold in demand.sold.items()}
        self.pending = {category: some for category, some in self.pending.items() if category in units}
        self.missed = {category: one for category, one in self.missed.items() if category in units}
        for category, own in units.items():
            waiting = self.pending.get(category, [])
            self.pending[category] = [one for one in waiting if one.day + AHEAD > day]
            for asked in [one for one in waiting if one.day + AHEAD <= day]:
                grown = _ratio(math.fsum(own[-AHEAD:]) / AHEAD, asked.level)
                self._miss(category, grown - asked.served)
                if category != ALL:  # it is the sum of the others
                    self._mature(asked, grown, at, judged)
        self._note()
        self.now, self._why = {}, {}
        for category, own in units.items():
            if judged and category != ALL:
                self._ask_at_random(category, day, own, units[ALL], at)
            x = features(own, units[ALL])
            if x is None:
                continue
            asked = self._ask(day, x, own)
            self.now[category] = asked
            self.pending[category].append(asked)

    def _note(self) -> None:
        """Note another champion."""
        champion, before = self.champion, self.serves
        loss, than = (self.quality[name].mean_log_loss() for name in (champion, before))
        if champion != before and loss is not None and than is not None:
            note(self.changes, lower(self.errors.n, champion, before, loss, than))
            self.serves = champion

    def _ask(self, day: int, x: dict[str, float], units: Sequence[float]) -> Asked:
        answers = {name: learner.score_one(x) for name, learner in self.learners.items()}
        answers[GROWTH] = self.growth.score_one(x)
        asked = Asked(day, x, answers, self.growth.growth(x), _mean(units[-WINDOW:]), _mean(units[-AHEAD:]))
        asked.served = self._forecast(x)
        return asked

    def _ask_at_random(
        self, category: str, day: int, units: Sequence[float], everything: Sequence[float], at: float
    ) -> None:
        """Put the question to the latest days in random order: what `growth` finds there is arithmetic, no forecast."""
        if len(units) < WINDOW + AHEAD or len(everything) < WINDOW + AHEAD:
            return
        order = np.random.default_rng([day, zlib.crc32(category.encode())]).permutation(WINDOW + AHEAD).tolist()
        own, whole = ([some[-WINDOW - AHEAD :][place] for place in order] for some in (units, everything))
        x = features(own[:WINDOW], whole[:WINDOW])
        if x is not None:
            label = float(_mean(own[WINDOW:]) > _mean(own[:WINDOW]))
            self.control.update(label, self.growth.score_one(x), at)

    def _miss(self, category: str, error: float) -> None:
        half = self.doubt(category)
        for one in (self.missed.setdefault(category, Missed(wider=self.everybody.wider)), self.everybody):
            one.learn_one(abs(error), half)

    def _mature(self, asked: Asked, grown: float, at: float, judged: bool) -> None:
        label = float(grown > 0.0)
        if judged:
            for name, answer in asked.answers.items():
                self.quality[name].update(label, answer, at)
            self.errors.n += 1
            self.errors.forecast += abs(grown - asked.growth)
            self.errors.last_six += abs(grown - _ratio(asked.week, asked.level))
            self.errors.last_thirty += abs(grown)
        self.growth.learn_one(asked.x, grown)
        for learner in self.learners.values():
            learner.learn_one(asked.x, label)

    def of(self, category: str) -> dict[str, Any] | None:
        """Return what is expected of the next six trading days, and why; None while too little is known.

        `above_usual` is the probability of more than the mean of the last thirty, `units` a day, `low` and `high`
        hold with 80 %. `reasons` has for `units` and `above_usual` the `model` that answers, and `base` and `effects`
        by figure: they add up to the logarithm of the units over the level, and to the log odds.
        """
        asked = self.now.get(category)
        if asked is None:
            return None
        middle, half = asked.served, self.doubt(category)
        units = {"units": middle, "low": middle - half, "high": middle + half}
        if category not in self._why:
            self._why[category] = {"units": self._why_units(asked.x), "above_usual": self._why_above(asked.x)}
        return {
            "above_usual": asked.answers[self.champion],
            **{name: asked.level * math.exp(z) for name, z in units.items()},
            "reasons": self._why[category],
        }

    def _why_units(self, x: Features) -> dict[str, Any]:
        return {"model": self.forecaster} | reasons(self._forecast, x)

    def _why_above(self, x: Features) -> dict[str, Any]:
        learner = self.growth if self.champion == GROWTH else self.learners[self.champion]
        return {"model": self.champion} | reasons(lambda some: _log_odds(learner.score_one(some)), x)

    def report(self) -> dict[str, Any] | None:
        """Return the task, as the report has it; None without any example.

        A control is no answer to the same questions: nobody is compared with it by who wins.
        """
        if not self.errors.n:
            return None
        found: dict[str, dict[str, Any]] = {name: quality.report() for name, quality in self.quality.items()}
        champion, n, errors = self.champion, self.errors.n, self.errors
        found[GROWTH]["units_log_error"] = errors.forecast / n
        return {
            "examples": n,
            "positives": sum(self.quality[GROWTH].positives),
            "champion": champion,
            "models": {
                name: found[name] | {"microseconds_per_example": None} for name in (GROWTH, *ENTRANTS, champion)
            },
            "baselines": {name: found[name] for name in TRIVIAL}
            | {
                LAST_SIX: {"units_log_error": errors.last_six / n},
                LAST_THIRTY: {"units_log_error": errors.last_thirty / n},
            },
            "controls": {RANDOM_DAYS: self.control.report()},
            "changes": [msgspec.to_builtins(change) for change in self.changes],
        }

    def state(self) -> dict[str, Any]:
        """River objects and plain data, for `freeze`."""
        plain = _Plain(
            self.quality, self.errors, self.pending, self.now, self.missed, self.everybody, self.control, self.serves,
            self.changes,
        )  # fmt: skip
        return {
            "growth": self.growth.state(),
            "learners": {name: learner.state() for name, learner in self.learners.items()},
            "plain": msgspec.msgpack.encode(plain),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Return the one whose state this was; the future is the same, to the bit."""
        made = cls()
        made.growth = Growth.restore(state["growth"])
        made.learners = {name: learner_of(kept) for name, kept in state["learners"].items()}
        plain = msgspec.msgpack.decode(state["plain"], type=_Plain)
        made.quality, made.errors, made.pending, made.now = plain.quality, plain.errors, plain.pending, plain.now
        made.missed, made.everybody, made.control = plain.missed, plain.everybody, plain.control
        made.serves, made.changes = plain.serves, plain.changes
        return made


class _Plain(Struct):
    quality: dict[str, BinaryQuality]
    errors: Errors
    pending: dict[str, list[Asked]] = field(default_factory=dict)
    now: dict[str, Asked] = field(default_factory=dict)
    missed: dict[str, Missed] = field(default_factory=dict)
    everybody: Missed = field(default_factory=Missed)
    control: BinaryQuality = field(default_factory=BinaryQuality)
    serves: str = GROWTH
    changes: list[Change] = field(default_factory=list)
