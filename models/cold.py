"""What is served before anything is learned, and of which features. Who only scores needs no more, and no River."""

from typing import Final

from models.customers.features import NATURAL
from models.league.fallback import persistence
from models.serving_set import ServingSet

NAMES: Final = {"response": NATURAL, "churn": NATURAL, "value": NATURAL, "purchases": NATURAL}
"""Of each task's examples, in the order in which they are packed."""
LAST_WINDOW: Final = "spend_90d"
LAST_ORDERS: Final = "orders_90d"


def cold() -> ServingSet:
    """Return priors, and as value and purchases what the last window brought."""
    return ServingSet(
        value=persistence("value", LAST_WINDOW, NAMES["value"]),
        purchases=persistence("purchases", LAST_ORDERS, NAMES["purchases"]),
    )
