"""Score everybody at one moment, and judge by what follows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
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


class Followed:
    """What customers did in the `days` after one moment, and for how many of these days there are sales.

    Parameters
    ----------
    at
        The moment, in epoch seconds.
    days
        Asked for.
    policy
        Its currency; and its `max_jump`, beyond which a later time is not believed.
    """

    def __init__(self, at: float, days: float, policy: Policy) -> None:
        self.at, self.asked, self.policy = at, days, policy
        self.came: dict[str, Came] = {}
        self.last: float | None = None
        self.whole = False

    def count(self, event: Event) -> bool:
        """Take in an event after the moment, in order of time; return whether a later one can matter."""
        if not isinstance(event, Purchase | Refund):
            return True
        at = event.occurred_at.timestamp()
        if at <= self.at:
            return True
        if at > self.at + self.asked * DAY:
            self.whole = at - (self.at if self.last is None else self.last) <= self.policy.max_jump
            return False
        self.last = at
        if event.customer_id is not None:
            came, sign = self.came.setdefault(event.customer_id, Came()), 1 if isinstance(event, Purchase) else -1
            came.orders += sign > 0
            if event.currency == self.policy.currency:
                came.spend_e4 += sign * amount_e4(event.lines)
        return True

    @property
    def days(self) -> float:
        """Days after the moment that can be judged: as asked, or to the end of the last sale's day (UTC).

        Where sales end sooner, nobody could buy in what is left, and that says nothing about anybody.
        """
        if self.whole or self.last is None:
            return self.asked if self.whole else 0.0
        return min(self.asked, self.last // DAY + 1.0 - self.at / DAY)


class LookAhead(Struct):
    """All customers who have bought, as they stood and were scored at one moment, and what came of it.

    `scores` are by task and entrant, arrays of shape (n,), for the coming `days`; the first of a task
    is what serves. `asked` are the days that were to be judged, where sales go on for so long.
    """

    at: float
    days: float
    asked: float
    scores: dict[str, dict[str, Array]]
    baselines: dict[str, frozenset[str]]
    came: dict[str, Came]

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
            "window_days": self.days,
            "positives": int((came > 0).sum()),
            "champion": champion,
            "models": {name: one for name, one in figures.items() if name not in trivial or name == champion},
            "baselines": {name: one for name, one in figures.items() if name in trivial},
        }


def look_ahead(
    customers: Mapping[str, CustomerState], followed: Followed, learning: Learning, policy: Policy
) -> LookAhead:
    """Score everybody who had bought, with what was learned by the moment, for the days that can be judged.

    `customers` are their states at the moment, by id.

    What was learned from examples looks `window_days` ahead. Another horizon stretches it, each
    customer's score by how far the buy-till-you-die model's own goes with it. Trivial answers are stretched alike for
    everybody, as if nothing changed with time: they must owe their order to no model.
    """
    known = {name: state for name, state in customers.items() if state.first_purchase is not None}
    x = scaled([natural(state, followed.at, policy.currency) for state in known.values()]).astype(np.float64)
    pairs = [{pair.key: pair.value for pair in customer_pairs(state.attributes)} for state in known.values()]
    stretch = _Stretch(learning, x, followed.days, policy.window_days)
    scores = {task: _asked(learning, task, x, pairs, stretch) for task in TASKS}
    trivial = {task: frozenset(scores[task]) & TRIVIAL for task in TASKS}
    came = {name: followed.came.get(name, Came()) for name in known}
    return LookAhead(followed.at, followed.days, followed.asked, scores, trivial, came)


class _Stretch:
    """From the window that was learned to the horizon that is asked."""

    def __init__(self, learning: Learning, x: Array, days: float, window: float) -> None:
        self.days, self.ratio, model = days, days / window, learning.leagues.draws.fitted.get(LIFETIMES)
        self.amounts, self.silence = np.full(len(x), self.ratio), np.full(len(x), self.ratio)
        if model is not None and days != window:
            history = customers_of(x[:, COLUMNS])
            self.amounts = purchases(model, history, days) / purchases(model, history, window)
            far, near = (np.log(np.clip(none_within(model, history, d), 1e-9, 1.0 - 1e-9)) for d in (days, window))
            self.silence = far / near

    def __call__(self, task: str, name: str, scores: Array) -> Array:
        """Return amounts times, and probabilities of no purchase to the power of, what the horizon makes of them."""
        by = self.ratio if name in TRIVIAL else self.silence if task == "churn" else self.amounts
        stretched: Array = scores**by if task == "churn" else scores * by
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
            found[name] = stretch(task, name, scores)
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
