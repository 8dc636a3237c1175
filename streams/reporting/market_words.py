"""What is said of the market: sheets and sentences, which a terminal prints and a page shows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from models.sales.calendar import date_of

SHOWN_BRANDS: Final = 12
SHOWN_SHARES: Final = 4
SHOWN_SERIES: Final = 8
SHOWN_RIVALS: Final = 5
CUSTOMERS: Final = ("active", "new", "retained", "returned", "lost")
EARNING: Final = ("new", "retained", "returned")
SUMS: Final = (*CUSTOMERS, "purchases", "revenue")
MONEY: Final = ("revenue", "basket_revenue")
SHARES: Final = ("new_share",)
PRICE: Final = {
    "quantity": "with 1 % more price, the quantity in an invoice (mostly quantity breaks) changes by",
    "response": "with 1 % more price, invoices a day change by",
}
FIGURES: Final = {
    "week": "the last six days", "last_day": "the last day", "median": "the middle day",
    "week_of_share": "the last six days beside all that is sold", "trend": "the trend",
}  # fmt: skip
"""Of the last thirty trading days, what `demand` is foreseen from."""


class Sheet(NamedTuple):
    """A table: the first column has names, the others figures."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


Block = Sheet | str
"""A table, or a sentence."""


# How figures are written.


def amount(value: float | None) -> str:
    """Write an amount; `-` is unknown.

    >>> amount(1234.5), amount(-0.2), amount(None)
    ('1,234', '0', '-')
    """
    return "-" if value is None else f"{round(value):,}"


def number(value: float | None) -> str:
    """Write a number with two places."""
    return "-" if value is None else f"{value:,.2f}"


def percent(value: float | None) -> str:
    """Write a share."""
    return "-" if value is None else f"{value:.0%}"


def points(value: float | None) -> str:
    """Write a change of a share."""
    return "-" if value is None else f"{100 * value:+.1f} points"


def slope(found: Mapping[str, Any] | None) -> str:
    """Write by how many percent something changes, with its interval."""
    return "-" if found is None else f"{found['slope']:+.2f} % ({found['low']:+.2f} to {found['high']:+.2f})"


def money(words: str, *parts: Mapping[str, Any]) -> str:
    """Say what currency an amount is in, where the first of these figures tells it.

    >>> money("revenue", {"currency": "EUR"}), money("revenue", {}), money("revenue")
    ('revenue (EUR)', 'revenue', 'revenue')
    """
    known = [part["currency"] for part in parts if "currency" in part]
    return f"{words} ({known[0]})" if known else words


# The market.


def largest(market: Mapping[str, Mapping[str, Any]], most: int) -> list[str]:
    """Name the categories whose demand is known, those with most revenue a day first."""
    known = [name for name, found in market.items() if found.get("demand")]
    return sorted(known, key=lambda name: (-market[name]["demand"]["revenue"]["level"], name))[:most]


def side_by_side(market: Mapping[str, Mapping[str, Any]], most: int) -> Sheet:
    """Put the largest categories beside each other."""
    names = largest(market, most)
    revenue = money("revenue", *(market[name] for name in names))
    title = (
        f"Market: a trading day of the last 30, units and {revenue}; trend a week; chance that the next six days sell\n"
        "more than that; 1 % dearer, not causal: quantity in an invoice (mostly quantity breaks), and invoices a day"
    )
    columns = ("category", "units", "revenue", "trend (95 %)", "above", "quantity", "invoices")
    return Sheet(title, columns, [(name, *_demand(market[name])) for name in names])


def _demand(figures: Mapping[str, Any]) -> tuple[str, ...]:
    units, revenue = figures["demand"]["units"], figures["demand"]["revenue"]
    trend = "-" if units["trend"] is None else f"{units['trend']:+.1%}"
    low = "" if units["low"] is None else f" ({units['low']:+.0%} to {units['high']:+.0%})"
    price, ahead = figures.get("price") or {}, figures.get("next_six_days") or {}
    return (
        amount(units["level"]), amount(revenue["level"]), trend + low,
        percent(ahead.get("above_usual")), slope(price.get("quantity")), slope(price.get("response")),
    )  # fmt: skip


