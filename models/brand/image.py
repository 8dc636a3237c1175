"""What is said about a brand, day by day: share of negative, the words that moved it, and whether it has shifted.

Bounds, and what happens there: 256 brands have a name, those most spoken of, and 64 more are counted apart. One of
these that becomes clearly busier than the least of the 256 changes places with it. Beyond the 64 the least spoken of
is forgotten; should it come back, it counts from then on. 60 days and 64 words each (the oldest, the weakest go).
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field
from scipy import special

from models.market.busiest import Candidates, Places

MAX_BRANDS: Final = 256
MAX_WAITING: Final = 64
MAX_DAYS: Final = 60
MAX_WORDS: Final = 64
WORD_FADE: Final = 0.98
"""What an older text's words weigh, a text."""
TOP_WORDS: Final = 5
SHOWN_DAYS: Final = 14
Z80: Final = 1.2816
"""Standard normal quantile of an 80 % interval."""
SURE: Final = 0.99865
"""Probability that a day without a shift is not called `up`: that of three standard errors."""
ENOUGH: Final = 10
"""Sayings of a day below which it neither shows a shift nor how far days differ."""
JUDGED: Final = 20
"""Rated texts of a day from which the share foreseen is judged."""

OF_DAY: Final = (
    "day", "sayings_of_day", "negative_share", "negative_low", "negative_high", "negative_share_before", "shift",
    "words", "words_of_day", "days",
)  # fmt: skip


class DaySaid(Struct, array_like=True):
    """One day's sayings. `negative` adds up labels where rated, else probabilities; `foreseen` and `came`
    are of the `judged` ones that had a text and a rating.
    """

    count: int = 0
    negative: float = 0.0
    judged: int = 0
    foreseen: float = 0.0
    came: int = 0


class Image(Struct):
    """One brand's days and words, and how far the share foreseen was off on days that are gone."""

    days: dict[int, DaySaid] = field(default_factory=dict)
    words: dict[str, float] = field(default_factory=dict)
    words_day: int = 0
    words_of_day: dict[str, float] = field(default_factory=dict)
    ratings: int = 0
    rating_sum: float = 0.0
    count: int = 0
    gone_days: int = 0
    gone_error: float = 0.0

    def add(self, day: int, negative: float | None, foreseen: float | None, rating: float | None) -> None:
        """Count one saying.

        Parameters
        ----------
        negative
            Whether it was, if rated; else how probably. None if nobody knows: it is in the totals alone.
        foreseen
            Probability of negative from before the rating was known; None without text.
        """
        self.count += 1
        if rating is not None:
            self.ratings += 1
            self.rating_sum += rating
        if negative is None or (self.days and day < min(self.days) and len(self.days) >= MAX_DAYS):
            return  # not known, or older than all that is kept
        said = self.days.setdefault(day, DaySaid())
        said.count += 1
        said.negative += negative
        if foreseen is not None and rating is not None:
            said.judged += 1
            said.foreseen += foreseen
            said.came += negative > 0
        if len(self.days) > MAX_DAYS:
            gone = self.days.pop(min(self.days))
            if gone.judged >= JUDGED:
                self.gone_days += 1
                self.gone_error += abs(gone.foreseen - gone.came) / gone.judged

    def heard(self, day: int, moved: Mapping[str, float]) -> None:
        """Add what each word of a text did to the log odds of negative."""
        for word in self.words:
            self.words[word] *= WORD_FADE
        self.words = _added(self.words, moved)
        if day > self.words_day:
            self.words_day, self.words_of_day = day, {}
        if day == self.words_day:
            self.words_of_day = _added(self.words_of_day, moved)

    def errors(self) -> tuple[int, float]:
        """Days judged so far, and the sum of how far the share of negative foreseen was off."""
        judged = [said for said in self.days.values() if said.judged >= JUDGED]
        error = math.fsum(abs(said.foreseen - said.came) / said.judged for said in judged)
        return self.gone_days + len(judged), self.gone_error + error

    def report(self) -> dict[str, Any]:
        """Return what is served: the newest day against the days before it. Shares lie in [0, 1]; None: not known."""
        found: dict[str, Any] = {
            "sayings": self.count,
            "mean_rating": self.rating_sum / self.ratings if self.ratings else None,
        }
        return found | (self._of_day(max(self.days)) if self.days else dict.fromkeys(OF_DAY))

    def _of_day(self, newest: int) -> dict[str, Any]:
        said = self.days[newest]
        before = [self.days[day] for day in self.days if day < newest]
        count, negative = sum(one.count for one in before), math.fsum(one.negative for one in before)
        return {
            "day": newest,
            "sayings_of_day": said.count,
            **_share(said),
            "negative_share_before": negative / count if count else None,
            "shift": shift(said.negative, said.count, before),
            "words": _top(self.words),
            "words_of_day": _top(self.words_of_day) if self.words_day == newest else {},
            "days": [self._shown(day) for day in sorted(self.days)[-SHOWN_DAYS:]],
        }

    def _shown(self, day: int) -> dict[str, float]:
        said = self.days[day]
        share = {name: round(value, 4) for name, value in _share(said).items()}
        return {"day": day, "sayings": said.count} | share


