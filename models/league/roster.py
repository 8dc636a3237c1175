"""Who takes part in a league of labels. A new entrant is one file, and one line here; the laws test it."""

from collections.abc import Callable
from typing import Final

from models.league.baselines import RecentRate
from models.league.boosted import Boosted
from models.league.contract import Learner
from models.league.dynamic import Dynamic
from models.league.forest import Forest
from models.league.learners import classifier
from models.league.margin import Fourier, Hinge
from models.league.net import Net
from models.league.tree import Tree

MIXTURE: Final = "mixture"
CHAMPION: Final = MIXTURE
"""Serves until another is shown to be better."""
ENTRANTS: Final[dict[str, Callable[[float], Learner]]] = {
    "logistic": classifier,
    "dynamic": Dynamic,
    "hinge": Hinge,
    "fourier": Fourier,
    "net": Net,
    "boosted": Boosted,
    "tree": Tree,
    "forest": Forest,
}
"""Made from the prior probability."""
TRIVIAL: Final[dict[str, Callable[[float], Learner]]] = {
    "last_100": lambda prior: RecentRate(prior, 100.0),
    "last_1000": lambda prior: RecentRate(prior, 1_000.0),
}
MIXED: Final = ("logistic", "dynamic", "hinge", "boosted")
"""Members of the mixture: all can be compiled. So can a buy-till-you-die model, where a league has one."""
EVERY: Final = 50
"""Examples between looks for a promotion."""
EARLIEST: Final = 200
"""Examples before the first."""
