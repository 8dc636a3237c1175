"""Reports and customers for people."""

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

_HEADLINE = {"churn": "auc", "response": "auc", "value": "spearman", "purchases": "spearman"}
MEANING = {
    "churn": "no purchase in 90 days",
    "response": "answers a contact",
    "value": "spend in 90 days",
    "purchases": "orders in 90 days",
    "brand_choice": "the same brand as last",
    "sentiment": "negative feedback",
    "demand": "six days above the mean of thirty",
}
SHOWN_BRANDS = 12
SHOWN_CATEGORIES = 10
SHOWN_MONTHS = 4


def show(console: Console, report: dict[str, Any]) -> None:
    """Print a report."""
    events, throughput = report["events"], report["throughput"]
    console.rule("Events")
    console.print(
        f"{events['read']:,} events, {events['late']} late, {events['duplicate']} duplicates, "
        f"{events['dead_letter']} dead letters; {throughput['events_per_second'] or 0:,.0f} a second"
    )
    delay = report["latency"]["event_to_score_seconds"]
    if delay["p50"] is not None:
        console.print(f"event to score: p50 {delay['p50']:.3f} s, p95 {delay['p95']:.3f} s, p99 {delay['p99']:.3f} s")
    _segments(console, report["segments"])
    _sales(console, report["sales"], report.get("outlook", {}))
    _tasks(console, report["tasks"])
    _brands(console, report.get("brands", {}))
    _market(console, report.get("market", {}))
    _campaigns(console, report["campaigns"])


