"""How many invoices a day have a product, by its price: a Poisson regression on price levels, online.

A day without an invoice is a figure, too. Left out it would hide the response of whatever sells less than some ten
invoices a day: of a dear product the days with none are missing, so that it seems to sell as often as a cheap one.
Which price was in force on such a day is known where the product was sold at the same price before and after.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray
from scipy import special

WIDTH: Final = 0.05
"""Prices whose logarithms lie closer are one level."""
LEVELS_KEPT: Final = 8
"""Levels kept of a product; the one known for the fewest days makes room."""
LEAST_DAYS: Final = 20
LEAST_RUNS: Final = 8
"""Runs that an interval needs: its width is that of how much they differ."""
SEVERAL: Final = 5
MIXED: Final = 0.05
"""At most this share of a product's days with two invoices or more may have two prices, on at least `SEVERAL`."""
HOPELESS: Final = (40, 0.2)
"""Days with several invoices, and a share of them with two prices, from which on no runs are kept until it is less."""
QUICK: Final = 0.25
"""At most this share of days of sale may have another price than the day before, where that is one, too."""
UNKNOWN: Final = 0.01
"""Share of days without an invoice and without a known price up to which they do not matter."""
STEPS: Final = 60
Vector = NDArray[np.float64]


class Found(NamedTuple):
    """Elasticity of invoices a day: estimate, standard error, degrees of freedom of it, and days that say it."""

    slope: float
    error: float
    degrees: int
    days: int


class Level(Struct, array_like=True):
    """Sums over runs at one price: `c` invoices, on `t` days between a run's first and last sale, on `e` such ends.

    `cc`, `ct` and so on are sums of products over runs; `x` is the mean logarithm of the price over `sold` days.
    """

    sold: int = 0
    x: float = 0.0
    runs: int = 0
    t: int = 0
    e: int = 0
    c: int = 0
    cc: int = 0
    ct: int = 0
    ce: int = 0
    tt: int = 0
    te: int = 0
    ee: int = 0

    def with_run(self, c: int, t: int, e: int) -> "Level":
        """Return these sums with one run more."""
        return Level(
            self.sold, self.x, self.runs + 1, self.t + t, self.e + e, self.c + c,
            self.cc + c * c, self.ct + c * t, self.ce + c * e, self.tt + t * t, self.te + t * e, self.ee + e * e,
        )  # fmt: skip


class Response(Struct, array_like=True):
    """What is kept of one product. A run are days of sale at one price level with none at another between them.

    `c`, `t`, `e` are of the run that goes on at level `at`, whose latest sale was on day `seen`. `unknown` are
    days without an invoice between two prices; `several` are days with two invoices or more, `mixed` those
    of them with two prices; `adjacent` are days of sale right after another, `moved` those of them with another price.
    """

    levels: dict[int, Level] = field(default_factory=dict)
    at: int | None = None
    seen: int = 0
    c: int = 0
    t: int = 0
    e: int = 0
    unknown: int = 0
    several: int = 0
    mixed: int = 0
    adjacent: int = 0
    moved: int = 0

    def learn_day(self, day: int, invoices: int, log_price: float, *, mixed: bool) -> None:
        """Take in a day with invoices. `day` counts days that the shop is open; `log_price` is their mean."""
        if invoices > 1:
            self.several += 1
            self.mixed += mixed
        if self.several >= HOPELESS[0] and self.mixed > HOPELESS[1] * self.several:
            self.at, self.levels = None, {}
            self.unknown = self.adjacent = self.moved = 0
            return
        at = round(log_price / WIDTH)
        if self.at is not None and day == self.seen + 1:
            self.adjacent += 1
            self.moved += at != self.at
        if at == self.at:
            self.t += day - self.seen - (self.e == 1)  # what was the run's end lies inside now
            self.c, self.e = self.c + invoices, 2
        else:
            self._end()
            if self.at is not None:
                self.unknown += day - self.seen - 1
            self.at, self.c, self.t, self.e = at, invoices, 0, 1
        self.seen = day
        level = self.levels.get(at)
        if level is None:
            if len(self.levels) >= LEVELS_KEPT:
                del self.levels[min(self.levels, key=self._days_known)]
            level = self.levels[at] = Level()
        level.sold += 1
        level.x += (log_price - level.x) / level.sold

    def _days_known(self, at: int) -> tuple[int, int]:
        return self.levels[at].t + self.levels[at].e, at

    def _end(self) -> None:
        if self.at in self.levels:
            self.levels[self.at] = self.levels[self.at].with_run(self.c, self.t, self.e)

    def rows(self) -> list[Level]:
        """Sums by level, with the run that goes on; empty where they say nothing of the response.

        Where several prices go side by side, as with quantity breaks, none was in force by itself. Where the price
        moves about as often as something is sold, it is not known on the days between. And a level of which most is
        ends may be an exception that somebody got, on days with few invoices.
        """
        if self.several < SEVERAL or self.mixed > MIXED * self.several or len(self.levels) < 2:
            return []
        if not self.all_known and (self.adjacent < SEVERAL or self.moved > QUICK * self.adjacent):
            return []
        found = dict(self.levels)
        if self.at in found:
            found[self.at] = found[self.at].with_run(self.c, self.t, self.e)
        return [level for level in found.values() if self.all_known or level.t >= level.e]

    @property
    def all_known(self) -> bool:
        """Whether next to no day without an invoice was left out."""
        return self.unknown <= UNKNOWN * sum(level.sold for level in self.levels.values())


