"""Market and brands for people."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from models.sales.calendar import date_of

SHOWN_BRANDS: Final = 12
SHOWN_CATEGORIES: Final = 10
SHOWN_MONTHS: Final = 4
SHOWN_SERIES: Final = 8
SHOWN_RIVALS: Final = 5
CUSTOMERS: Final = ("active", "new", "retained", "returned", "lost")
SUMS: Final = (*CUSTOMERS, "purchases", "revenue")
SHARES: Final = ("new_share",)
PRICE: Final = {
    "quantity": "with 1 % more price, quantity in an invoice goes (mostly quantity breaks) by",
    "response": "with 1 % more price, invoices a day go by",
}
POSITION: Final = {
    "revenue": "{:,.0f}", "units": "{:,.0f}", "purchases": "{:,}", "buyers": "{:,}",
    "revenue_share": "{:.1%}", "recent_revenue_share": "{:.1%}", "unit_share": "{:.1%}", "purchase_share": "{:.1%}",
    "penetration": "{:.1%}", "purchases_per_buyer": "{:.2f}", "share_of_requirements": "{:.1%}",
    "repeat_rate": "{:.1%}", "price_position": "{:.2f}", "repeats": "{:.1%}", "bought_low": "{:.1%}",
    "share_at_usual_price": "{:.1%}", "share_when_promoted": "{:.1%}",
}  # fmt: skip
FIGURES: Final = {
    "week": "the last six days", "last_day": "the last day", "median": "the middle day",
    "week_of_share": "the last six days beside all that is sold", "trend": "the trend",
}  # fmt: skip
"""Of the last thirty trading days, what `demand` is foreseen from."""
WORDS: Final = {
    "revenue_share": "share of the category's revenue", "recent_revenue_share": "the same, of late",
    "unit_share": "of its units", "purchase_share": "of its purchases", "penetration": "buyers among its buyers",
    "share_of_requirements": "share of what they buy in it", "repeat_rate": "buyers who came back for it",
    "price_position": "price over the category's", "repeats": "the same brand again",
    "bought_low": "units bought below the usual price", "share_at_usual_price": "chosen at its usual price",
    "share_when_promoted": "chosen when promoted or cheaper",
}  # fmt: skip


def _table(*columns: str, title: str) -> Table:
    table = Table(*columns, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    return table


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


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:+.1f} points"


def _slope(found: Mapping[str, Any] | None) -> str:
    return "-" if found is None else f"{found['slope']:+.2f} % ({found['low']:+.2f} to {found['high']:+.2f})"


# The market.


def markets(console: Console, market: Mapping[str, Any]) -> None:
    """Print the largest categories beside each other, and who comes and goes."""
    known = {name: found for name, found in market.items() if found.get("demand")}
    if known:
        title = (
            "Market: a trading day of the last 30; trend a week; chance that the next six days sell more than that\n"
            "1 % dearer, not causal: quantity in an invoice (mostly quantity breaks), and how many invoices a day"
        )
        table = _table("category", "units", "revenue", "trend (95 %)", "above", "quantity", "invoices", title=title)
        biggest = sorted(known, key=lambda name: (-known[name]["demand"]["revenue"]["level"], name))
        for name in biggest[:SHOWN_CATEGORIES]:
            table.add_row(name, *_demand(known[name]))
        console.print(table)
    _growth(console, market.get("all", {}).get("growth", {}))


def _demand(figures: Mapping[str, Any]) -> list[str]:
    units, revenue = figures["demand"]["units"], figures["demand"]["revenue"]
    low = "" if units["low"] is None else f" ({units['low']:+.0%} to {units['high']:+.0%})"
    price, ahead = figures.get("price") or {}, figures.get("next_six_days") or {}
    return [
        amount(units["level"]), amount(revenue["level"]), _signed(units["trend"]) + low,
        percent(ahead.get("above_usual")), _slope(price.get("quantity")), _slope(price.get("response")),
    ]  # fmt: skip


def _growth(console: Console, growth: Mapping[str, Any]) -> None:
    if not growth:
        return
    table = _table("month", "active", "new", "retained", "back", "lost", title="Customers")
    for month in sorted(growth)[-SHOWN_MONTHS:]:
        found, running = growth[month], growth[month].get("running", False)
        told = ("" if running and name == "lost" else f"{found[name]:,}" for name in CUSTOMERS)
        table.add_row(f"{month} so far" if running else month, *told)
    console.print(table)


def show_market(console: Console, category: str, figures: Mapping[str, Any]) -> None:
    """Print one category's market."""
    markets(console, {category: figures})
    ahead = figures.get("next_six_days")
    if ahead:
        console.print(
            f"the next six trading days: {amount(ahead['units'])} units a day ({amount(ahead['low'])} to "
            f"{amount(ahead['high'])} with 80 %), above the usual with {percent(ahead['above_usual'])}"
        )
        for line in _why_demand(ahead["reasons"]):
            console.print(line)
        if "judged" in ahead:
            console.print(_judged(ahead["judged"]))
    late = figures.get("demand", {}).get("late", 0)
    if late:
        console.print(f"{late:,} sales came after their day was closed, and are in none")
    _competitors(console, figures.get("competitors", {}))
    _behaviour(console, figures)
    baskets = figures.get("baskets")
    if baskets:
        counted = "exactly" if baskets["exact"] else f"too low by at most {baskets['error']:,}"
        counted += f", {baskets['cut']:,} very large ones cut" if baskets["cut"] else ""
        more = baskets.get("uncounted", 0)
        counted += f", {more:,} times a product not counted, beyond those told apart" if more else ""
        console.print(
            f"{baskets['baskets']:,} baskets of {baskets['products']:,} products, pairs counted {counted}; "
            f"{baskets['bytes'] / 2**20:.1f} MiB"
        )
    _observed(console, figures.get("observed", {}))


