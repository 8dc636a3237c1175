"""What each figure adds to an answer: exact for any model of a few figures."""

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

Answer = Callable[[dict[str, float]], float]


def reasons(answer: Answer, x: Mapping[str, float]) -> dict[str, Any]:
    """Share out what figures add to an answer, by Shapley values; one that is left out is 0, as on a usual day.

    The answer is asked for each of the 2^n choices of figures, so n should be small. Of a linear answer an effect is
    weight times figure.

    Returns
    -------
    dict
        `base`, the answer where every figure is 0, and `effects` by figure: base and effects add up to the answer.

    References
    ----------
    Strumbelj and Kononenko (2014), Explaining prediction models and individual predictions with feature contributions,
    Knowledge and Information Systems 41, 647-665, equation 6.
    """
    names = [name for name, value in x.items() if value != 0.0]
    usual = dict.fromkeys(x, 0.0)
    answers = {
        frozenset(some): answer(usual | {name: x[name] for name in some})
        for size in range(len(names) + 1)
        for some in combinations(names, size)
    }
    n, effects = len(names), dict.fromkeys(x, 0.0)
    for name in names:
        for some, before in answers.items():
            if name not in some:
                weight = 1.0 / (n * math.comb(n - 1, len(some)))
                effects[name] += weight * (answers[some | {name}] - before)
    return {"base": answers[frozenset()], "effects": effects}
