"""A shop's change of regime: one segment answers offers the other way round, and the served scores recover.

Quality is the AUC gain over chance as a share of the gain that the known truth itself has on the same examples, so
that a stretch that is easier or harder for anybody counts for nothing. Windows are 1,000 matured examples.
"""

import asyncio

import numpy as np
import pytest
from scipy.stats import rankdata

from models.league.promotion import THRESHOLD
from models.league.roster import MIXTURE
from models.policy import DAY, Policy
from models.shard import Shop
from streams.backtest import Backtest
from streams.replay.simulated import START, Simulation

pytestmark = pytest.mark.timeout(900)  # a minute on a machine of one's own
FLIP_DAY, WINDOW, ALLOWED = 300, 1_000, 5_000


def gain(came, score):
    ranks, positives = rankdata(score), came.sum()
    wins = ranks[came == 1].sum() - positives * (positives + 1) / 2
    return wins / (positives * (len(came) - positives)) - 0.5


@pytest.fixture(scope="module")
def flipped():
    """(at, came, served, truth) of each contact in the order of decisions, and the league."""
    heard, given = [], []
    simulation = Simulation(1_200, 32_000, 21, 600, {"bargain": FLIP_DAY})
    test = Backtest(Shop(Policy(lateness=0.0, window_days=30.0), (), 1))
    learning = test.learning
    take, ask = learning.take, learning.ask

    def response_alone(task, rows):  # the other tasks' learning has no part in this
        if task == "response":
            given.extend((row["at"], row["campaign"], row["y"], row["served"]) for row in rows if row["treated"])
            take(task, rows)

    learning.take = response_alone
    learning.ask = lambda some: ask([one for one in some if one.task == "response"])
    asyncio.run(test.run(simulation.events(heard.append)))
    truth = {(one.campaign_id, one.at): one.response for one in heard}
    rows = sorted((at, came, served, truth[campaign, at]) for at, campaign, came, served in given)
    return np.array(rows), learning.leagues["response"]


def test_a_flip_is_recovered_from_within_5_000_examples(flipped):
    rows, _ = flipped
    flip = int((rows[:, 0] < START.timestamp() + FLIP_DAY * DAY).sum())
    assert flip > 3_000
    assert len(rows) >= flip + ALLOWED

    def share(begin):
        some = rows[begin : begin + WINDOW]
        return gain(some[:, 1], some[:, 2]) / gain(some[:, 1], some[:, 3])

    old = share(flip - WINDOW)
    after = {begin: share(flip + begin) for begin in range(0, ALLOWED, WINDOW)}
    told = ", ".join(f"{begin}: {found:.3f}" for begin, found in after.items())
    print(f"share of the truth's gain: before {old:.3f}, after so many {told}")  # noqa: T201 - pytest -rP shows it
    assert old > 0.8
    assert min(after.values()) < 0.95 * old  # it is felt
    assert after[ALLOWED - WINDOW] >= 0.9 * old


def test_the_flip_is_told_with_its_reason(flipped):
    rows, league = flipped
    flip = int((rows[:, 0] < START.timestamp() + FLIP_DAY * DAY).sum())
    alarms = [change for change in league.changes if change.what == "drift" and change.examples > flip]
    assert alarms
    assert alarms[0].examples <= flip + ALLOWED
    assert "moved from" in alarms[0].reason


def test_nobody_is_promoted_for_members_learn_anew_themselves(flipped):
    """What recovers is each member: none is better than the one that leads by the evidence that a change asks for."""
    rows, league = flipped
    assert len(rows) > ALLOWED
    assert [change for change in league.changes if change.what in ("lead", "promotion")] == []
    assert league.champion_name == MIXTURE
    evidence = {name: league.lead.contest.evidence(name) for name in league.lead.contest.wealth}
    assert set(evidence) == set(league.mixed) - {league.lead.name}
    assert max(evidence.values()) < THRESHOLD