def _why_demand(told: Mapping[str, Any]) -> Iterator[str]:
    """Say why so many units, as shares of the usual ones, and why that chance, in log odds; the largest first."""
    for name, words, write, least in (
        ("units", "so many", "{:+.1%}", 0.0005),
        ("above_usual", "that chance", "{:+.2f}", 0.005),
    ):
        effects: dict[str, float] = told[name]["effects"]
        order = sorted(effects, key=lambda figure: (-abs(effects[figure]), figure))
        named = [(FIGURES[figure], effects[figure]) for figure in order]
        parts = [
            f"{said} {write.format(math.expm1(effect) if name == 'units' else effect)}"
            for said, effect in (*named, ("without these", told[name]["base"]))
            if abs(effect) >= least
        ]
        yield f"  why {words} ({told[name]['model'].replace('_', ' ')}): {', '.join(parts) or 'as usual'}"


def _judged(told: Mapping[str, Any]) -> str:
    known = {
        name: "not known yet" if value is None else f"{value:.3f}" for name, value in told.items() if "auc" in name
    }
    model, of = told["model"].replace("_", " "), f"{told['examples']:,} outcomes of all categories"
    return (
        f"  how good that chance is: AUC {known['auc']} ({model}, {of}); "
        f"the same on shuffled days: {known['auc_random_days']}"
    )


def _competitors(console: Console, rivals: Mapping[str, Any]) -> None:
    brands = rivals.get("brands")
    if brands:
        table = _table("brand", "revenue", "of late", "units", "purchases", "price", title="Shares of its brands")
        for name, found in list(brands.items())[:SHOWN_BRANDS]:
            shares = ("revenue_share", "recent_revenue_share", "unit_share", "purchase_share")
            table.add_row(name, *(percent(found[share]) for share in shares), number(found["price_position"]))
        console.print(table)
        console.print(f"concentration (1: one brand has all): {number(rivals['concentration'])}")
    for seller, index in list(rivals.get("price_index", {}).items())[:SHOWN_RIVALS]:
        console.print(
            f"our prices over those of {seller}: {index['index']:.1f} % of {index['products']} products, cheapest "
            f"{index['cheapest']}, dearest {index['dearest']}; oldest price of {index['oldest_days']} days ago"
        )
    share = rivals.get("market_share")
    if share:
        console.print(
            f"our share of the market: {share['share']:.1%} of {amount(share['value'])} {share['unit']}, "
            f"known for {share['age_days']} days"
        )


def _behaviour(console: Console, figures: Mapping[str, Any]) -> None:
    behaviour = figures.get("behaviour", {})
    if not behaviour:
        return
    running = figures.get("running", False)
    title = f"How they bought in {figures['month']}" + (" so far" if running else "") + ", against the month before"
    table = _table("", "value", "change", title=title)
    for name, found in behaviour.items():
        if "value" not in found or (running and name == "lost"):
            continue
        if name in SHARES:
            value, change = percent(found["value"]), _points(found["change"])
        else:
            write = amount if name in SUMS else number
            value, change = write(found["value"]), write(found["change"])
            if running and name in SUMS:  # less of it so far says nothing
                change = ""
        table.add_row(name.replace("_", " "), value, change)
    console.print(table)
    for name in ("weekday", "channel", "country", "hour"):
        shares = sorted(behaviour.get(name, {}).items(), key=lambda one: -one[1]["value"])[:SHOWN_MONTHS]
        if shares:
            said = (f"{value} {percent(one['value'])} ({_points(one['change'])})" for value, one in shares)
            console.print(f"{name}: " + ", ".join(said))


