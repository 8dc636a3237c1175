"""Reports and customers for people."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.sales.dimensions import SPLITS, dimension_of
from models.serving_set import COLD
from models.shard.score import from_scale
from streams.reporting.brand_words import spoken
from streams.reporting.currency import chosen
from streams.reporting.market_words import amount, number
from streams.reporting.report import in_days, in_reasons
from streams.reporting.summary_market import brands, markets
from streams.reporting.verdict import ITSELF, METRICS, compared, headline

FELT: Final = 0.005
"""What moves a score by less is not told: two places are shown."""
SPLIT_ROWS: Final = 8
"""Countries that are shown, and channels."""
_MEANING = {
    "churn": "no purchase in {}",
    "response": "answers a contact",
    "value": "spend in {}",
    "purchases": "orders in {}",
    "brand_choice": "the same brand as last",
    "sentiment": "negative feedback",
    "demand": "six days above the mean of thirty",
}


CONTROLS: Final = {"random_days": "the same on shuffled days"}
"""Of a task that is asked where nothing can be foreseen, too: shown beside its figures, never among them."""


def meaning(task: str, days: float | None) -> str:
    """Say what a task predicts; `days` is its window, where that is known.

    >>> meaning("value", 30.0), meaning("churn", None), meaning("else", 30.0)
    ('spend in 30 days', 'no purchase in its window', '')
    """
    return _MEANING.get(task, "").format("its window" if days is None else in_days(days))


def show(console: Console, report: dict[str, Any]) -> None:
    """Print a report."""
    events, throughput = report["events"], report["throughput"]
    if (report.get("ahead") or {}).get("warning"):
        console.print(Text(report["ahead"]["warning"], "yellow"))
    if (report.get("currency") or {}).get("warning"):
        console.print(Text(report["currency"]["warning"], "yellow"))
    console.rule("Events")
    console.print(
        f"{events['read']:,} events, {events['late']} late, {events['duplicate']} duplicates, "
        f"{events['dead_letter']} dead letters; {throughput['events_per_second'] or 0:,.0f} a second"
    )
    if "currency" in report:
        console.print(chosen(report["currency"]), highlight=False)
    delay = report["latency"]["event_to_score_seconds"]
    if delay["p50"] is not None:
        console.print(f"event to score: p50 {delay['p50']:.3f} s, p95 {delay['p95']:.3f} s, p99 {delay['p99']:.3f} s")
    _segments(console, report["segments"])
    _sales(console, report["sales"], report.get("outlook", {}))
    _tasks(console, report["tasks"])
    _memory(console, report["tasks"], report.get("memory", {}))
    brands(console, report.get("brands", {}))
    markets(console, report.get("market", {}))
    _campaigns(console, report["campaigns"])


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
    judged = {name: found for name, found in sales.items() if "7" in found and found["7"]["mase"] is not None}
    shown = _largest(judged, outlook)
    for series in shown:
        horizons = judged[series]
        week, ahead = horizons["7"], outlook.get(series, {})
        amounts = [amount(ahead.get(name)) for name in ("next_week", "next_week_naive")]
        mase = [number(horizons[h]["mase"]) for h in ("1", "7", "14")]
        naive = number(week["baselines"]["seasonal_naive"]["mase"])
        covered = number(horizons["1"]["coverage_80"])
        table.add_row(series.removeprefix("category:"), *amounts, str(week["n"]), *mase, naive, covered)
    console.print(table if table.rows else "Sales: none, or too few days to judge a forecast.")
    if len(shown) < len(judged):
        console.print(f"{len(judged) - len(shown)} smaller series by country or channel are in the report.")


def _largest(series: Mapping[str, Any], outlook: Mapping[str, Any]) -> list[str]:
    """All categories and currencies; of countries, and of channels, those that the next week brings most."""
    hidden: set[str] = set()
    for dimension in SPLITS:
        named = [name for name in series if dimension_of(name) == dimension]
        named.sort(key=lambda name: -(outlook.get(name, {}).get("next_week") or 0.0))
        hidden.update(named[SPLIT_ROWS:])
    return [name for name in series if name not in hidden]


def _tasks(console: Console, tasks: dict[str, Any]) -> None:
    table = Table("task", "examples", "figure", "champion", "best trivial answer", "beats it")
    table.title, table.title_justify = "Quality: the score at the decision, judged when the outcome came", "left"
    for task, figures in tasks.items():
        named, count = f"{task} ({meaning(task, figures.get('window_days'))})", f"{figures['examples']:,}"
        found, metric = compared(figures), headline(figures)
        words = "" if metric is None else METRICS[metric][0]
        if found is None:
            table.add_row(named, count, words, "none yet", "", "")
        else:
            rival = "" if found.against is None else f"{found.against:,.3f} {found.rival}"
            beats = ITSELF if found.beats is None else "yes" if found.beats else "no"
            table.add_row(named, count, words, f"{found.value:,.3f} {found.champion}", rival, beats)
        for name, control in figures.get("controls", {}).items():
            told = "none yet" if control.get("auc") is None else f"{control['auc']:.3f} {name}"
            there = figures["models"].get(figures["champion"], {}).get("auc")
            beside = "a control" if there is None else f"a control: {there:.3f} on the real days"
            table.add_row(f"  {CONTROLS.get(name, name)}", "", "AUC", told, beside, "")
    console.print(table)
    for figures in tasks.values():
        if figures.get("unopened"):
            console.print(f"{in_reasons(figures['unopened'])}.", highlight=False)


def _memory(console: Console, tasks: Mapping[str, Any], books: Mapping[str, int]) -> None:
    """Say what leagues take, and what is summed up beside them."""
    leagues = {task: told["bytes"] for task, told in tasks.items() if told.get("bytes")}
    for of, some in (("the leagues", leagues), ("what is summed up", books)):
        if some:
            sizes = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in some.items())
            console.print(f"Memory of {of}: {sizes}", highlight=False)


def _campaigns(console: Console, campaigns: dict[str, Any]) -> None:
    title = "Campaigns: decisions to contact, and not to"
    table = Table("campaign", "triggers", "suppressed, by reason", title=title, title_justify="left")
    for name, found in campaigns.items():
        reasons = ", ".join(f"{reason} {n:,}" for reason, n in found["suppressed"].items())
        table.add_row(name, f"{found['triggers']:,}", reasons)
    console.print(table if table.rows else "Campaigns: nothing was decided.")


def show_customer(
    console: Console, customer_id: str, fields: dict[str, str], currency: str, window_days: float
) -> None:
    """Print one customer: facts, scores for the coming `window_days`, and why in words."""
    facts = Table("", "", title=f"Customer {customer_id}", title_justify="left", show_header=False)
    for words, told in _facts(fields, window_days):
        facts.add_row(words, told)
    console.print(facts)
    scores = Table("score", "value", "usual", "because", "model")
    scores.caption = "because: on the model's own scale, log odds or the logarithm of one plus the amount"
    scores.caption_justify = "left"
    why = msgspec.json.decode(fields.get("explanation", "{}"))
    models = msgspec.json.decode(fields.get("models", "{}"))
    for task in ("churn", "response", "value"):
        if task in fields:
            is_cold = task not in why or models.get(task) == COLD
            usual = "" if is_cold else _score(task, from_scale(task, why[task][0]), currency)
            because = "no model yet: the usual rate" if is_cold else in_words(why[task])
            shown = [_score(task, float(fields[task]), currency), usual, because]
            scores.add_row(f"{task} ({meaning(task, window_days)})", *shown, models.get(task, ""))
    console.print(scores)


def _facts(fields: dict[str, str], window_days: float) -> Iterator[tuple[str, str]]:
    for name in ("orders", "refunds"):
        if name in fields:
            yield name, fields[name]
    spend: dict[str, float] = msgspec.json.decode(fields.get("spend", "{}"))
    if spend:
        yield "spend", ", ".join(f"{amount:,.2f} {currency}" for currency, amount in spend.items())
    for name, words in (("first_purchase_at", "first purchase"), ("last_purchase_at", "last purchase")):
        if name in fields:
            yield words, fields[name]
    if "updated_at" in fields:
        yield "scored as of", fields["updated_at"]
    yield "segment", fields.get("segment_name", "not known yet")
    if fields.get("stage"):
        yield "stage", fields["stage"]
    if fields.get("purchases"):
        after = (
            f", the next by {fields['next_purchase_at']} or, as likely, later" if fields.get("next_purchase_at") else ""
        )
        yield "expected", f"{float(fields['purchases']):.1f} purchases in {in_days(window_days)}{after}"
    if "brand" in fields:
        yield (
            "brand",
            f"{spoken(fields['brand'])}, again {float(fields['loyalty']):.0%}: bought it {fields['loyalty_rule']}",
        )


def _score(task: str, value: float, currency: str) -> str:
    return f"{max(value, 0.0):,.2f} {currency}" if task == "value" else f"{value:.1%}"


def in_words(reasons: list[Any]) -> str:
    """Say which features moved a score, and which way.

    >>> in_words([0.1, [["recency_days", 1.2], ["orders", -0.4]], 0.0])
    'raised by recency days (+1.20), lowered by orders (-0.40)'
    >>> in_words([0.1, [], 0.0]), in_words([0.1, [], -0.7])
    ('as usual', 'by no feature alone (-0.70 in all)')
    """
    _, tops, rest = reasons
    if not tops:
        return f"by no feature alone ({rest:+.2f} in all)" if abs(rest) >= FELT else "as usual"
    return ", ".join(
        f"{'raised' if effect >= 0 else 'lowered'} by {name.replace('_', ' ')} ({effect:+.2f})" for name, effect in tops
    )
