"""CPU time of each entrant of a league of labels, an example: what `models/league/budget.py` declares.

Examples have the 21 features and 20 attributes; fits now and then are measured, too.
"""

import json
import pickle
import sys
from time import process_time

import numpy as np

from models.customers.features import NATURAL
from models.league.roster import ENTRANTS

EXAMPLES = 12_000
NAMES = (*NATURAL, *(f"@{slot}?" for slot in range(20)))


def rows(count: int, seed: int = 1):
    """Examples and labels with a signal in a line and in a curve."""
    draw = np.random.default_rng(seed)
    for _ in range(count):
        x = draw.normal(size=len(NAMES))
        z = -1.5 + x[0] + (abs(x[1]) > 1.0) - 0.5 * x[2]
        yield dict(zip(NAMES, x.tolist(), strict=True)), float(draw.random() < 1.0 / (1.0 + np.exp(-z)))


def measure(name: str, count: int = EXAMPLES) -> dict[str, float]:
    """Microseconds of CPU an example to score and to learn, and bytes of the state."""
    learner, scoring, learning = ENTRANTS[name](0.1), 0.0, 0.0
    for x, y in rows(count):
        began = process_time()
        learner.score_one(x)
        scored = process_time()
        learner.learn_one(x, y)
        learned = process_time()
        scoring, learning = scoring + scored - began, learning + learned - scored
    found = {"score": 1e6 * scoring / count, "learn": 1e6 * learning / count}
    return {part: round(value, 1) for part, value in found.items()} | {"bytes": len(pickle.dumps(learner.state()))}


if __name__ == "__main__":
    found = {name: measure(name, int(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLES) for name in ENTRANTS}
    print(json.dumps(found, indent=1))