def _observed(console: Console, observed: Mapping[str, Any]) -> None:
    newest = sorted(observed, key=lambda name: (observed[name]["age_days"], name))[:SHOWN_SERIES]
    for name in newest:
        found = observed[name]
        console.print(f"observed: {name} {number(found['value'])} {found['unit']}, {found['age_days']} days ago")


def show_product(console: Console, product: str, figures: Mapping[str, Any]) -> None:
    """Print what is bought with a product, how its quantity goes with its price, and what others ask."""
    title = f"Bought with {product} beyond chance: baskets with both, how often as by chance, and at least"
    table = _table("product", "baskets", "lift", "at least", title=title)
    for one in figures.get("partners", ()):
        table.add_row(one["product"], f"{one['support']:,}", f"{one['lift']:.1f}", f"{one['low']:.1f}")
    console.print(table)
    for name, one in figures.get("price", {}).items():
        console.print(f"{PRICE[name]} {_slope(one)}; not causal")
    for seller, one in figures.get("competitors", {}).items():
        index = f", ours is {one['index']:.0f} % of it" if "index" in one else ""
        console.print(f"{seller} asks {number(one['value'])} {one['unit']}{index}; seen on {date_of(one['day'])}")


# Brands.


def brands(console: Console, found: Mapping[str, Any]) -> None:
    """Print the largest brands beside each other."""
    if not found:
        console.print("Brands: no line of a purchase names one, and no feedback.")
        return
    title = (
        "Brands: share of the category's revenue; buyers among its buyers, and what the NBD-Dirichlet expects;\n"
        "purchases a buyer; share of what they buy; the same brand again; negative feedback, last day"
    )
    columns = ("brand", "revenue", "share", "reach", "expected", "a buyer", "own share", "again", "negative")
    table = _table(*columns, title=title)
    for name in sorted(found, key=lambda name: (-found[name].get("revenue", 0.0), name))[:SHOWN_BRANDS]:
        one = found[name]
        table.add_row(
            name, amount(one.get("revenue")), percent(one.get("revenue_share")), percent(one.get("penetration")),
            percent(one.get("expected", {}).get("penetration")), number(one.get("purchases_per_buyer")),
            percent(one.get("share_of_requirements")), percent(one.get("repeats")),
            percent(one.get("image", {}).get("negative_share")),
        )  # fmt: skip
    console.print(table)


def show_brand(console: Console, name: str, figures: Mapping[str, Any]) -> None:
    """Print one brand in one category."""
    table = _table("", "seen", "expected of its size", title=f"Brand {name}")
    expected = figures.get("expected", {})
    for figure, form in POSITION.items():
        if figures.get(figure) is not None:
            foreseen = form.format(expected[figure]) if figure in expected else ""
            table.add_row(WORDS.get(figure, figure.replace("_", " ")), form.format(figures[figure]), foreseen)
    if table.row_count:
        console.print(table)
    moves = figures.get("share_by_promotion")
    if moves:
        console.print(
            f"share of a day's units when all is bought below the usual price, against none: {_points(moves['slope'])} "
            f"({_points(moves['low'])} to {_points(moves['high'])}, {moves['n']} days); not causal"
        )
    to = sorted(figures.get("switches_to", {}).items(), key=lambda item: -item[1])[:SHOWN_RIVALS]
    if to:
        console.print("leaves to: " + ", ".join(f"{brand} {share:.0%}" for brand, share in to))
    if figures.get("segments"):
        index = sorted(figures["segments"].items(), key=lambda item: (-item[1], item[0]))
        console.print("segments (100 is usual): " + ", ".join(f"{segment} {value}" for segment, value in index))
    if "image" in figures:
        _image(console, figures["image"])


def _image(console: Console, image: Mapping[str, Any]) -> None:
    if image["negative_share"] is None:
        console.print(f"{image['sayings']:,} texts, none with stars so far: nobody knows which are negative")
        return
    shift = {"up": ", clearly more than before", "down": ", clearly less than before"}.get(image["shift"], "")
    before = image.get("negative_share_before")
    console.print(
        f"negative on the last day: {image['negative_share']:.0%} "
        f"({image['negative_low']:.0%} to {image['negative_high']:.0%} with 80 %) of {image['sayings_of_day']}{shift}"
        + ("" if before is None else f"; {before:.0%} on the days before")
    )
    if image["words"]:
        words = ", ".join(f"{word} {'worse' if effect > 0 else 'better'}" for word, effect in image["words"].items())
        console.print(f"words that moved it, over all texts so far, the latest most: {words}")
