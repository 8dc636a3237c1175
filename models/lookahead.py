"""Score everybody at one moment, and judge by what follows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from models.customers.attributes import customer_pairs
from models.customers.features import NATURAL, natural, scaled
from models.league.prequential import AmountQuality, BinaryQuality, share_in_best_tenth
from models.league.roster import TRIVIAL as RATES
from models.learning import LIFETIMES, Learning
from models.lifetimes.entrant import LifetimeEntrant
from models.lifetimes.predict import none_within, purchases
from models.lifetimes.serve import customers_of
from models.policy import DAY, Policy
from models.receipt import E4, amount_e4
from models.serving import predictions, score_matrix
from schemas.events import Event, Purchase, Refund
from schemas.state import CustomerState

Array = NDArray[np.float64]
TASKS: Final = ("churn", "value", "purchases")
TRIVIAL: Final = frozenset({"base_rate", "recency_days", "running_mean", "persistence", *RATES})
"""Entrants that are shown as baselines, unless one of them serves."""
COLUMNS: Final = tuple(NATURAL.index(name) for name in ("recency_days", "orders", "spend", "tenure_days"))


class Came(Struct):
    """What one customer did since: purchases, and spend less refunds in 1/10,000 of the main currency."""

    orders: int = 0
    spend_e4: int = 0


class LookAhead(Struct):
    """All customers who have bought, as they stood and were scored at one moment.

    `scores` are by task and entrant, arrays of shape (n,), for the coming `days`; the first of a task
    is what serves.
    """

    at: float
    days: float
    currency: str
    scores: dict[str, dict[str, Array]]
    baselines: dict[str, frozenset[str]]
    came: dict[str, Came] = field(default_factory=dict)

    def count(self, event: Event) -> None:
        """Take in an event after the moment; what lies beyond the horizon, or is of others, counts nothing."""
        if not isinstance(event, Purchase | Refund) or event.customer_id not in self.came:
            return
        if not self.at < event.occurred_at.timestamp() <= self.at + self.days * DAY:
            return
        came, sign = self.came[event.customer_id], 1 if isinstance(event, Purchase) else -1
        came.orders += sign > 0
        if event.currency == self.currency:
            came.spend_e4 += sign * amount_e4(event.lines)

    def report(self) -> dict[str, Any]:
        """Return `churn`, `value` and `purchases`, each as a task of the report."""
        orders = np.array([came.orders for came in self.came.values()], dtype=np.float64)
        spend = np.array([max(came.spend_e4, 0) / E4 for came in self.came.values()])
        outcomes = {"churn": (orders == 0).astype(np.float64), "value": spend, "purchases": orders}
        return {task: self._task(task, outcomes[task]) for task in self.scores}

    def _task(self, task: str, came: Array) -> dict[str, Any]:
        judge = of_labels if task == "churn" else of_amounts
        figures = {name: judge(came, score) for name, score in self.scores[task].items()}
        trivial, champion = self.baselines[task], next(iter(figures))
        return {
            "examples": len(came),
            "positives": int((came > 0).sum()),
            "champion": champion,
            "models": {name: one for name, one in figures.items() if name not in trivial or name == champion},
            "baselines": {name: one for name, one in figures.items() if name in trivial and name != champion},
        }


def look_ahead(
    customers: Mapping[str, CustomerState], at: float, days: float, learning: Learning, policy: Policy
) -> LookAhead:
    """Score everybody who has bought with what was learned by `at`, in epoch seconds, for the coming `days`.

    What was learned from examples looks `window_days` ahead. Another horizon stretches it, each
    customer's score by how far the buy-till-you-die model's own goes with it.
    """
    known = {name: state for name, state in customers.items() if state.first_purchase is not None}
    x = scaled([natural(state, at, policy.currency) for state in known.values()]).astype(np.float64)
    pairs = [{pair.key: pair.value for pair in customer_pairs(state.attributes)} for state in known.values()]
    stretch = _Stretch(learning, x, days, policy.window_days)
    scores = {task: _asked(learning, task, x, pairs, stretch) for task in TASKS}
    trivial = {task: frozenset(scores[task]) & TRIVIAL for task in TASKS}
    return LookAhead(at, days, policy.currency, scores, trivial, {name: Came() for name in known})


class _Stretch:
    """From the window that was learned to the horizon that is asked."""

    def __init__(self, learning: Learning, x: Array, days: float, window: float) -> None:
        self.days, model = days, learning.leagues.draws.fitted.get(LIFETIMES)
        self.amounts, self.silence = np.full(len(x), days / window), np.full(len(x), days / window)
        if model is not None and days != window:
            history = customers_of(x[:, COLUMNS])
            self.amounts = purchases(model, history, days) / purchases(model, history, window)
            far, near = (np.log(np.clip(none_within(model, history, d), 1e-9, 1.0 - 1e-9)) for d in (days, window))
            self.silence = far / near

    def __call__(self, task: str, scores: Array) -> Array:
        """Return amounts times, and probabilities of no purchase to the power of, what the horizon makes of them."""
        stretched: Array = scores**self.silence if task == "churn" else scores * self.amounts
        return stretched


def _asked(
    learning: Learning, task: str, x: Array, pairs: Sequence[Mapping[int, float]], stretch: _Stretch
) -> dict[str, Array]:
    """Every entrant's scores, shape (n,), the one that serves first."""
    league = learning.leagues[task]
    rows = [dict(zip(NATURAL, row, strict=True)) for row in x.tolist()]
    lives = {name: one for name, one in league.entrants().items() if isinstance(one, LifetimeEntrant)}
    for entrant in lives.values():
        entrant.prepare(rows)
    answers = [league.ask(row, some) for row, some in zip(rows, pairs, strict=True)]
    everybody = set.intersection(*map(set, answers)) if answers else set()  # who sees a share answers a share
    found = {name: np.array([answer[name] for answer in answers]) for name in sorted(everybody)}
    for name, scores in found.items():
        model = lives[name].within(stretch.days).compiled(task, "", NATURAL) if name in lives else None
        if model is None:
            found[name] = stretch(task, scores)
        else:
            found[name] = np.array(predictions(model, score_matrix(model, x[:, COLUMNS])[0]))
    champion = learning.leagues.champion(task)
    return {name: found[name] for name in sorted(found, key=lambda name: name != champion)}


