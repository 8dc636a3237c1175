"""What one sale tells the market, whoever it was; and what is remembered of a customer for it."""

from datetime import date
from typing import Any, Final

from models.customers.advance import MAX_TEXT, amount_e4
from models.market.growth import active, bought, kind_of
from models.policy import Policy
from schemas.events import Observation, Purchase, Refund
from schemas.state import CustomerState

UNCATEGORISED: Final = "other"
_EPOCH: Final = date(1970, 1, 1).toordinal()


def tell(event: Purchase | Refund, state: CustomerState | None, policy: Policy) -> dict[str, Any]:
    """Row for the learner. A customer's months are changed in place.

    Parameters
    ----------
    state
        Of the customer; None where nobody is named.

    Returns
    -------
    dict
        `lines`: by category, [product, units, unit price]; `day`, `month`, `hour`: the shop's; `kind`: what the
        customer is in that month, where the purchase brings revenue in the main currency, with `changes` of who
        is what.
    """
    at = event.occurred_at.astimezone(policy.zone)
    month = 12 * at.year + at.month - 1
    lines: dict[str, list[list[Any]]] = {}
    for line in event.lines:
        category = (line.category or UNCATEGORISED)[:MAX_TEXT]
        lines.setdefault(category, []).append([line.product_id[:MAX_TEXT], line.quantity, line.unit_price])
    is_purchase, is_main = isinstance(event, Purchase), event.currency == policy.currency
    row: dict[str, Any] = {
        "sign": 1 if is_purchase else -1,
        "main": is_main,
        "day": at.toordinal() - _EPOCH,
        "month": month,
        "hour": at.hour,
        "channel": event.channel[:MAX_TEXT],
        "lines": lines,
    }
    if state is None:
        return row
    country = state.attributes.get("country")
    if country is not None:
        row["country"] = str(country)[:MAX_TEXT]
    if is_purchase and is_main and amount_e4(event.lines) > 0:
        state.months, changes = bought(state.months, month)
        if active(state.months, month):
            row["kind"] = kind_of(state.months, month)
            row["changes"] = [[one.month, one.kind, one.customers] for one in changes]
    return row


def observed(event: Observation, policy: Policy) -> dict[str, Any]:
    """Row for the learner of a figure from outside."""
    day = event.occurred_at.astimezone(policy.zone).toordinal() - _EPOCH
    return {"series": event.series[:MAX_TEXT], "value": event.value, "unit": event.unit[:MAX_TEXT], "day": day}
