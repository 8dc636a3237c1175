"""The book of all sales series: what was sold, and what is to be expected."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any, Final

from msgspec import Struct, field

from models.sales.calendar import WEEK, Calendar, weekday
from models.sales.contest import FIRST
from models.sales.dimensions import ALL, PARTS, SPLITS, Dimension, Split, dimension_of, rest
from models.sales.entrants import Entrants
from models.sales.forecast import Forecaster
from models.sales.judge import Forecast, Track
from models.sales.presence import MINOR
from models.sales.reconcile import reconcile
from models.sales.told import Day, Outlook, ahead_of

HORIZONS: Final = (1, 7, 14)
E4: Final = 10_000
"""Amounts are kept in integers of 1/10,000 of the currency unit, so that totals are exact."""
WARM_DAYS: Final = 14
"""Open days learned before a series is forecast and judged."""
MAX_WAITING: Final = 400
"""Days a series may hold before they are closed; an amount of yet another day goes to the total alone."""
RECENT: Final = 120
"""Days of the whole that are remembered with their forecasts."""
FADE: Final = 0.98
TAKE_OVER: Final = 1.5
SCALE_FLOOR: Final = 0.1
"""Of the level: weekdays that sell next to nothing must not blow up relative residuals."""
SIZE_FLOOR: Final = 0.01
"""Of what a day with an amount usually brings, now or before a decline."""


class Series(Struct):
    """One series: its total, the days not closed yet, its forecaster and its judges."""

    total_e4: int = 0
    late: int = 0
    activity: float = 0.0
    last_e4: int = 0
    waiting: dict[int, int] = field(default_factory=dict)
    forecaster: Forecaster = field(default_factory=Forecaster)
    entrants: Entrants = field(default_factory=Entrants)
    tracks: list[Track] = field(default_factory=lambda: [Track(h) for h in HORIZONS])

    def add(self, day: int, amount_e4: int, in_time: bool) -> None:
        """Add to the total, and to the day if it can still be closed."""
        self.total_e4 += amount_e4
        if in_time and (day in self.waiting or len(self.waiting) < MAX_WAITING):
            self.waiting[day] = self.waiting.get(day, 0) + amount_e4
        else:
            self.late += 1

    def close(self, day: int, calendar: Calendar, is_open: bool) -> None:
        """Judge the forecasts of `day`, learn it, and forecast from it. `calendar` knows `day` already."""
        self.last_e4 = self.waiting.pop(day, 0)
        due = [track.take(day) for track in self.tracks]
        if is_open:
            actual = self.last_e4 / E4
            week_before, presence = self.forecaster.same_weekday[weekday(day)], self.forecaster.presence
            unit = presence.size if presence.sparse else None
            for track, forecast in zip(self.tracks, due, strict=True):
                if forecast is not None and week_before is not None:
                    track.judge(forecast, actual, week_before, unit)
            self._learn(day, actual)
        if self.forecaster.days >= WARM_DAYS:
            for track in self.tracks:
                track.pending.append(self.ahead(track, day + track.horizon, calendar))

    def _learn(self, day: int, actual: float) -> None:
        """Learn an open day. A silence is not learned: whoever sells again sells as before, or as on that day."""
        model = self.forecaster
        if model.presence.silent:
            if abs(actual) < MINOR:
                model.note(day, actual)
                return
            if not model.presence.sparse:
                model.wake()
                self.entrants.wake()
        self.entrants.learn_one(day, model.calm(day, actual), model.presence.clip(actual))
        model.learn_one(day, actual)

    def ahead(self, track: Track, day: int, calendar: Calendar) -> Forecast:
        """Forecast `day` from what is known now."""
        model, presence = self.forecaster, self.forecaster.presence
        if presence.signed:
            points = self.entrants.signed(day, track.horizon)
        else:
            points = {FIRST: model.forecast(day)} | self.entrants.forecasts(day, track.horizon)
        naive, average, positive = model.seasonal_naive(day), model.moving_average(), presence.below == 0.0
        if calendar.is_closed(day) or presence.silent:  # naive forecasts know of neither
            return Forecast(day, 0.0, 0.0, 0.0, 0.0, naive, average, dict.fromkeys(points, 0.0), positive)
        point = track.contest.point(points)
        scale = max(point, SCALE_FLOOR * model.level, SIZE_FLOOR * presence.size, MINOR)
        if presence.signed or presence.sparse:  # most points lie near zero, and amounts do not
            scale = max(presence.size, MINOR)
        low, high = track.conformal.interval(point, scale) or (None, None)
        if low is not None and high is not None and positive:
            low, high = 0.0 if presence.sparse else max(low, 0.0), max(high, 0.0)
        return Forecast(day, point, scale, low, high, naive, average, points, positive)

    def expected(self, day: int, calendar: Calendar) -> Forecast:
        """Forecast what `day` brings on average, to be summed up.

        Where many days bring nothing, the forecast with the least absolute error is near zero, and the mean is not.
        """
        forecast, presence = self.ahead(self.tracks[0], day, calendar), self.forecaster.presence
        if presence.sparse and not presence.signed and forecast.scale > 0.0:
            return forecast.moved_to(self.forecaster.forecast(day))
        return forecast

    def made(self, track: Track, day: int, calendar: Calendar) -> Forecast:
        """Return the forecast of `day` as it was made, and made to add up; a new one where there is none."""
        newest = track.pending[-1] if track.pending else None
        return newest if newest is not None and newest.day == day else self.ahead(track, day, calendar)

    def absorb(self, gone: "Series") -> None:
        """Take over what a series that is no longer kept has sold, so that no amount is lost."""
        for day, amount_e4 in gone.waiting.items():
            self.add(day, amount_e4, in_time=True)
        self.total_e4 += gone.total_e4 - sum(gone.waiting.values())
        self.late += gone.late


class SalesBook(Struct, dict=True):
    """All series. Plain data: msgpack and back, it has the same future.

    The caller adds every amount in the main currency to the series `all`, which is always kept, and to whatever parts
    of it; any other amount to its currency's. For `all` and its parts a day with a sale in the main currency is open,
    for other currencies one with a sale in whatever currency: `anywhere` is their calendar, from the first of these on,
    and `sold_on` is False of a day on which the main currency had none. Of the parts, and of currencies, the
    `max_series` most active of each dimension are kept; what the rest sells is in a series of its own. A series that
    comes up later counts from then on. Nothing else grows. The next week, worked out after a close, is no state.

    `split_by` are the dimensions that are kept beside categories and currencies; what is told of others is left out.
    """

    max_series: int = 60
    split_by: tuple[Split, ...] = ()
    next_day: int | None = None
    calendar: Calendar = field(default_factory=Calendar)
    sold_on: dict[int, bool] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=lambda: {ALL: Series()})
    candidates: dict[str, float] = field(default_factory=dict)
    recent: list[Day] = field(default_factory=list)
    anywhere: Calendar | None = None

    def add(self, series: str, day: int, amount_e4: int) -> None:
        """Add an amount; refunds are below zero.

        Parameters
        ----------
        series
            `all`, or a part of it: see `dimensions`.
        day
            Days since 1970-01-01 in the shop's timezone. One that is closed already is late: it counts in
            the total, and is not learned.
        amount_e4
            In 1/10,000 of the currency unit.
        """
        dimension = dimension_of(series)
        if dimension in SPLITS and dimension not in self.split_by:
            return
        in_time = self.next_day is None or day >= self.next_day
        kept = self._kept(series, dimension)
        kept.activity += 1.0
        kept.add(day, amount_e4, in_time)
        if dimension == "currency" and self.anywhere is None:
            self.anywhere = deepcopy(self.calendar)
        room = series == ALL or (dimension == "currency" and len(self.sold_on) < MAX_WAITING)
        if room and amount_e4 > 0 and day in kept.waiting:
            self.sold_on[day] = series == ALL or self.sold_on.get(day, False)

    def _kept(self, name: str, dimension: Dimension | None) -> Series:
        found = self.series.get(name)
        if found is not None:
            return found
        if dimension is None:
            return self.series.setdefault(name, Series())
        remainder = rest(dimension)
        if name == remainder or len(self._named(dimension)) >= self.max_series:
            if name != remainder:
                self._remember(name, dimension)
            return self.series.setdefault(remainder, Series())
        return self.series.setdefault(name, Series())

    def _named(self, dimension: Dimension) -> list[str]:
        """Return the series of a dimension, but for that of the rest."""
        return [name for name in self.series if dimension_of(name) == dimension and name != rest(dimension)]

    def _unkept(self, dimension: Dimension) -> list[str]:
        return [name for name in self.candidates if dimension_of(name) == dimension]

    def _remember(self, name: str, dimension: Dimension) -> None:
        """Count a series that is not kept: Space-Saving (Metwally et al. 2005), twice `max_series` counters."""
        if not self.max_series:
            return
        if name not in self.candidates and len(counted := self._unkept(dimension)) >= 2 * self.max_series:
            least = min(counted, key=self.candidates.__getitem__)
            self.candidates[name] = self.candidates.pop(least)
        self.candidates[name] = self.candidates.get(name, 0.0) + 1.0

    def stand_in(self, place: str) -> None:
        """Know the public holidays of this place from now on."""
        for calendar in filter(None, (self.calendar, self.anywhere)):
            calendar.place = place

    def split(self, by: tuple[Split, ...]) -> None:
        """Keep these dimensions from now on: series of others are dropped, for what they were told is in `all`."""
        self.split_by = by
        for name in [*self.series, *self.candidates]:
            if dimension_of(name) in set(SPLITS).difference(by):
                self.series.pop(name, None)
                self.candidates.pop(name, None)

    def close_until(self, day: int) -> None:
        """Close all days before `day`, one by one in order, in every series."""
        upto = self._first_waiting(day) if self.next_day is None else self.next_day
        while upto < day:
            if self._calendar("currency").asleep and self.calendar.asleep and upto not in self.sold_on:
                upto = max(upto, self._first_waiting(day))
                if upto >= day:
                    break
            self._close(upto)
            upto += 1
        if upto != self.next_day:
            self.next_day = upto
            self.__dict__.pop("_weeks", None)  # forecasts are of the days closed so far

    def _first_waiting(self, day: int) -> int:
        """Return the first day with an amount, or `day` if that comes first: later days are not over yet."""
        return min(
            (waiting for series in self.series.values() for waiting in series.waiting if waiting < day), default=day
        )

    def _close(self, day: int) -> None:
        said = self.sold_on.pop(day, None)
        sold = bool(said)
        is_open = sold or self.calendar.is_ordinary(day)  # as was known before the day
        open_anywhere = said is not None or self._calendar("currency").is_ordinary(day)
        self.calendar.learn_one(day, sold)
        if self.anywhere is not None:
            self.anywhere.learn_one(day, said is not None)
        self._note(day)
        for name, series in self.series.items():
            dimension = dimension_of(name)
            series.close(day, self._calendar(dimension), open_anywhere if dimension == "currency" else is_open)
            series.activity *= FADE
        for dimension in PARTS:
            tree = self._tree(dimension).values()
            for place in range(len(HORIZONS)):
                self._add_up([series.tracks[place] for series in tree], day, dimension)
        for name in self.candidates:
            self.candidates[name] *= FADE
        for dimension in sorted({dimension_of(name) or "category" for name in self.candidates}):
            self._take_over(dimension)

    def _calendar(self, dimension: Dimension | None) -> Calendar:
        return self.anywhere if dimension == "currency" and self.anywhere is not None else self.calendar

    def _note(self, day: int) -> None:
        """Remember a day of the whole and the forecast that was made of it, for a look at both."""
        whole = self.series[ALL]
        track = next(track for track in whole.tracks if track.horizon == WEEK)
        made = next((one for one in track.pending if one.day == day), None)
        if made is not None:
            actual = whole.waiting.get(day, 0) / E4
            self.recent.append(Day(day, actual, made.point, made.low, made.high, made.naive))
            del self.recent[:-RECENT]

    def _tree(self, dimension: Dimension) -> dict[str, Series]:
        """Return the whole and its parts by a dimension, every amount in one of them.

        A series that has closed no day yet is no part: what is forecast is what was known at the last close.
        """
        named = {name: one for name, one in self.series.items() if dimension_of(name) == dimension}
        parts = {name: one for name, one in named.items() if one.forecaster.days > 0}
        return {ALL: self.series[ALL]} | parts

    @staticmethod
    def _add_up(tracks: Sequence[Track], day: int, dimension: Dimension) -> None:
        """Make the forecasts from `day` add up, and keep them."""
        fresh = [track.pending[-1] for track in tracks if track.pending]
        if len(fresh) == len(tracks) and fresh[0].day == day + tracks[0].horizon:
            for track, forecast in zip(tracks, _added_up(tracks, fresh, dimension), strict=True):
                track.pending[-1] = forecast

    @cached_property
    def _weeks(self) -> dict[str, list[Forecast]]:
        """The next seven days of every series that is warm, each day made to add up as that of tomorrow is."""
        if self.next_day is None:
            return {}
        days = range(self.next_day, self.next_day + WEEK)
        warm = {name: one for name, one in self.series.items() if one.forecaster.days >= WARM_DAYS}
        known = {name: self._calendar(dimension_of(name)) for name in warm}
        weeks = {name: [one.expected(day, known[name]) for day in days] for name, one in warm.items()}
        for dimension in PARTS:
            tree = self._tree(dimension)
            if set(tree) <= set(weeks):
                tracks = [one.tracks[0] for one in tree.values()]
                for place in range(WEEK):
                    together = _added_up(tracks, [weeks[name][place] for name in tree], dimension)
                    for name, forecast in zip(tree, together, strict=True):
                        weeks[name][place] = forecast
        return weeks

    def _take_over(self, dimension: Dimension) -> None:
        """Keep the busiest candidate in place of the quietest series, if it is clearly busier."""
        named = self._named(dimension)
        if not named:
            return
        quietest = min(named, key=lambda name: self.series[name].activity)
        busiest = max(self._unkept(dimension), key=self.candidates.__getitem__)
        if self.candidates[busiest] > TAKE_OVER * self.series[quietest].activity + 1.0:
            gone = self.series.pop(quietest)
            self.series.setdefault(rest(dimension), Series()).absorb(gone)
            self.series[busiest] = Series(activity=self.candidates.pop(busiest))
            self.candidates[quietest] = gone.activity

    def outlook(self, series: str) -> Outlook:
        """Return what is known and expected of a series. `KeyError` if it is not kept."""
        kept = self.series[series]
        if self.next_day is None or kept.forecaster.days < WARM_DAYS:
            last = None if self.next_day is None else self.next_day - 1
            return Outlook(series, kept.total_e4, kept.late, last, kept.last_e4, {}, None, None)
        last = self.next_day - 1
        calendar = self._calendar(dimension_of(series))
        horizons = {t.horizon: ahead_of(kept.made(t, last + t.horizon, calendar)) for t in kept.tracks}
        week = self._weeks[series]
        point, naive = sum(f.point for f in week), sum(f.naive for f in week)
        seen = kept.tracks[0].anomalies
        anomaly = seen[-1] if seen and seen[-1].day == last else None
        return Outlook(series, kept.total_e4, kept.late, last, kept.last_e4, horizons, point, naive, anomaly)

    def report(self, series: str) -> dict[int, dict[str, Any]]:
        """How good the forecasts of a series were, by horizon in days, over all judged days.

        Each forecast is judged as it was made, `horizon` days before, and so is that of everybody else.
        Days that are not open are not judged, but where days without a sale are ordinary; see `Calendar`.

        Returns
        -------
        dict
            `mase`: mean absolute error over the mean absolute difference to the same weekday a week before
            (the last one that was open), on the same days. `wape`: absolute errors over absolute revenue.
            `coverage_80`: share of days inside the 80 % interval. `winkler_80`: mean Winkler score over
            mean absolute revenue. `n`: days. `baselines`: `mase` and `wape` of `seasonal_naive` and
            `moving_average`. None where there is nothing to divide by.

        Raises
        ------
        KeyError
            The series is not kept.
        """
        return {track.horizon: track.report() for track in self.series[series].tracks}


def _added_up(tracks: Sequence[Track], forecasts: Sequence[Forecast], dimension: Dimension) -> list[Forecast]:
    """Return the forecasts of the whole and its parts, in this order, so that they add up.

    Points and bounds of a series move together. One part alone is the whole: there is nothing to choose. The
    whole moves with its categories alone, so that it is the same whatever else it is divided by.
    """
    if len(forecasts) < 2:
        return list(forecasts)
    points = [forecast.point for forecast in forecasts]
    errors = [t.tally.variance if f.scale > 0.0 else 0.0 for t, f in zip(tracks, forecasts, strict=True)]
    positive = [forecast.positive for forecast in forecasts]
    whole_error = errors[0] if dimension == "category" else 0.0
    wanted, shares = reconcile(points[0], points[1:], whole_error, errors[1:], positive[1:])
    if dimension != "category":
        return [forecasts[0], *(f.moved_to(point) for f, point in zip(forecasts[1:], shares, strict=True))]
    return [forecast.moved_to(point) for forecast, point in zip(forecasts, [wanted, *shares], strict=True)]
