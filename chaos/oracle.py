"""What must hold after any run, and what must be equal to the run that nobody disturbed.

Everything is compared, and each difference names its check. Nothing of the product decides here what is right, but
for the league itself: that a model is a function of the examples in their order is what is checked with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from itertools import permutations
from typing import Any

import msgspec

from chaos.found import Found, Sent
from chaos.pins import published
from chaos.records import Input
from models.brand.taste import SEGMENT
from models.learning import Learning
from models.policy import Policy

SHOWN = 3
PREFIX = "streamscore-"
LEAGUES = ("response", "churn", "value")
OUTCOMES = ("scored", "late", "duplicate", "anonymous", "forgotten", "dead_letter")


def judge(
    found: Found, calm: Found | None, made: Input, policy: Policy, *, pinned: bool, offline: bool = True
) -> list[str]:
    """All differences; empty where nothing was lost, nothing counted twice and nothing changed.

    Parameters
    ----------
    calm
        The undisturbed run of the same input; None: what needs none is checked.
    pinned
        Both runs scored with the same models, so that scores and decisions are equal too.
    offline
        Learn the topic's examples once more here, which takes the longest.
    """
    wrong = [
        *offsets(found, made),
        *dead_letters(found, made),
        *outbox(found),
        *sales(found, made),
        *once(found, "triggers", lambda sent: msgspec.json.decode(sent.value or b"")["id"]),
        *learned_once(found),
        *(model(found, learn(found, policy)) if offline else []),
    ]
    if calm is not None:
        wrong += same("states", calm.states if pinned else calm.facts, found.states if pinned else found.facts)
        wrong += same("places", places(calm), places(found))
        wrong += same("examples", examples(calm, pinned=pinned), examples(found, pinned=pinned))
        wrong += same("timers", calm.timers, found.timers) if pinned else []
        if pinned:
            wrong += same("scores", calm.scores, found.scores)
            wrong += same("contacts", calm.standing, found.standing)
            wrong += same("triggers", triggers(calm), triggers(found))
    return wrong


def same(check: str, expected: Mapping[Any, Any], found: Mapping[Any, Any]) -> list[str]:
    """Compare two mappings in full."""
    missing, more = expected.keys() - found.keys(), found.keys() - expected.keys()
    other = [key for key in expected.keys() & found.keys() if expected[key] != found[key]]
    wrong = []
    for said, keys in (("missing", missing), ("too many", more), ("different", other)):
        if keys:
            some = sorted(map(repr, keys))[:SHOWN]
            wrong.append(f"{check}: {len(keys)} {said}, such as {', '.join(one[:120] for one in some)}")
    wrong += [
        f"{check}: {key!s:.120}: {expected[key]!s:.600} became {found[key]!s:.600}"
        for key in sorted(other, key=repr)[:1]
    ]
    return wrong


# Without another run.


def offsets(found: Found, made: Input) -> list[str]:
    """Every shard stands at the ends of its topics, and its outcomes add up to the records read."""
    wrong = []
    ends = made.ends()
    for number, place in found.places.items():
        stands = {name: at["next"] for name, at in (place or {"topics": {}})["topics"].items()}
        expected = {topic: n for (topic, partition), n in ends.items() if partition == number}
        if {name: n for name, n in stands.items() if n} != expected:
            wrong.append(f"offsets: shard {number} stands at {stands}, of {expected}")
        counted = sum(place["totals"].get(outcome, 0) for outcome in OUTCOMES) if place else 0
        if counted != sum(expected.values()):
            wrong.append(f"offsets: shard {number} accounts for {counted} records of {sum(expected.values())}")
    return wrong


def dead_letters(found: Found, made: Input) -> list[str]:
    """One dead letter for each broken record and for nothing else, byte for byte, with its reason."""
    all_of_them, wrong = letters(found)
    return wrong + same("dead letters", made.dead(), Counter(all_of_them.values()))


def letters(found: Found) -> tuple[dict[tuple[str, int, int], tuple[Any, ...]], list[str]]:
    """Each record's letter: where it lay, key, value, headers, reason. And what came twice and differs."""
    by_place: dict[tuple[str, int, int], tuple[Any, ...]] = {}
    wrong = []
    for sent in found.dead:
        where = _where(sent)
        own = sent.headers[: next(i for i, (name, _) in enumerate(sent.headers) if name.startswith(PREFIX))]
        letter = (*where, sent.key, sent.value, tuple(own), sent.header(f"{PREFIX}reason").decode())
        if by_place.setdefault(where, letter) != letter:
            wrong.append(f"dead letters: {where} came twice and differs")
    return by_place, wrong


def _where(sent: Sent) -> tuple[str, int, int]:
    topic, partition, offset = (sent.header(PREFIX + name).decode() for name in ("topic", "partition", "offset"))
    return topic, int(partition), int(offset)


def outbox(found: Found) -> list[str]:
    """Nothing waits."""
    return [f"outbox: {found.outbox} records wait"] if found.outbox else []


def sales(found: Found, made: Input) -> list[str]:
    """Totals of the series, by adding up the input."""
    expected = {series: amount / 10_000 for series, amount in made.sales_e4.items()}
    main = {series: amount for series, amount in found.sales.items() if series in expected}
    rounded = {series: round(amount, 4) for series, amount in main.items()}
    return same("sales", expected, rounded)


def once(found: Found, topic: str, name: Callable[[Sent], Hashable]) -> list[str]:
    """What came twice is the same to the byte."""
    seen: dict[Hashable, bytes | None] = {}
    return [
        f"{topic}: {name(sent)} came twice and differs"
        for sent in getattr(found, topic)
        if seen.setdefault(name(sent), sent.value) != sent.value
    ]