def customers(figures: Mapping[str, Any], most: int, *, revenue: bool = False) -> Sheet:
    """Say month by month who came and went; with what each kind brought, where `revenue` is asked for."""
    growth = figures.get("growth", {})
    columns: tuple[str, ...] = ("month", "active", "new", "retained", "back", "lost")
    if revenue:
        columns += tuple(money(f"revenue of {words}", figures) for words in ("new", "retained", "back"))
    rows = []
    for month in sorted(growth)[-most:]:
        found, running = growth[month], growth[month].get("running", False)
        told = ["" if running and name == "lost" else f"{found[name]:,}" for name in CUSTOMERS]
        told += [amount(found.get(f"revenue_{kind}")) for kind in EARNING] if revenue else []
        rows.append((f"{month} so far" if running else month, *told))
    return Sheet("Customers", columns, rows)


def of_category(figures: Mapping[str, Any]) -> Iterator[Block]:
    """Say what is known of one category beyond what stands beside the others."""
    ahead = figures.get("next_six_days")
    if ahead:
        yield (
            f"the next six trading days: {amount(ahead['units'])} units a day ({amount(ahead['low'])} to "
            f"{amount(ahead['high'])} with 80 %), above the usual with {percent(ahead['above_usual'])}"
        )
        yield from _why_demand(ahead["reasons"])
        if "judged" in ahead:
            yield _judged(ahead["judged"])
    late = figures.get("demand", {}).get("late", 0)
    if late:
        yield f"{late:,} sales came after their day was closed, and are in none"
    yield from _competitors(figures.get("competitors", {}))
    yield from _behaviour(figures)
    baskets = figures.get("baskets")
    if baskets:
        counted = "exactly" if baskets["exact"] else f"too low by at most {baskets['error']:,}"
        counted += f", {baskets['cut']:,} very large ones cut" if baskets["cut"] else ""
        more = baskets.get("uncounted", 0)
        counted += f", {more:,} times a product not counted, beyond those told apart" if more else ""
        yield (
            f"{baskets['baskets']:,} baskets of {baskets['products']:,} products, pairs counted {counted}; "
            f"{baskets['bytes'] / 2**20:.1f} MiB"
        )
    yield from _observed(figures.get("observed", {}))


def _why_demand(told: Mapping[str, Any]) -> Iterator[str]:
    """Say why so many units, as shares of the usual ones, and why that chance, in log odds; the largest first."""
    for name, words, unit, write, least in (
        ("units", "so many", "", "{:+.1%}", 0.0005),
        ("above_usual", "that chance", ", in log odds: +0.7 doubles the odds, -0.7 halves them", "{:+.2f}", 0.005),
    ):
        effects: dict[str, float] = told[name]["effects"]
        order = sorted(effects, key=lambda figure: (-abs(effects[figure]), figure))
        named = [(FIGURES[figure], effects[figure]) for figure in order]
        parts = [
            f"{said} {write.format(math.expm1(effect) if name == 'units' else effect)}"
            for said, effect in (*named, ("without these", told[name]["base"]))
            if abs(effect) >= least
        ]
        model = told[name]["model"].replace("_", " ")
        yield f"  why {words} ({model}{unit if parts else ''}): {', '.join(parts) or 'as usual'}"


def _judged(told: Mapping[str, Any]) -> str:
    known = {
        name: "not known yet" if value is None else f"{value:.3f}" for name, value in told.items() if "auc" in name
    }
    model, of = told["model"].replace("_", " "), f"{told['examples']:,} outcomes of all categories"
    return (
        f"  how good that chance is: AUC {known['auc']} ({model}, {of}); "
        f"the same on shuffled days: {known['auc_random_days']}"
    )


