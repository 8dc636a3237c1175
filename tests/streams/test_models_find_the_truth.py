"""On a shop whose truth is known, the scores that were served find nearly all that the events show.

Judged is what was served at the decision, once its outcome matured, on the same examples as the best guess: the
probability by Bayes' rule for who knows the shop's laws but sees events alone. Who has left, segments
and moods are hidden from it as from a model, so the full truth ranks better than anybody can.
"""

import asyncio
from collections import defaultdict

import numpy as np
import pytest
from msgspec import Struct
from scipy.stats import rankdata

from models.customers.advance import next_draw
from models.policy import DAY, Policy
from models.shard import Shop
from schemas.events import Sent
from streams.backtest import Backtest
from streams.replay.simulated import START, Simulation
from streams.replay.simulated.best import BestGuess

pytestmark = pytest.mark.timeout(900)  # two backtests, a minute on a machine of one's own
CUSTOMERS, EVENTS = 1_000, 24_000


class Judged(Struct):
    at: float
    came: bool
    served: float
    best: float
    truth: float


def auc(judged, name):
    came = np.array([one.came for one in judged])
    ranks = rankdata([getattr(one, name) for one in judged])
    positives = came.sum()
    wins = ranks[came].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(came) - positives)))


def share(judged, of="best"):
    """Of the gain over chance."""
    return (auc(judged, "served") - 0.5) / (auc(judged, of) - 0.5)


def learned_in(events, policy):
    """Run a backtest, and keep the examples as the learner was given them."""
    test, given = Backtest(Shop(policy, (), 1)), defaultdict(list)
    take = test.learning.take

    def keep(task, rows):
        given[task] += [dict(row) for row in rows if "served" in row]
        take(task, rows)

    test.learning.take = keep
    asyncio.run(test.run(events))
    return given


def who_was_drawn(draw_days):
    """Moment within the period of draws -> customer, where it is one customer's alone."""
    drawn = defaultdict(list)
    for number in range(CUSTOMERS):
        drawn[next_draw(f"c{number}", 0.0, draw_days) % (draw_days * DAY)].append(f"c{number}")
    return {phase: some[0] for phase, some in drawn.items() if len(some) == 1}


def judge(simulation, events, heard, given, policy):
    """Served, best guess and truth of each example: of churn, and of response."""
    best, churn, response = BestGuess(simulation.people, simulation.truth), [], []
    drawn = who_was_drawn(policy.draw_days)
    examples = sorted(given["churn"], key=lambda row: row["at"])[::-1]
    told = {(one.campaign_id, one.at): one for one in heard}
    sent = {(row["campaign"], row["at"]): row for row in given["response"] if row["treated"]}
    for event in events:
        at = event.occurred_at.timestamp()
        while examples and examples[-1]["at"] <= at:
            row = examples.pop()
            customer = drawn.get(row["at"] % (policy.draw_days * DAY))
            if customer is not None:
                guess = best.no_purchase(customer, row["at"], policy.window_days)
                known = simulation.truth.no_purchase(customer, row["at"], policy.window_days)
                churn.append(Judged(row["at"], bool(row["y"]), row["served"], guess, known))
        if isinstance(event, Sent) and (event.campaign_id, at) in sent:
            row, one = sent[event.campaign_id, at], told[event.campaign_id, at]
            assert bool(row["y"]) == one.converts
            response.append(Judged(at, one.converts, row["served"], best.response(event), one.response))
        best.take(event)
    return {"churn": churn, "response": response}


@pytest.fixture(scope="module", params=[(30.0, 11), (90.0, 12)], ids=["30 days", "90 days"])
def found(request):
    window, seed = request.param
    policy, heard = Policy(window_days=window), []
    simulation = Simulation(CUSTOMERS, EVENTS, seed)
    events = list(simulation.events(heard.append))
    judged = judge(simulation, events, heard, learned_in(events, policy), policy)
    judged["churn, later"] = warm = [one for one in judged["churn"] if one.at >= START.timestamp() + 2 * window * DAY]
    assert len(warm) > 1_500
    for task, some in judged.items():
        figures = ", ".join(f"{name} {auc(some, name):.4f}" for name in ("served", "best", "truth"))
        print(f"{task} {window:.0f} days: {len(some)} examples, AUC {figures}, share {share(some):.3f}")  # noqa: T201 - pytest -rP shows it
    return judged


def test_the_best_guess_is_calibrated_and_between_chance_and_the_truth(found):
    """Otherwise it would be an easy mark."""
    for judged in found.values():
        assert 0.75 < auc(judged, "best") < auc(judged, "truth")
        guess, came = np.array([one.best for one in judged]), np.array([one.came for one in judged])
        for third in np.array_split(np.argsort(guess), 3):
            assert came[third].mean() == pytest.approx(guess[third].mean(), abs=0.03)


def test_response_is_found(found):
    """From the first score on, the cold ones included."""
    assert len(found["response"]) > 5_000
    assert share(found["response"]) >= 0.9


def test_churn_is_found(found):
    """From the first score on, though the first label comes a window after the first draw; later it is near the best."""
    assert share(found["churn"]) >= 0.9
    assert share(found["churn, later"]) >= 0.93
