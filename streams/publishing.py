"""What others read of the learner: models to score with, and figures of sales, segments, brands and the market.

Commands are made here; the learner's commit runs them, all or none.
"""

import zlib
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final, Self

import msgspec

from models.learning import Learning
from models.sales.dimensions import currency_of
from models.sales.series import E4
from models.serving_set import ServingSet
from schemas.choice import encode_choice
from schemas.segments import encode_segments
from schemas.serving import encode_model
from streams.lineage import Command, Shelf, published
from streams.redis.keys import Keys
from streams.settings import Settings

PRODUCTS: Final = 200
"""Products that are looked at with one report, half a millisecond each: those whose figures are others are written."""
_WRITERS: Final[dict[str, Callable[[Any], bytes]]] = {"segments": encode_segments, "brand_choice": encode_choice}


class Published:
    """What of a learner stands in Redis, as far as it knows, so that it writes what has changed.

    Parameters
    ----------
    series, brands, markets, products
        Those that are there, by name.
    shelf
        The versions of models that are kept there.
    """

    def __init__(
        self,
        settings: Settings,
        series: set[str],
        brands: set[str],
        markets: set[str],
        products: set[str],
        shelf: Shelf,
    ) -> None:
        self.settings, self.keys = settings, Keys(settings.prefix)
        self.series, self.brands, self.markets, self.shelf = series, brands, markets, shelf
        self.products: dict[str, int | None] = dict.fromkeys(products)
        """Those that are there, and the checksum of their figures where it is known."""
        self.versions: dict[str, str] = {}

    @classmethod
    async def read(cls, client: Any, settings: Settings) -> Self:
        """Look what is there."""
        keys = Keys(settings.prefix)
        series, brands, markets, products = [
            {name.decode() for name in await client.smembers(names)}
            for names in (keys.series, keys.brands, keys.markets, keys.products)
        ]
        there = {task: await client.hkeys(keys.versions(task)) for task in ServingSet.__struct_fields__}
        shelf = Shelf({task: {name.decode() for name in names} for task, names in there.items()})
        return cls(settings, series, brands, markets, products, shelf)

    def models(self, learning: Learning, upto: int) -> tuple[list[Command], dict[str, str]]:
        """Models that are others now, and their versions; `upto` is the offset up to which was learned."""
        models = learning.serving()
        commands: list[Command] = []
        versions: dict[str, str] = {}
        for task in ServingSet.__struct_fields__:
            model = getattr(models, task)
            if model is None or self.versions.get(task) == model.version:
                continue
            body = _WRITERS.get(task, encode_model)(model)
            commands += [["SET", self.keys.model(task), body], ["HSET", self.keys.models, task, model.version]]
            commands.append(published(self.settings, self.keys, learning, task, model.version, upto))
            versions[task] = model.version
        return commands, versions

    def sales_and_segments(self, learning: Learning) -> list[Command]:
        """Sales series and segments, as users read them. What is known to stand is then another, as below."""
        commands = _gone(self.keys.sales, self.keys.series, self.series - learning.sales.series.keys())
        self.series = set(learning.sales.series)
        for series in learning.sales.series:
            fields = _sales_fields(learning, series)
            commands += [["HSET", self.keys.sales(series), *fields], ["SADD", self.keys.series, series]]
        segments = learning.groups.clusters.compiled(str(learning.groups.clusters.fits))
        for number, name in segments.named().items() if segments is not None else ():
            customers = str(learning.groups.members.get(number, 0))
            moved = {str(after): n for (before, after), n in learning.groups.movements.items() if before == number}
            fields = ["name", name, "customers", customers, "version", segments.version if segments else ""]
            fields += ["moved_to", msgspec.json.encode(moved).decode()]
            commands += [["HSET", self.keys.segment(number), *fields], ["SADD", self.keys.segments, str(number)]]
        for number in {change["segment"] for change in learning.groups.clusters.log if change["kind"] == "merge"}:
            commands += [["DEL", self.keys.segment(number)], ["SREM", self.keys.segments, str(number)]]
        return commands

    def of_report(self, learning: Learning, report: Mapping[str, Any]) -> list[Command]:
        """Brands and the market. What is known to stand is then another: if the write fails, this one is dropped."""
        brands, markets = report["brands"], report["market"]
        commands = _all_anew(self.keys.brand, self.keys.brands, self.brands, brands)
        commands += _all_anew(self.keys.market, self.keys.markets, self.markets, markets)
        self.brands, self.markets = set(brands), set(markets)
        return [*commands, *self._products(learning)]

    def _products(self, learning: Learning) -> list[Command]:
        """The next products of which something has changed."""
        market, currency = learning.market.book, learning.policy.currency
        commands: list[Command] = []
        for product in list(islice(market.changed, PRODUCTS)):
            del market.changed[product]  # a write that fails is followed by a restored market: there all have changed
            commands += self._product(product, market.product(product, currency))
        return commands

    def _product(self, product: str, figures: Mapping[str, Any]) -> list[Command]:
        """Write a product's figures, unless the same are there."""
        if not figures:
            if product not in self.products:
                return []
            del self.products[product]
            return [["UNLINK", self.keys.pairs(product)], ["SREM", self.keys.products, product]]
        sum_of_all = zlib.crc32(msgspec.json.encode(figures))
        if self.products.get(product) == sum_of_all:
            return []
        self.products[product] = sum_of_all
        return [*_anew(self.keys.pairs(product), figures), ["SADD", self.keys.products, product]]