def _brands(console: Console, brands: dict[str, Any]) -> None:
    if not brands:
        return
    table = Table("brand", "revenue", "share", "reach", "expected", "a buyer", "own share", "again", "negative")
    table.title, table.title_justify = (
        (
            "Brands: share of the category's revenue; buyers among its buyers, and what the NBD-Dirichlet expects;\n"
            "purchases a buyer; share of what they buy; the same brand again; negative feedback, last day"
        ),
        "left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    biggest = sorted(brands, key=lambda name: (-brands[name].get("revenue", 0.0), name))[:SHOWN_BRANDS]
    for name in biggest:
        found = brands[name]
        table.add_row(
            name,
            _amount(found.get("revenue")),
            _percent(found.get("revenue_share")),
            _percent(found.get("penetration")),
            _percent(found.get("expected", {}).get("penetration")),
            _number(found.get("purchases_per_buyer")),
            _percent(found.get("share_of_requirements")),
            _percent(found.get("repeats")),
            _percent(found.get("image", {}).get("negative_share")),
        )
    console.print(table)


def _market(console: Console, market: dict[str, Any]) -> None:
    if not market.get("all", {}).get("demand"):
        return
    table = Table("category", "units a day", "revenue a day", "trend a week", "95 %", "1 % dearer: quantity", "95 %")
    table.title = "Market: last 30 trading days; within one invoice, how quantity goes with price (quantity breaks)"
    table.title_justify = "left"
    for column in table.columns[1:]:
        column.justify = "right"
    biggest = sorted(
        market, key=lambda name: -(market[name].get("demand") or {"revenue": {"level": 0}})["revenue"]["level"]
    )
    for name in [name for name in biggest if market[name].get("demand")][:SHOWN_CATEGORIES]:
        units, revenue = (market[name]["demand"][what] for what in ("units", "revenue"))
        price = (market[name].get("price") or {}).get("quantity")
        table.add_row(
            name, f"{units['level']:,.0f}", _amount(revenue["level"]), _signed(units["trend"]),
            _interval(units), "-" if price is None else f"{price['slope']:+.2f} %",
            "-" if price is None else f"{price['low']:+.2f} to {price['high']:+.2f}",
        )  # fmt: skip
    console.print(table)
    _growth(console, market["all"].get("growth", {}))


def _growth(console: Console, growth: dict[str, Any]) -> None:
    if not growth:
        return
    table = Table("month", "active", "new", "retained", "back", "lost", title="Customers", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for month in sorted(growth)[-SHOWN_MONTHS:]:
        found = growth[month]
        table.add_row(month, *(f"{found[name]:,}" for name in ("active", "new", "retained", "returned", "lost")))
    console.print(table)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1%}"


def _interval(found: dict[str, Any]) -> str:
    return "-" if found.get("low") is None else f"{found['low']:+.1%} to {found['high']:+.1%}"


def show_market(console: Console, category: str, figures: dict[str, Any]) -> None:
    """Print one category's market."""
    _market(console, {"all": figures} if category == "all" else {category: figures, "all": figures | {"growth": {}}})
    behaviour = figures.get("behaviour", {})
    if behaviour:
        table = Table("", "value", "change", title=f"How they bought in {figures['month']}", title_justify="left")
        for name, found in behaviour.items():
            if "value" in found:
                table.add_row(name.replace("_", " "), _number(found["value"]), _number(found["change"]))
        console.print(table)
        for name in ("weekday", "channel", "country", "hour"):
            shares = sorted(behaviour[name].items(), key=lambda one: -one[1]["value"])[:SHOWN_MONTHS]
            console.print(
                f"{name}: "
                + ", ".join(f"{value} {_percent(one['value'])} ({_signed(one['change'])})" for value, one in shares)
            )
    baskets = figures.get("baskets")
    if baskets:
        counted = "exactly" if baskets["exact"] else f"too low by at most {baskets['error']:,}"
        console.print(f"{baskets['baskets']:,} baskets of {baskets['products']:,} products, pairs counted {counted}")


def show_product(console: Console, product: str, figures: dict[str, Any]) -> None:
    """Print what is bought with a product, and how its quantity goes with its price."""
    title = f"Bought with {product} beyond chance: baskets with both, how often as by chance, and at least"
    table = Table("product", "baskets", "lift", "at least", title=title, title_justify="left")
    for one in figures.get("partners", ()):
        table.add_row(one["product"], f"{one['support']:,}", f"{one['lift']:.1f}", f"{one['low']:.1f}")
    console.print(table)
    words = {
        "quantity": "in an invoice, quantity goes with 1 % more price (mostly quantity breaks)",
        "response": "invoices a day go with 1 % more price",
    }
    for name, one in figures.get("price", {}).items():
        console.print(f"{words[name]}: {one['slope']:+.2f} % ({one['low']:+.2f} to {one['high']:+.2f}), not causal")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def show_brand(console: Console, name: str, figures: dict[str, Any]) -> None:
    """Print one brand in one category."""
    table = Table("", "seen", "expected of its size", title=f"Brand {name}", title_justify="left")
    expected = figures.get("expected", {})
    for field, value in figures.items():
        if isinstance(value, dict):
            continue
        foreseen = f"{expected[field]:.3f}" if field in expected else ""
        table.add_row(field.replace("_", " "), f"{value:,.3f}" if isinstance(value, float) else str(value), foreseen)
    console.print(table)
    to = sorted(figures.get("switches_to", {}).items(), key=lambda item: -item[1])[:5]
    if to:
        console.print("leaves to: " + ", ".join(f"{brand} {share:.0%}" for brand, share in to))
    if figures.get("segments"):
        index = sorted(figures["segments"].items(), key=lambda item: -item[1])
        console.print("segments (100 is usual): " + ", ".join(f"{segment} {value}" for segment, value in index))
    if "image" in figures:
        _image(console, figures["image"])


def _image(console: Console, image: dict[str, Any]) -> None:
    shift = {"up": ", clearly more than before", "down": ", clearly less than before"}.get(image["shift"], "")
    console.print(
        f"negative on the last day: {image['negative_share']:.0%} "
        f"({image['negative_low']:.0%} to {image['negative_high']:.0%}) of {image['sayings_of_day']}{shift}"
    )
    if image["words"]:
        words = ", ".join(f"{word} {'worse' if effect > 0 else 'better'}" for word, effect in image["words"].items())
        console.print(f"words that moved it: {words}")


def _segments(console: Console, segments: dict[str, Any]) -> None:
    table = Table("segment", "customers", title="Customers by segment", title_justify="left")
    table.columns[1].justify = "right"
    for name, size in segments["sizes"].items():
        table.add_row(name, f"{size:,}")
    console.print(table)


def _sales(console: Console, sales: dict[str, Any], outlook: dict[str, Any]) -> None:
    table = Table("series", "next 7 days", "last week's", "days", "MASE 1", "7", "14", "naive 7", "in 80 %")
    table.title, table.title_justify = (
        (
            "Sales: what the next week brings beside last week's, and the error of forecasts 1, 7 and 14 days ahead\n"
            "over that of the same weekday a week before (below 1 is better)"
        ),
        "left",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for series, horizons in sales.items():
        if "7" in horizons and horizons["7"]["mase"] is not None:
            week, ahead = horizons["7"], outlook.get(series, {})
            amounts = [_amount(ahead.get(name)) for name in ("next_week", "next_week_naive")]
            mase = [_number(horizons[h]["mase"]) for h in ("1", "7", "14")]
            naive = _number(week["baselines"]["seasonal_naive"]["mase"])
            covered = _number(horizons["1"]["coverage_80"])
            table.add_row(series.removeprefix("category:"), *amounts, str(week["n"]), *mase, naive, covered)
    console.print(table)


def _amount(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _tasks(console: Console, tasks: dict[str, Any]) -> None:
    table = Table("task", "examples", "figure", "champion", "best trivial baseline", "beats it")
    table.title, table.title_justify = "Quality: the score at the decision, judged when the outcome came", "left"
    for task, figures in tasks.items():
        metric = _HEADLINE.get(task, "auc")
        champion = figures["models"].get(figures["champion"], {}).get(metric)
        others = {name: found.get(metric) for name, found in figures["baselines"].items()}
        known = {name: value for name, value in others.items() if value is not None}
        if champion is None or not known:
            table.add_row(f"{task} ({MEANING.get(task, '')})", str(figures["examples"]), metric, "none yet", "", "")
            continue
        best = max(known, key=known.__getitem__)
        table.add_row(
            f"{task} ({MEANING.get(task, '')})",
            f"{figures['examples']:,}",
            metric,
            f"{champion:.3f} {figures['champion']}",
            f"{known[best]:.3f} {best}",
            "yes" if champion > known[best] else "no",
        )
    console.print(table)


def _campaigns(console: Console, campaigns: dict[str, Any]) -> None:
    title = "Campaigns: decisions to contact, and not to"
    table = Table("campaign", "triggers", "suppressed, by reason", title=title, title_justify="left")
    for name, found in campaigns.items():
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in found["suppressed"].items())
        table.add_row(name, f"{found['triggers']:,}", reasons)
    console.print(table)


def show_customer(console: Console, customer_id: str, fields: dict[str, str], currency: str) -> None:
    """Print one customer: facts, scores, and why in words."""
    facts = Table("", "", title=f"Customer {customer_id}", title_justify="left", show_header=False)
    for name in ("orders", "refunds", "spend", "first_purchase_at", "last_purchase_at", "updated_at"):
        if name in fields:
            facts.add_row(name.replace("_", " "), fields[name])
    facts.add_row("segment", fields.get("segment_name", "not known yet"))
    if "brand" in fields:
        facts.add_row("brand", f"{fields['brand']}, again {float(fields['loyalty']):.0%}: {fields['loyalty_rule']}")
    console.print(facts)
    scores = Table("score", "value", "because", "model")
    why = msgspec.json.decode(fields.get("explanation", "{}"))
    models = msgspec.json.decode(fields.get("models", "{}"))
    for task in ("churn", "response", "value"):
        if task in fields:
            value = float(fields[task])
            shown = f"{value:,.2f} {currency}" if task == "value" else f"{value:.1%}"
            label = f"{task} ({MEANING[task]})"
            scores.add_row(label, shown, in_words(why.get(task, [0.0, [], 0.0])), models.get(task, ""))
    console.print(scores)


def in_words(reasons: list[Any]) -> str:
    """Say which features moved a score, and which way.

    >>> in_words([0.1, [["recency_days", 1.2], ["orders", -0.4]], 0.0])
    'raised by recency days (+1.20), lowered by orders (-0.40)'
    """
    _, tops, _ = reasons
    if not tops:
        return "no model yet: the usual rate"
    return ", ".join(
        f"{'raised' if effect >= 0 else 'lowered'} by {name.replace('_', ' ')} ({effect:+.2f})" for name, effect in tops
    )
