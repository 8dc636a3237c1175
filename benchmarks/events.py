"""What the benchmarks run on: a simulated shop, and models that were learned from another one's customers."""

from collections.abc import Iterator

from models.serving_set import ServingSet
from schemas.events import Event
from streams.backtest import backtest
from streams.replay.simulated import DAYS, Simulation
from streams.settings import Settings
from streams.worker import make_shop

TASKS = ("response", "churn", "value", "segments")
TAUGHT, EACH = 300, 24
"""Customers that models are learned from, and events each in `DAYS` days, as in a shop."""


def simulated(customers: int, count: int, seed: int, days: int = DAYS) -> Iterator[Event]:
    """Events in event-time order."""
    return Simulation(customers, count, seed, days).events()


def learned_models(settings: Settings, seed: int) -> ServingSet:
    """Models of a backtest over other customers, so that nothing is scored by a prior."""
    models = backtest(simulated(TAUGHT, TAUGHT * EACH, seed), make_shop(settings)).models
    cold = [task for task in TASKS if getattr(models, task) is None]
    if cold:
        raise RuntimeError(f"the events taught nothing about {', '.join(cold)}")
    return models