def _all_anew(
    key: Callable[[str], str], names: str, there: set[str], found: Mapping[str, Mapping[str, Any]]
) -> list[Command]:
    """Write hashes by name and the set of `names`; of those that were `there`, who gave way to a busier one goes."""
    commands = _gone(key, names, there - found.keys())
    for name, figures in found.items():
        commands += _anew(key(name), figures)
        commands.append(["SADD", names, name])
    return commands


def _gone(key: Callable[[str], str], names: str, gone: set[str]) -> list[Command]:
    """Remove hashes by name, and their names from the set of `names`."""
    return [command for name in sorted(gone) for command in (["UNLINK", key(name)], ["SREM", names, name])]


def _anew(key: str, figures: Mapping[str, Any]) -> list[Command]:
    """Write a hash of figures as it is now: what is not known any more is gone."""
    fields = figure_fields(figures)
    return [["UNLINK", key], *([["HSET", key, *fields]] if fields else [])]


def figure_fields(figures: Mapping[str, Any]) -> list[str]:
    """Names and values of a hash of figures: numbers as they are, what is nested as JSON, what is unknown left out.

    >>> figure_fields({"buyers": 3, "penetration": 0.25, "repeats": None, "segments": {"1": 120}})
    ['buyers', '3', 'penetration', '0.25', 'segments', '{"1":120}']
    """
    known = ((name, value) for name, value in figures.items() if value is not None)
    return [text for name, value in known for text in (name, msgspec.json.encode(value).decode())]


def _sales_fields(learning: Learning, series: str) -> list[str]:
    outlook = learning.sales.outlook(series)
    fields = ["total", repr(outlook.total_e4 / E4), "late", str(outlook.late)]
    fields += ["currency", currency_of(series, learning.policy.currency) or ""]
    if outlook.last_day is not None:
        fields += ["last_day", str(outlook.last_day), "last", repr(outlook.last_e4 / E4)]
    if outlook.week is not None and outlook.week_naive is not None:
        fields += ["next_week", f"{outlook.week:.2f}", "next_week_naive", f"{outlook.week_naive:.2f}"]
    anomaly = outlook.anomaly
    fields += ["anomaly", "" if anomaly is None else msgspec.json.encode(anomaly).decode()]
    for horizon, ahead in outlook.horizons.items():
        forecast = {"point": ahead.point, "low": ahead.low, "high": ahead.high, "naive": ahead.naive}
        fields += [f"forecast_{horizon}", msgspec.json.encode(forecast).decode()]
    return fields