def _share(said: DaySaid) -> dict[str, float]:
    low, high = wilson(said.negative, said.count)
    return {"negative_share": said.negative / said.count, "negative_low": low, "negative_high": high}


def _added(words: Mapping[str, float], moved: Mapping[str, float]) -> dict[str, float]:
    found = {word: words.get(word, 0.0) + moved.get(word, 0.0) for word in (*words, *moved)}
    return found if len(found) <= MAX_WORDS else _strongest(found, MAX_WORDS)


def _strongest(words: Mapping[str, float], most: int) -> dict[str, float]:
    return dict(sorted(words.items(), key=lambda item: (-abs(item[1]), item[0]))[:most])


def _top(words: Mapping[str, float]) -> dict[str, float]:
    return {word: round(effect, 3) for word, effect in _strongest(words, TOP_WORDS).items()}


def wilson(positives: float, count: int) -> tuple[float, float]:
    """80 % interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212).

    >>> [round(bound, 2) for bound in wilson(5, 10)]
    [0.31, 0.69]
    """
    share, square = positives / count, Z80 * Z80 / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * share * (1 - share) + square * square / 4) / (1 + square)
    return max(min(middle - half, share), 0.0), min(max(middle + half, share), 1.0)  # to the last bit


def shift(negative: float, count: int, before: list[DaySaid]) -> str:
    """Say whether a day's share of negative has shifted against the days before: `up`, `down`, or nothing.

    Days differ by more than chance: sayings of one day are taken as correlated, by as much as the days before show,
    where they show any. How far a day may lie off follows from how many days say so (Student's t).

    References
    ----------
    Williams (1982), Extra-binomial variation in logistic linear models, J. R. Stat. Soc. C 31, 144-148.
    """
    known = sum(one.count for one in before)
    days = [one for one in before if one.count >= ENOUGH]
    if count < ENOUGH or len(days) < 2:
        return ""
    usual = (math.fsum(one.negative for one in before) + 0.5) / (known + 1)
    chance = usual * (1 - usual)
    spread = math.fsum((one.negative - one.count * usual) ** 2 / one.count for one in days) / chance
    total = sum(one.count for one in days)
    room = math.fsum((one.count - 1) * (1 - one.count / total) for one in days)
    alike = min(max((spread - (len(days) - 1)) / room, 0.0), 1.0)
    of_day = (1 + (count - 1) * alike) / count
    of_usual = math.fsum(one.count * (1 + (one.count - 1) * alike) for one in before) / known**2
    z = (negative / count - usual) / math.sqrt(chance * (of_day + of_usual))
    limit = float(special.stdtrit(len(days) - 1, SURE))
    return "up" if z > limit else "down" if z < -limit else ""


class Images(Struct):
    """Brands that are spoken of: those with a place, and those that wait for one."""

    brands: dict[str, Image] = field(default_factory=dict)
    places: Places = field(default_factory=lambda: Places(MAX_BRANDS, Candidates(MAX_WAITING)))

    def __post_init__(self) -> None:
        """Brands of a snapshot from before there were places have one."""
        for brand, image in self.brands.items():
            if not self.places.knows(brand):
                self.places.active[brand] = float(image.count)

    def of(self, brand: str) -> Image:
        """Return the image of a brand that is spoken of, new if need be."""
        left = self.places.count(brand)
        if left.forgotten is not None:
            del self.brands[left.forgotten]
        return self.brands.setdefault(brand, Image())

    def shown(self) -> dict[str, Image]:
        """Return the images of brands with a place."""
        return {brand: image for brand, image in self.brands.items() if brand in self.places.active}

    def daily_error(self) -> float | None:
        """Mean error of a brand's daily share of negative, over brands and days with enough rated texts."""
        found = [image.errors() for image in self.brands.values()]
        days = sum(n for n, _ in found)
        return math.fsum(error for _, error in found) / days if days else None