def of_labels(came: Array, score: Array) -> dict[str, float | None]:
    """Figures of probabilities against labels of 0 or 1, both of shape (n,); `auc` is exact."""
    quality = BinaryQuality()
    for label, probability in zip(came.tolist(), score.tolist(), strict=True):
        quality.update(label, probability, 0.0)
    from scipy.stats import rankdata  # slow to import, and a worker never comes here

    positives = came > 0
    n, m = int(positives.sum()), int((~positives).sum())
    auc = (rankdata(score)[positives].sum() - n * (n + 1) / 2) / (n * m) if n and m else None
    return quality.report() | {"auc": None if auc is None else float(auc), "auc_within": None}


def of_amounts(came: Array, score: Array) -> dict[str, float | None]:
    """Figures of predicted amounts, both of shape (n,); `spearman` and `top_10_share` are exact."""
    quality = AmountQuality()
    for amount, predicted in zip(came.tolist(), score.tolist(), strict=True):
        quality.update(amount, predicted, 0.0)
    from scipy.stats import spearmanr

    _, place = np.unique(score, return_inverse=True)
    counts, totals = np.bincount(place).tolist(), np.bincount(place, weights=came).tolist()
    varied = len(counts) > 1 and len(np.unique(came)) > 1
    return quality.report() | {
        "spearman": float(spearmanr(score, came).statistic) if varied else None,
        "top_10_share": share_in_best_tenth(counts, totals),
    }
