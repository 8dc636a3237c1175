"""A league's time budget: what learning an example may cost, and who sees only a share of them to keep to it.

Nothing here measures time: what is learned must be the same whoever learns it again. Costs are declared, from
`benchmarks/entrants.py`, which says how; the budget changes by a record of the topic `examples` alone.
"""

from collections.abc import Collection, Mapping
from typing import Final

BUDGET: Final = 800.0
"""Microseconds of CPU that an example of one task may cost in all."""
COSTS: Final[dict[str, float]] = {
    "logistic": 80.0,
    "dynamic": 80.0,
    "hinge": 85.0,
    "fourier": 110.0,
    "net": 120.0,
    "boosted": 450.0,
    "tree": 300.0,
    "forest": 400.0,
    "pareto_nbd": 60.0,
}
"""Microseconds to score and learn one example of 41 features on one core, fits included, by entrant."""
UNKNOWN: Final = 100.0
"""What an entrant costs of which nobody has said it."""
RAREST: Final = 64
"""An entrant sees at least one example in so many, or none: of fewer it would learn nothing."""


def every(names: Collection[str], spared: Collection[str], budget: float = BUDGET) -> dict[str, int]:
    """Return who sees one example in how many: 0 is none at all, and who sees all is left out.

    The share of whoever takes most is halved until all together keep to the budget. Those who serve or may
    (`spared`) keep theirs as long as another can be halved or benched; they are never benched.

    >>> every(["logistic", "tree", "forest"], ["logistic"], 200.0)
    {'tree': 8, 'forest': 8}
    """
    seen = dict.fromkeys(names, 1)
    while spent(seen) > budget:
        others = [name for name in seen if name not in spared and seen[name]]
        some = others or [name for name in seen if seen[name] < RAREST and seen[name]]
        if not some:
            break
        dearest = max(some, key=lambda name: (cost_of(name) / seen[name], name))
        seen[dearest] = seen[dearest] * 2 if seen[dearest] < RAREST else 0
    return {name: share for name, share in seen.items() if share != 1}


def cost_of(name: str) -> float:
    """Return an entrant's declared cost in microseconds an example."""
    return COSTS.get(name, UNKNOWN)


def spent(seen: Mapping[str, int]) -> float:
    """Return microseconds an example in the mean, of entrants that see one in so many."""
    return sum(cost_of(name) / share for name, share in seen.items() if share)
