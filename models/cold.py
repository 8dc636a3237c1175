"""What is served before anything is learned, and of which features. Who only scores needs no more, and no River."""

import math
from typing import Final

from models.customers.features import NATURAL
from models.league.fallback import persistence
from models.serving_set import ServingSet

NAMES: Final = {"response": NATURAL, "churn": NATURAL, "value": NATURAL, "purchases": NATURAL}
"""Of each task's examples, in the order in which they are packed."""
PERSISTING: Final = {"value": "spend", "purchases": "orders"}
"""What the last days brought of each amount, before the number of days in a feature's name."""
_KNOWN: Final = (7, 30, 90)


def persisting(task: str, window_days: float) -> str:
    """Return the feature that says what the last window brought: of 7, 30 or 90 days, which is nearest by ratio."""
    nearest = min(_KNOWN, key=lambda days: abs(math.log(days / window_days)))
    return f"{PERSISTING[task]}_{nearest}d"


def cold(window_days: float) -> ServingSet:
    """Return priors, and as value and purchases what the last window brought."""
    last = {task: persistence(task, persisting(task, window_days), NAMES[task]) for task in PERSISTING}
    return ServingSet(value=last["value"], purchases=last["purchases"])
