"""Models to score with in runs that are compared score by score: learned once, from another input.

Their versions name who learned them, as those of a learner that was trained anew do: the learner of a run keeps versions
of its own, and would write over one of the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from chaos.records import make
from models.shard import Shop
from schemas.choice import encode_choice
from schemas.codec import decode
from schemas.segments import encode_segments
from schemas.serving import encode_model
from streams.backtest import backtest
from streams.campaigns import load
from streams.settings import load_settings

NAME = "pins"
WRITERS: dict[str, Callable[[Any], bytes]] = {"segments": encode_segments, "brand_choice": encode_choice}


def published(task: str, model: Any) -> bytes:
    """A model as the learner publishes it."""
    return WRITERS.get(task, encode_model)(model)


@cache
def learned(seed: int = 0, events: int = 1_200) -> dict[str, tuple[str, bytes]]:
    """Version and body of every task's model."""
    from chaos.job import GIVEN

    made = make(f"pins {seed}", events, 2, customers=200, broken=0.0)
    inputs = [decode(record.topic, record.value) for record in made.records]  # type: ignore[arg-type]
    inputs.sort(key=lambda event: event.occurred_at)
    settings = load_settings(**GIVEN)
    shop = Shop(settings.policy, load(None, settings.timezone), 2)
    serving = backtest(inputs, shop).learning.serving()
    found = {}
    for task in msgspec.structs.fields(serving):
        model = getattr(serving, task.name)
        if model is not None:
            named = msgspec.structs.replace(model, version=f"{model.version}@{NAME}")
            found[task.name] = named.version, published(task.name, named)
    return found