def slope(products: Sequence[Response]) -> Found | None:
    """Elasticity of invoices a day, of products taken together; None where too little is known.

    Each product has a rate of its own, all have one slope. Days inside a run follow Poisson's law. A run's first and
    last day are known because something was sold: they follow it given one invoice or more. The error is that of how
    runs differ, so that more spread than Poisson's and the likeness of neighbouring days count; never below Poisson's.

    References
    ----------
    McCullagh and Nelder (1989), Generalized Linear Models, second edition, chapters 6 and 9. Liang and Zeger (1986),
    Longitudinal data analysis using generalized linear models, Biometrika 73, 13-22: the robust variance.
    """
    tables: list[tuple[float, ...]] = []
    group: list[int] = []
    known: list[bool] = []
    for product in products:
        rows = product.rows()
        if len(rows) < 2:
            continue
        tables += [msgspec.structs.astuple(row)[1:] for row in rows]
        group += [len(known)] * len(rows)
        known.append(product.all_known)
    if not known:
        return None
    x, runs, t, e, c, cc, ct, ce, tt, te, ee = np.array(tables, dtype=np.float64).T
    degrees, days = int(runs.sum()) - len(known) - 1, int((t + e).sum())
    if days < LEAST_DAYS + len(known) - 1 or degrees < LEAST_RUNS - 2:
        return None
    fitted = _fit(x, t, e, c, np.array(group), np.array(known)[group])
    if fitted is None:
        return None
    b, inside, end, centred, information = fitted
    squares = cc - 2 * (inside * ct + end * ce) + inside**2 * tt + 2 * inside * end * te + end**2 * ee
    robust = float((centred**2 * squares).sum()) / information * (degrees + len(known) + 1) / degrees
    return Found(b, math.sqrt(max(robust, 1.0) / information), degrees, days)


def _fit(
    x: Vector, t: Vector, e: Vector, c: Vector, group: NDArray[np.int64], known: NDArray[np.bool_]
) -> tuple[float, Vector, Vector, Vector, float] | None:
    """Newton's method. Returns slope, expected invoices inside and at ends, centred x, information of the slope."""
    n = int(group.max()) + 1
    x = x - (np.bincount(group, x * (t + e), n) / np.bincount(group, t + e, n))[group]
    a, b = np.log(np.bincount(group, c, n) / np.bincount(group, t + e, n)), 0.0
    for _ in range(STEPS):
        inside = np.exp(np.clip(a[group] + b * x, -20.0, 20.0))
        end = np.where(known, inside, inside / -np.expm1(-inside))
        rest = c - inside * t - end * e
        weight = inside * t + np.where(known, end, end * (1.0 + inside - end)) * e
        own = np.bincount(group, weight, n)
        shared = np.bincount(group, weight * x, n) / own
        centred = x - shared[group]
        information = float((weight * centred * x).sum())
        if not information > 1e-9 * float(weight.sum()):
            return None
        up = float(np.clip((rest * centred).sum() / information, -1.0, 1.0))
        ups = np.clip(np.bincount(group, rest, n) / own - shared * up, -1.0, 1.0)
        a, b = a + ups, b + up
        if abs(up) < 1e-9 and float(np.abs(ups).max()) < 1e-6:
            return b, inside, end, centred, information
    return None


def student(degrees: float, sure: float) -> float:
    """How many standard errors an interval reaches to each side."""
    return float(special.stdtrit(degrees, (1 + sure) / 2))
