"""What serves an amount while no learned model is better: the coming window brings what the last one brought."""

from collections.abc import Sequence
from typing import Final

from schemas.serving import LifetimeModel, LinearModel, MixtureModel

VERSION: Final = "persistence"
CAP: Final = 1e7
"""Of an amount, in the main currency."""


def persistence(task: str, feature: str, names: Sequence[str]) -> LinearModel:
    """Return a linear model of one feature, in log1p, with weight 1: its prediction is the feature's amount."""
    width = len(names)
    weights = tuple(1.0 if name == feature else 0.0 for name in names)
    return LinearModel(
        task=task,
        version=VERSION,
        features=tuple(names),
        mean=(0.0,) * width,
        scale=(1.0,) * width,
        clip=20.0,
        weights=weights,
        intercept=0.0,
        link="log1p",
        cap=CAP,
    )


def carrying(served: LinearModel, lifetimes: LifetimeModel) -> MixtureModel:
    """Return what serves with all the weight, and a buy-till-you-die model with none: others read it there.

    The version names both: it is another when the parameters are, or nobody would publish them.
    """
    return MixtureModel(
        task=served.task,
        version=f"{served.version}:{lifetimes.lifetimes.version}",
        features=served.features,
        intercept=0.0,
        weights=(1.0, 0.0),
        linear=(served,),
        lifetimes=(lifetimes,),
        link=served.link,
        cap=served.cap,
    )
