"""Names of attributes for what the learner knows by number alone, read off explanations of some customers.

Examples carry 16 bits for an attribute, and neither they nor the learner know what it is called. Whoever scores does:
an explanation names the two features that moved a score most. So whoever shows what the learner says looks at a bounded
number of customers, and what moves scores at large is found there. Nothing is kept, and no example grows.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from models.customers.attributes import of_customer, offer_pairs
from models.customers.features import NATURAL
from streams.redis.keys import Keys
from streams.settings import Settings

LOOKED_AT: Final = 1_000
"""Customers whose explanations are read."""
AT_ONCE: Final = 200
OF_OFFER: Final = "offer "
Explanation = dict[str, tuple[float, list[tuple[str, float]], float]]
_DECODER: Final = msgspec.json.Decoder(Explanation)


def attribute_names(client: Any, settings: Settings, report: Mapping[str, Any]) -> dict[str, str]:
    """Return `#key` to name, of those that a task's report shows by number; `client` answers in text.

    What is not among the two strongest features of any customer looked at stays a number.
    """
    wanted = set(_numbers(report))
    found: dict[str, str] = {}
    customers = client.scan_iter(Keys(settings.prefix).customer("") + "*", count=AT_ONCE)
    looked = islice(customers, LOOKED_AT if wanted else 0)
    while len(found) < len(wanted) and (some := list(islice(looked, AT_ONCE))):
        pipe = client.pipeline(transaction=False)
        for customer in some:
            pipe.hget(customer, "explanation")
        for label in _labels(pipe.execute()):
            for number in numbers_of(label):
                if number in wanted:
                    found.setdefault(number, label)
    return found


def with_names(report: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a task's report with names for numbers."""

    def named(some: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): told for name, told in some.items()}

    segments = report.get("importance_by_segment", {})
    shown = {number: told | {"features": named(told["features"])} for number, told in segments.items()}
    more: dict[str, Any] = {"importance_by_segment": shown} if segments else {}
    return report | {"importance": named(report.get("importance", {}))} | more


def numbers_of(label: str) -> Iterator[str]:
    """Return what an attribute of this name, or name and value, is shown as while nobody knows its name.

    >>> list(numbers_of("country=GB")), list(numbers_of("offer discount")), list(numbers_of("recency_days"))
    (['#6f45'], ['#ee7e'], [])
    """
    if label in NATURAL:
        return
    made = offer_pairs if label.startswith(OF_OFFER) else of_customer
    text = label.removeprefix(OF_OFFER)
    name, equals, value = text.partition("=")
    for pair in made({name: value} if equals else {text: 1.0}):
        if pair.label == label:
            yield f"#{pair.key:04x}"


def _numbers(report: Mapping[str, Any]) -> Iterator[str]:
    names = list(report.get("importance", {}))
    for told in report.get("importance_by_segment", {}).values():
        names += told["features"]
    return (name for name in names if name.startswith("#"))


def _labels(bodies: Iterable[str | None]) -> Iterator[str]:
    for body in bodies:
        for _, effects, _ in _DECODER.decode(body).values() if body else ():
            yield from (label for label, _ in effects)
