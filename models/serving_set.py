"""The serving models of one moment: what shards score with."""

from msgspec import Struct

from schemas.choice import ChoiceModel
from schemas.segments import Segments
from schemas.serving import ServingModel

COLD = "cold"
"""Version of a task without a model: its prior is served."""
PRIORS = {"response": 0.05, "churn": 0.5, "value": 0.0}
"""Probabilities, and an amount in the main currency, served before there is a model."""


class ServingSet(Struct, frozen=True):
    """One model a task; None while cold."""

    response: ServingModel | None = None
    churn: ServingModel | None = None
    value: ServingModel | None = None
    segments: Segments | None = None
    brand_choice: ChoiceModel | None = None
    purchases: ServingModel | None = None

    def versions(self) -> dict[str, str]:
        """Return the version that each task is scored with; of `brand_choice` only where brands are sold."""
        models = {"response": self.response, "churn": self.churn, "value": self.value, "segments": self.segments}
        versions = {task: COLD if model is None else model.version for task, model in models.items()}
        return versions if self.brand_choice is None else versions | {"brand_choice": self.brand_choice.version}
