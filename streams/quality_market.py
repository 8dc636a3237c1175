"""Figures of the market on a whole year of a real shop, beside exact ones and beside days in random order.

Everything exact is computed here from the events alone, with numpy and scipy, and shares nothing with the product.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from models.learning import Learning
from models.market.baskets import Baskets
from models.market.demand import ALL, Demand
from models.market.outlook import GROWTH, Outlook
from models.market.price import Prices
from schemas.events import Event, Purchase
from streams.quality_bars import row
from streams.replay.category import RULE

CATEGORIES: Final = tuple(name for name, _ in RULE)
"""Eight; service and what has no category are left out."""
CHOSEN_ON: Final = 130
"""Trading days on which features and settings were chosen: later ones are judged apart."""
ORDERS: Final = 5
"""Random orders of the days."""
BEST, SUPPORT = 200, 50
SKETCHED: Final = 100
"""Products beyond which pairs are sketched, so that it is tried on a shop that is counted exactly."""
MONTH: Final = "2011-11"
Line = tuple[str, str | None, int, float, float]
"""Product, category, day, quantity, unit price."""
Table = Mapping[str, NDArray[np.float64]]


def market_figures(learning: Learning, events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return rows of `figure`, `value`, `trivial`, and the bars `must` and `aim`; what is not given is None."""
    sales = [event for event in events if isinstance(event, Purchase)]
    lines = [
        (line.product_id, line.category, event.occurred_at.toordinal(), line.quantity, line.unit_price)
        for event in sales
        for line in event.lines
    ]
    return [*_demand(lines), *_pairs(learning, sales), *_prices(learning, sales), *_growth(learning, sales)]


# Demand.


def _table(lines: Sequence[Line]) -> Table:
    """Units a trading day by category."""
    units: dict[str, dict[int, float]] = {name: defaultdict(float) for name in CATEGORIES}
    for _, category, day, quantity, _ in lines:
        if category in units:
            units[category][day] += quantity
    days = sorted({day for sold in units.values() for day in sold})
    return {name: np.array([sold[day] for day in days]) for name, sold in units.items()}


def _asked(table: Table, judge_from: int = 0) -> dict[str, Any]:
    """Put the task `demand` to every trading day; those asked before `judge_from` are learned and not judged."""
    outlook, demand = Outlook(), Demand()
    for day in range(len(table[CATEGORIES[0]])):
        for category, units in table.items():
            for name in (category, ALL):
                demand.add(name, day, round(1_000 * units[day]), 1)
        demand.trade(day)
        demand.close(day + 1)
        outlook.learn_day(demand, 86_400.0 * day, judged=day >= judge_from)
    return outlook.report() or {}


def _demand(lines: Sequence[Line]) -> list[dict[str, Any]]:
    table = _table(lines)
    days = len(table[CATEGORIES[0]])
    random = [
        _asked({name: units[np.random.default_rng(seed).permutation(days)] for name, units in table.items()})
        for seed in range(ORDERS)
    ]
    control = [one["models"][GROWTH]["auc"] for one in random]
    found = []
    for words, since in (("", 0), (f", days {CHOSEN_ON + 1} on", CHOSEN_ON)):
        report = _asked(table, since)
        judged, baselines, champion = report["models"], report["baselines"], report["champion"]
        rate = max(baselines[name]["auc"] for name in ("base_rate", "last_100"))
        for name in dict.fromkeys((GROWTH, champion)):
            auc = f"demand: AUC of {name} against the 30-day mean{words}"
            found.append(row(auc, judged[name]["auc"], ">= .57", ".60", rate))
        naive = min(baselines[name]["units_log_error"] for name in ("last_six_days", "last_thirty_days"))
        error = judged[GROWTH]["units_log_error"]
        found.append(row(f"demand: log error of the next six days' units{words}", error, "<= .28", ".27", naive))
    words = f"demand: AUC of growth on days in random order, mean of {ORDERS}"
    found.append(row(words, float(np.mean(control)), "<= .5"))
    found.append(row("demand: the highest of these", max(control), ""))
    return found


# Pairs.


def _pairs(learning: Learning, sales: Sequence[Purchase]) -> list[dict[str, Any]]:
    baskets = [sorted({line.product_id for line in sale.lines}) for sale in sales]
    sketch = Baskets(exact=SKETCHED)
    for basket in baskets:
        sketch.learn_one(basket)
    exact, true = learning.market.book.baskets, _true_pairs(baskets)
    bars = {
        ("exact", "support"): ("1", ""), ("exact", "lift"): ("1", ""),
        ("sketch", "support"): (">= .95", ""), ("sketch", "lift"): ("", ">= .5"),
    }  # fmt: skip
    return [
        row(f"pairs: recall of the {BEST} best by {by}, {kind}", _recall(counts, true[by], by), *bars[kind, by])
        for kind, counts in (("exact", exact), ("sketch", sketch))
        for by in ("support", "lift")
    ]