def priced(price: Mapping[str, Any] | None) -> Iterator[str]:
    """Say how quantity and invoices go with price."""
    for name, one in (price or {}).items():
        if one is not None:
            yield f"{PRICE[name]} {slope(one)}; not causal"


def _competitors(rivals: Mapping[str, Any]) -> Iterator[Block]:
    brands = rivals.get("brands")
    if brands:
        shares = ("revenue_share", "recent_revenue_share", "unit_share", "purchase_share")
        yield Sheet(
            "Shares of its brands",
            ("brand", "revenue", "of late", "units", "purchases", "price"),
            [
                (name, *(percent(found[share]) for share in shares), number(found["price_position"]))
                for name, found in list(brands.items())[:SHOWN_BRANDS]
            ],
        )
        yield f"concentration (1: one brand has all): {number(rivals['concentration'])}"
    for seller, index in list(rivals.get("price_index", {}).items())[:SHOWN_RIVALS]:
        yield (
            f"our prices over those of {seller}: {index['index']:.1f} % of {index['products']} products, cheapest "
            f"{index['cheapest']}, dearest {index['dearest']}; oldest price of {index['oldest_days']} days ago"
        )
    share = rivals.get("market_share")
    if share:
        yield (
            f"our share of the market: {share['share']:.1%} of {amount(share['value'])} {share['unit']}, "
            f"known for {share['age_days']} days"
        )


def _behaviour(figures: Mapping[str, Any]) -> Iterator[Block]:
    behaviour = figures.get("behaviour", {})
    if not behaviour:
        return
    running = figures.get("running", False)
    title = f"How they bought in {figures['month']}" + (" so far" if running else "") + ", against the month before"
    rows = []
    for name, found in behaviour.items():
        if "value" not in found or (running and name == "lost"):
            continue
        if name in SHARES:
            value, change = percent(found["value"]), points(found["change"])
        else:
            write = amount if name in SUMS else number
            value, change = write(found["value"]), write(found["change"])
            if running and name in SUMS:  # less of it so far says nothing
                change = ""
        words = name.replace("_", " ")
        rows.append((money(words, figures) if name in MONEY else words, value, change))
    yield Sheet(title, ("", "value", "change"), rows)
    for name in ("weekday", "channel", "country", "hour"):
        shares = list(behaviour.get(name, {}).items())
        if name != "weekday":  # a week is shown whole, from Monday on
            shares = sorted(shares, key=lambda one: -one[1]["value"])[:SHOWN_SHARES]
        if shares:
            clock = ":00" if name == "hour" else ""
            said = (f"{value}{clock} {percent(one['value'])} ({points(one['change'])})" for value, one in shares)
            yield f"{name}: " + ", ".join(said)


def _observed(observed: Mapping[str, Any]) -> Iterator[str]:
    newest = sorted(observed, key=lambda name: (observed[name]["age_days"], name))[:SHOWN_SERIES]
    for name in newest:
        found = observed[name]
        yield f"observed: {name} {number(found['value'])} {found['unit']}, {found['age_days']} days ago"


def of_product(product: str, figures: Mapping[str, Any]) -> Iterator[Block]:
    """Say what is bought with a product, how its quantity goes with its price, and what others ask."""
    title = f"Bought with {product} beyond chance: baskets with both, how often as by chance, and at least"
    rows = [
        (one["product"], f"{one['support']:,}", f"{one['lift']:.1f}", f"{one['low']:.1f}")
        for one in figures.get("partners", ())
    ]
    yield Sheet(title, ("product", "baskets", "lift", "at least"), rows)
    yield from priced(figures.get("price"))
    for seller, one in figures.get("competitors", {}).items():
        index = f", ours is {one['index']:.0f} % of it" if "index" in one else ""
        yield f"{seller} asks {number(one['value'])} {one['unit']}{index}; seen on {date_of(one['day'])}"
