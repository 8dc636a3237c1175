"""A report as one HTML file that needs nothing else: tables, and charts as inline SVG."""

from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from streams.reporting import brand_words, market_words
from streams.reporting.currency import chosen
from streams.reporting.page import charts
from streams.reporting.page.figures import brief, task_of
from streams.reporting.report import in_days, in_reasons

SERIES: Final = 12
"""Sales series, categories and brands shown, the largest first."""
MONTHS: Final = 24


def page(report: Mapping[str, Any], title: str) -> str:
    """Return a report as HTML; see `docs/report.md`. Nothing in it is fetched from anywhere.

    Parameters
    ----------
    report
        As `backtest` makes it; parts that it does not have are left out.
    title
        What was read, in words.
    """
    env = Environment(loader=PackageLoader("streams.reporting.page", ""), autoescape=True, undefined=StrictUndefined)
    env.filters |= {"brief": brief, "in_days": in_days, "in_reasons": in_reasons}
    env.trim_blocks = env.lstrip_blocks = True
    return env.get_template("report.html").render(
        title=title,
        events=report["events"],
        throughput=report["throughput"],
        delay=report["latency"]["event_to_score_seconds"],
        ahead=report.get("ahead"),
        currency={"words": chosen(told), "warning": told["warning"]} if (told := report.get("currency")) else None,
        tasks=[task_of(name, figures) for name, figures in report["tasks"].items() if figures["examples"]],
        segments=_segments(report["segments"]),
        sales=_sales(report),
        campaigns=report["campaigns"],
        market=_market(report.get("market", {})),
        brands=_brands(report.get("brands", {})),
    )


def _segments(found: Mapping[str, Any]) -> dict[str, Any]:
    sizes = dict(found.get("sizes", {}))
    return {
        "sizes": charts.bars(sizes, "customers") if sizes else "",
        "ssq_ratio": found.get("ssq_ratio"),
        "stability": found.get("stability"),
        "names": found.get("names", {}),
        "movements": found.get("movements", {}),
        "log": found.get("log", [])[-10:],
        "baselines": found.get("baselines", {}),
    }


def _sales(report: Mapping[str, Any]) -> dict[str, Any]:
    series = {
        name: horizons
        for name, horizons in report["sales"].items()
        if "7" in horizons and horizons["7"].get("mase") is not None
    }
    outlook = report.get("outlook", {})
    days = report.get("sales_days", [])
    return {
        "days": charts.forecast(days) if days else "",
        "rows": [(name, series[name], outlook.get(name, {})) for name in list(series)[:SERIES]],
    }


def _market(market: Mapping[str, Any]) -> dict[str, Any]:
    """What the terminal says of each category, and all months."""
    whole = market.get("all", {})
    sheets = (market_words.side_by_side(market, SERIES), market_words.customers(whole, MONTHS, revenue=True))
    first = ["all"] if whole else []
    shown = list(dict.fromkeys([*first, *market_words.largest(market, len(market)), *market]))[:SERIES]
    told = {
        name: [*market_words.priced(market[name].get("price")), *market_words.of_category(market[name])]
        for name in shown
    }
    return {
        "blocks": [sheet for sheet in sheets if sheet.rows],
        "categories": {name: blocks for name, blocks in told.items() if blocks},
        "left": len([name for name in market if name not in shown]),
    }


def _brands(brands: Mapping[str, Any]) -> dict[str, Any]:
    """What the terminal says of brands side by side and of each."""
    shown = brand_words.largest(brands, SERIES)
    sides = (brand_words.side_by_side, brand_words.promotion_and_image)
    return {
        "blocks": [side(brands, SERIES) for side in sides] if brands else [],
        "each": [(brand_words.spoken(name), [*brand_words.of_brand(name, brands[name], brands)]) for name in shown],
        "left": len(brands) - len(shown),
    }