def _true_pairs(baskets: Sequence[Sequence[str]]) -> dict[str, dict[frozenset[str], float]]:
    """Every pair of enough support, with its support and its lift, by a product of matrices."""
    numbers = {name: n for n, name in enumerate(sorted({name for basket in baskets for name in basket}))}
    rows = np.repeat(np.arange(len(baskets)), [len(basket) for basket in baskets])
    columns = np.array([numbers[name] for basket in baskets for name in basket])
    x = sparse.csr_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(len(baskets), len(numbers)))
    together = sparse.triu(x.T @ x, 1).tocoo()
    single, names = x.sum(axis=0), list(numbers)
    kept = together.data >= SUPPORT
    low, high, support = together.row[kept], together.col[kept], together.data[kept]
    lift = support * len(baskets) / (single[low] * single[high])
    keys = [frozenset((names[a], names[b])) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    return {
        "support": dict(zip(keys, support.tolist(), strict=True)),
        "lift": dict(zip(keys, lift.tolist(), strict=True)),
    }


def _recall(baskets: Baskets, true: Mapping[frozenset[str], float], by: str) -> float:
    """Share of the best that were found; one that ties with the last of them counts as one of them."""
    least = sorted(true.values(), reverse=True)[:BEST][-1]
    found = [true.get(frozenset((pair.a, pair.b)), 0.0) for pair in baskets.best(by, BEST, SUPPORT)]
    return sum(value >= least * (1 - 1e-12) for value in found) / BEST


# Price.


def _invoiced(sales: Sequence[Purchase]) -> dict[str, list[tuple[int, float, float]]]:
    """What each invoice has of a product: day, quantity and price, of the lines that are not free."""
    found: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    for sale in sales:
        amounts: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for line in sale.lines:
            if line.unit_price > 0:
                amounts[line.product_id].append((line.quantity, line.quantity * line.unit_price))
        for product, some in amounts.items():
            quantity, amount = (math.fsum(column) for column in zip(*some, strict=True))
            found[product].append((sale.occurred_at.toordinal(), quantity, amount / quantity))
    return found


def _prices(learning: Learning, sales: Sequence[Purchase]) -> list[dict[str, Any]]:
    online, draw = learning.market.book.sums.prices, np.random.default_rng(3)
    inside = alarms = asked = 0
    for product, some in sorted(_invoiced(sales).items()):
        found = (online.report(product) or {}).get("quantity")
        if found is None:
            continue
        asked += 1
        days, quantities, paid = zip(*some, strict=True)
        quantity, price = np.log(quantities), np.log(paid)
        fit = stats.linregress(price, quantity)
        half = stats.t.ppf(0.975, len(some) - 2) * fit.stderr
        inside += abs(found["slope"] - fit.slope) <= half + 1e-9
        shuffled = Prices()
        for day, units, other in zip(days, quantities, draw.permutation(paid).tolist(), strict=True):
            shuffled.learn_one(product, day, units, other)
        chance = (shuffled.report(product) or {}).get("quantity")
        alarms += chance is not None and not chance["low"] <= 0 <= chance["high"]
    return [
        row(f"price: share of {asked:,} products inside the batch interval", inside / asked, ">= .95", ".99"),
        row("price: false alarms on shuffled prices", alarms / asked, "<= .06", ".05"),
    ]


# Growth accounting.


def _growth(learning: Learning, sales: Sequence[Purchase]) -> list[dict[str, Any]]:
    report = learning.market.book.sums.growth.report()
    active: dict[str, set[str]] = defaultdict(set)
    for sale in sales:
        if sale.customer_id is not None and math.fsum(line.quantity * line.unit_price for line in sale.lines) > 0:
            active[f"{date.fromordinal(sale.occurred_at.toordinal()):%Y-%m}"].add(sale.customer_id)
    known: set[str] = set()
    before: set[str] = set()
    agree = 0
    for month, some in sorted(active.items()):
        new = some - known
        kinds = (len(some), len(new), len(some & before), len(some - before - new), len(before - some))
        agree += kinds == tuple(report.get(month, {}).get(kind) for kind in KINDS)
        known, before = known | some, some
    bars = dict(zip(KINDS, (1_664, 323, 622, 719, 742), strict=True))
    found = report.get(MONTH, {})
    rows = [row(f"growth: {kind}, {MONTH}", found.get(kind, math.nan), str(bars[kind])) for kind in KINDS]
    return [*rows, row("growth: share of months that agree exactly", agree / len(active), "", "1")]


KINDS: Final = ("active", "new", "retained", "returned", "lost")