def kept(found: Found) -> list[tuple[str, list[dict[str, Any]]]]:
    """Records of `examples` in offset order, each once, without those that were rolled back."""
    seen: set[tuple[int, int, int]] = set()
    found_rows = []
    for sent, task, rows in found.rows():
        shard, head, _ = origin = sent.origin()
        last, gaps = found.gaps[shard]
        gone = head > last or any(low < head < high for low, high in gaps)
        if origin not in seen and not gone:
            found_rows.append((task, rows))
        seen.add(origin)
    return found_rows


def learned_once(found: Found) -> list[str]:
    """The learner counts what is in the topic, each record once."""
    expected: Counter[str] = Counter()
    for task, rows in kept(found):
        if task in LEAGUES:
            expected[task] += sum(bool(row.get("treated", True)) for row in rows)
    tasks = found.report.get("tasks", {})
    learned = {task: tasks[task]["examples"] for task in LEAGUES if tasks.get(task, {}).get("examples")}
    return same("learned once", dict(expected), learned)


def learn(found: Found, policy: Policy) -> Learning:
    """Learn the topic's records once, in their order."""
    learning = Learning(policy)
    for task, rows in kept(found):
        learning.take(task, rows)
    return learning


def model(found: Found, learning: Learning) -> list[str]:
    """The published models, the learner's whole report and all that it shows are what `learn` makes of the records."""
    serving = learning.serving()
    made = {task: getattr(serving, task) for task in found.models}
    expected = {task: None if one is None else published(task, one) for task, one in made.items()}
    report = msgspec.json.decode(msgspec.json.encode(learning.report()))
    told = found.report | {"tasks": {task: dict(one) for task, one in found.report["tasks"].items()}}
    for one in told["tasks"].values():
        one.pop("bytes", None)  # measured now and then: not learned
    told.pop("memory", None)
    wrong = same("model", expected, found.models) + same("report", report, told)
    shown = {f"brand:{name}": known(one) for name, one in report["brands"].items()}
    shown |= {f"market:{name}": known(one) for name, one in report["market"].items()}
    written = {key: one for key, one in found.figures.items() if not key.startswith("pairs:")}
    wrong += same("figures", {key: one for key, one in shown.items() if one}, written)
    prices = {product: at.quantity.n for product, at in learning.market.book.sums.prices.products.items()}
    return wrong + pairs(found, prices)


def known(figures: dict[str, Any]) -> dict[str, Any]:
    """Figures that are not None."""
    return {name: value for name, value in figures.items() if value is not None}


def pairs(found: Found, prices: Mapping[str, int]) -> list[str]:
    """What is shown of a product counts each basket once: counted again here, one by one.

    How far a pair lies beyond chance depends on all other baskets too, and is as of the product's last purchase.

    Parameters
    ----------
    prices
        Lines that a product's prices were learned from.
    """
    baskets: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for task, rows in kept(found):
        for row in rows:
            if task == "market" and row.get("sign") == 1:
                bought = {line[0] for lines in row["lines"].values() for line in lines}
                baskets.update(bought)
                together.update(permutations(bought, 2))
    shown, expected = {}, {}
    for key, figures in found.figures.items():
        kind, _, product = key.partition(":")
        if kind != "pairs":
            continue
        if "partners" in figures:
            shown[product] = figures["baskets"]
            expected[product] = baskets[product]
        for one in figures.get("partners", ()):
            shown[product, one["product"]] = one["support"]
            expected[product, one["product"]] = together[product, one["product"]]
        if "quantity" in figures.get("price", {}):
            shown[product, "prices"] = figures["price"]["quantity"]["n"]
            expected[product, "prices"] = prices.get(product)
    return same("figures", expected, shown)


# Beside the undisturbed run.


def places(found: Found) -> dict[int, Any]:
    """Places, with the outcomes counted; decisions are compared as triggers. Each run has topics of its own."""
    return {number: place and _place(place) for number, place in found.places.items()}


def _place(place: dict[str, Any]) -> dict[str, Any]:
    topics = {name: {**at, "id": ""} for name, at in place["topics"].items()}
    return {**place, "topics": topics, "totals": {name: place["totals"].get(name, 0) for name in OUTCOMES}}


def triggers(found: Found) -> dict[str, bytes | None]:
    """By id."""
    return {msgspec.json.decode(sent.value or b"")["id"]: sent.value for sent in found.triggers}


def unscored(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what depends on the models that were there."""
    fields = {name: value for name, value in row.items() if name != "served"}
    if "told" in row:
        fields["told"] = [value for column, value in enumerate(row["told"]) if column != SEGMENT]
    return fields


def examples(found: Found, *, pinned: bool) -> Counter[Any]:
    """Every row that is to be learned, however it was cut into records; sums of what is added up."""
    counted: Counter[Any] = Counter()
    for task, rows in kept(found):
        for row in rows:
            if task == "sales":
                for series, day, amount in row["sold"]:
                    counted["sales", series, day] += amount
            elif task == "segments":
                counted.update(("drawn", tuple(values)) for values in row["drawn"])
                if pinned:
                    for segment, change in row["moves"].items():
                        counted["moves", segment] += change
            elif task == "response" and not pinned and row["campaign"] not in ("spring", "vouchers"):
                continue  # our own decisions depend on the models
            else:
                fields = row if pinned else unscored(row)
                counted[task, *sorted((name, repr(value)) for name, value in fields.items())] += 1
    return counted
