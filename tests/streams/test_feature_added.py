"""A feature is one function; what was kept without it is good, and what comes after learns with it."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from models.customers.features import NATURAL
from models.league.snapshot import freeze
from models.policy import Policy
from models.shard import Shop
from schemas.codec import encode
from schemas.serving import encode_model
from streams.backtest import backtest
from streams.replay.simulated import Simulation

ROOT = Path(__file__).parents[2]
LATER = '''
import asyncio, pickle, sys
from models.customers.catalogue import feature

@feature("purchases", "transactions")
def orders_half(one):
    """Half of them."""
    return one.state.orders / 2

from models.customers.features import NATURAL, natural
from models.league.snapshot import thaw
from models.policy import Policy
from models.shard import Shop
from schemas.codec import decode_any
from msgspec.structs import replace
from schemas.serving import decode_model
from schemas.state import decode_remembered
from streams.backtest import Backtest

frozen, parts, served, ledger, offsets, lines = pickle.loads(sys.stdin.buffer.read())
test = Backtest(Shop(Policy(window_days=20.0, draw_days=7.0, lateness=0.0)))
test.learning.restore(thaw(frozen, b"key"), parts)
old = replace(test.learning.serving(), response=decode_model(served))
assert "orders_half" not in old.response.linear[0].features
test.models, test.versions, test.ledger, test.offsets = old, test.learning.versions(), ledger, offsets
known = test.learning.leagues["response"].examples
asyncio.run(test.run([decode_any(line) for line in lines]))
new = test.learning.serving()
learned = test.learning.leagues["response"].examples - known
assert learned > 20, learned
state = next(decode_remembered(body).state for shard in ledger.shards.values() for body in shard.states.values())
assert natural(state, 2e9, "GBP")[-1] == state.orders / 2 and NATURAL[-1] == "orders_half"
dynamic = [one for one in new.response.linear if "orders_half" in one.features]
assert any(one.weights[one.features.index("orders_half")] for one in dynamic), "nobody learned from it"
print("learned", learned)
'''


@pytest.fixture(scope="module")
def kept():
    events = list(Simulation(100, 1_800, seed=3, days=120).events())
    test = backtest(events[:1_200], Shop(Policy(window_days=20.0, draw_days=7.0, lateness=0.0)))
    learning = test.learning
    frozen = freeze(learning.state(), b"key")
    served = encode_model(learning.serving().response)
    return pickle.dumps(
        (frozen, learning.parts(), served, test.ledger, test.offsets, list(map(encode, events[1_200:])))
    )


def test_old_states_pending_examples_and_models_go_on_with_one_feature_more(kept):
    ended = subprocess.run([sys.executable, "-c", LATER], input=kept, capture_output=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stderr.decode()[-2_000:]
    assert b"learned" in ended.stdout


def test_released_features_keep_their_places():
    assert NATURAL[:21] == (
        "recency_days", "tenure_days", "orders", "refunds", "spend", "mean_order", "gap_mean_days", "gap_ratio",
        "orders_7d", "orders_30d", "orders_90d", "spend_7d", "spend_30d", "spend_90d", "has_bought", "has_gap",
        "categories", "sent", "opened", "clicked", "converted",
    )  # fmt: skip
