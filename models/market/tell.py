"""What one sale tells the market, whoever it was; and what is remembered of a customer for it."""

from typing import Any

from models.customers.advance import MAX_TEXT
from models.market.growth import active, bought, kind_of, month_of
from models.policy import Policy
from models.receipt import Receipt
from models.sales.calendar import day_of
from schemas.events import Observation
from schemas.state import Attribute, CustomerState


def tell(receipt: Receipt, state: CustomerState | None, policy: Policy, country: Attribute = None) -> dict[str, Any]:
    """Row for the learner. A customer's months are changed in place.

    Parameters
    ----------
    state
        Of the customer; None where nobody is named.
    country
        The customer's, as it was known at the sale.

    Returns
    -------
    dict
        `lines`: by category, [product, units, unit price]; `day`, `month`, `hour`: the shop's; `kind`: what the
        customer is in that month, where the purchase brings revenue in the main currency, with `changes` of who
        is what.
    """
    event = receipt.event
    at = event.occurred_at.astimezone(policy.zone)
    month = month_of(at)
    lines: dict[str, list[tuple[str, float, float]]] = {}
    for category, shelf in receipt.shelves.items():
        told = [(line.product_id[:MAX_TEXT], line.quantity, line.unit_price) for line in shelf.lines]
        name = category[:MAX_TEXT]
        lines[name] = lines[name] + told if name in lines else told
    is_main = event.currency == policy.currency
    row: dict[str, Any] = {
        "sign": receipt.sign,
        "main": is_main,
        "day": day_of(at),
        "month": month,
        "hour": at.hour,
        "channel": event.channel[:MAX_TEXT],
        "lines": lines,
    }
    if country is not None:
        row["country"] = str(country)[:MAX_TEXT]
    if state is not None and is_main and receipt.sign > 0 and receipt.total_e4 > 0:
        state.months, changes = bought(state.months, month)
        if active(state.months, month):
            row["kind"] = kind_of(state.months, month)
            row["changes"] = [[one.month, one.kind, one.customers] for one in changes]
    return row


def observed(event: Observation, policy: Policy) -> dict[str, Any]:
    """Row for the learner of a figure from outside."""
    day = day_of(event.occurred_at.astimezone(policy.zone))
    return {"series": series(event.series), "value": event.value, "unit": event.unit[:MAX_TEXT], "day": day}


def series(name: str) -> str:
    """Cut a series' name to what is remembered: each part by itself, as the names of categories and products are cut.

    >>> series("price:Rival:" + 70 * "a") == "price:Rival:" + 64 * "a"
    True
    """
    kind, *parts = name.split(":", {"price": 2, "volume": 1}.get(name.partition(":")[0], 0))
    return ":".join((kind if parts else kind[:MAX_TEXT], *(part[:MAX_TEXT] for part in parts)))
