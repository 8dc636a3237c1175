"""Requests of operators: done once, at their place, with a reason; versions that serve again to the bit."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.customers.features import NATURAL
from models.league.budget import BUDGET
from models.league.fallback import persistence
from models.league.snapshot import freeze, thaw
from models.learning import Learning
from models.learning.care import KEPT, REMEMBERED, Care, Kept
from models.policy import Policy
from schemas.requests import DONE, OPERATOR, Request
from schemas.serving import encode_model

KEY = b"a key of these tests"


def rows(seed, count, task):
    draw = np.random.default_rng(seed)
    for n in range(count):
        x = np.abs(draw.normal(size=len(NATURAL))).astype("<f2")
        y = float(draw.random() < 1 / (1 + np.exp(1.0 - 2.0 * x[0]))) * (1.0 if task != "value" else float(10 * x[1]))
        yield {"at": 1e9 + n, "x": x.tobytes(), "y": y, "served": 0.5}


def taught(count=400, seed=1, name=""):
    learning = Learning(Policy(), name=name)
    feed(learning, seed, count)
    return learning


def feed(learning, seed, count):
    for task in ("churn", "value"):
        some = list(rows(seed, count, task))
        for begin in range(0, count, 25):
            learning.take(task, some[begin : begin + 25])


def ask(learning, id_, what, task, **more):
    learning.take(OPERATOR, [{"id": id_, "what": what, "task": task} | more])
    return learning.leagues.care.asked[id_]


def serving(learning, task="churn"):
    return encode_model(getattr(learning.serving(), task))


def test_who_is_promoted_serves_under_a_new_version_and_the_reason_stands():
    learning = taught()
    before = learning.serving().churn
    assert ask(learning, "a1", "promote", "churn", model="dynamic", why="the other one is odd") == DONE
    after = learning.serving().churn
    assert (learning.leagues.champion("churn"), after.version) == ("dynamic", f"{learning.leagues['churn'].examples}.1")
    assert after.version != before.version  # scorers compare versions: without a new one they would not look
    change = learning.report()["tasks"]["churn"]["changes"][-1]
    assert (change["what"], change["model"], change["before"]) == ("promotion", "dynamic", "mixture")
    assert change["reason"] == "asked for by operator (a1): the other one is odd"


def test_a_request_that_comes_twice_is_done_once():
    learning = taught()
    ask(learning, "a1", "promote", "churn", model="dynamic")
    ask(learning, "a2", "promote", "churn", model="logistic")
    ask(learning, "a1", "promote", "churn", model="dynamic")
    assert learning.leagues.champion("churn") == "logistic"
    changes = learning.report()["tasks"]["churn"]["changes"]
    assert sum("operator" in change["reason"] for change in changes) == 2


@pytest.mark.parametrize(
    ("what", "task", "more", "words"),
    [
        ("promote", "churn", {"model": "oracle"}, "oracle cannot serve churn"),
        ("promote", "churn", {"model": "net"}, "net cannot serve churn"),
        ("promote", "churn", {"model": "mixture"}, "mixture serves churn already"),
        ("promote", "churn", {}, "serves churn already"),
        ("promote", "weather", {"model": "dynamic"}, "there is no league weather"),
        ("promote", "brand_choice", {"model": "own_share"}, "not by request: response, churn, value, purchases can be"),
        ("promote", "sentiment", {"model": "naive_bayes"}, "sentiment is served by what its own figures say"),
        ("promote", "demand", {"model": "logistic"}, "demand is served by what its own figures say"),
        ("rollback", "segments", {"version": "1"}, "segments is served by what its own figures say"),
        ("budget", "demand", {"microseconds": 100.0}, "demand is served by what its own figures say"),
        ("promote", "value", {"model": "running_mean"}, "running_mean cannot serve value"),
        ("promote", "purchases", {"model": "running_mean"}, "running_mean cannot serve purchases"),
        ("rollback", "churn", {"version": "99999"}, "no version 99999"),
        ("budget", "value", {"microseconds": 100.0}, "value has no budget"),
        ("budget", "churn", {}, "a number of microseconds above 0"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words_and_changes_nothing(what, task, more, words):
    learning = taught()
    before = msgspec.json.encode([serving(learning, name) for name in ("churn", "value")])
    changes = learning.report()["tasks"]["churn"]["changes"]
    assert words in ask(learning, "a1", what, task, **more)
    assert msgspec.json.encode([serving(learning, name) for name in ("churn", "value")]) == before
    assert learning.report()["tasks"]["churn"]["changes"] == changes


def test_an_earlier_version_serves_again_to_the_bit_until_it_is_released():
    learning = taught(120)
    wanted = serving(learning)
    version = learning.leagues.care.kept["churn"][-1].version
    learning.leagues.keep("churn")
    version = learning.leagues.care.kept["churn"][-1].version
    feed(learning, 2, 50)
    assert serving(learning) != wanted
    assert ask(learning, "a1", "rollback", "churn", version=version) == DONE
    assert serving(learning) == wanted
    feed(learning, 3, 300)  # the league learns on, and many versions are kept after it
    assert serving(learning) == wanted
    assert learning.leagues["churn"].examples == 470
    assert learning.report()["tasks"]["churn"]["rolled_back_to"] == version
    assert ask(learning, "a2", "rollback", "churn", version=version) == f"version {version} of churn serves already"
    assert ask(learning, "a3", "promote", "churn") == DONE
    assert serving(learning) != wanted
    whats = [change["what"] for change in learning.report()["tasks"]["churn"]["changes"] if change["what"] != "drift"]
    assert whats[-2:] == ["rollback", "release"]


def test_a_budget_benches_the_dear_ones_from_its_place_on_and_says_so():
    learning = taught(60)
    league = learning.leagues["churn"]
    before, learned = league.learners["net"].seen, league.learners["dynamic"].seen
    assert ask(learning, "a1", "budget", "churn", microseconds=760.0, why="a slow machine") == DONE
    feed(learning, 2, 300)
    report = learning.report()["tasks"]["churn"]
    assert league.learners["net"].seen - before <= 20  # one in 64, or none
    assert league.learners["dynamic"].seen == learned + 300  # who may serve sees all
    assert report["budget"]["spent"] <= report["budget"]["microseconds"] == 760.0
    assert report["budget"]["benched"] == [name for name, share in report["shares"].items() if not share] != []
    told = report["changes"][-1]
    assert (told["what"], told["model"], told["before"]) == ("budget", "760", f"{BUDGET:g}")
    assert "a slow machine" in told["reason"]
    again = Learning(Policy())
    again.restore(thaw(freeze(learning.state(), KEY), KEY), learning.parts())
    for one in (learning, again):
        feed(one, 3, 60)
    assert again.leagues["churn"].report() == league.report()


def test_beyond_all_benching_who_may_serve_learns_less_and_still_serves():
    learning = taught(30)
    assert ask(learning, "a1", "budget", "churn", microseconds=30.0) == DONE
    league = learning.leagues["churn"]
    learned, judged = league.learners["boosted"].seen, league.fresh["boosted"].count
    feed(learning, 2, 300)
    assert league.learners["boosted"].seen - learned < 60
    assert league.fresh["boosted"].count - judged == 300
    assert league.report()["budget"]["spent"] <= 30.0


def test_a_promotion_of_an_amount_serves_and_is_noted():
    learning = taught()
    before = learning.leagues.champion("value")
    other = "persistence" if before == "log_linear" else "log_linear"
    assert ask(learning, "a1", "promote", "value", model=other, why="x") == DONE
    assert learning.leagues.champion("value") == other
    assert learning.serving().value.version.startswith(other)
    change = learning.report()["tasks"]["value"]["changes"][-1]
    assert (change["model"], change["before"]) == (other, before)
    assert change["reason"] == "asked for by operator (a1): x"


def test_a_learner_trained_anew_has_versions_of_its_own():
    first, anew = taught(120), taught(120, name="r1")
    assert serving(first) != serving(anew)
    assert anew.serving().churn.version == f"{first.serving().churn.version}@r1"
    assert [one.version for one in anew.leagues.care.kept["churn"]] == [
        f"{one.version}@r1" for one in first.leagues.care.kept["churn"]
    ]


def test_a_restored_learner_has_the_same_versions_requests_and_future():
    learning = taught(150, name="r1")
    learning.leagues.keep("churn")
    ask(learning, "a1", "rollback", "churn", version=learning.leagues.care.kept["churn"][0].version)
    ask(learning, "a2", "promote", "value", model="log_linear")
    restored = Learning(Policy())
    parts = {name: thaw(freeze(body, KEY), KEY) for name, body in learning.parts().items()}
    restored.restore(thaw(freeze(learning.state(), KEY), KEY), parts)
    for one in (learning, restored):
        assert ask(one, "a1", "promote", "churn", model="dynamic") == DONE  # known: not done again
        feed(one, 5, 60)
        ask(one, "a3", "promote", "churn")
    assert msgspec.json.encode(restored.serving()) == msgspec.json.encode(learning.serving())
    assert restored.leagues.care == learning.leagues.care
    assert restored.report()["tasks"]["churn"] == learning.report()["tasks"]["churn"]


def test_a_new_version_is_kept_where_the_champion_has_changed():
    learning = taught(300)
    kept = [one.version for one in learning.leagues.care.kept["churn"]]
    ask(learning, "a1", "promote", "churn", model="dynamic")
    assert learning.leagues.care.kept["churn"][-1].champion == "mixture"
    feed(learning, 2, 25)
    assert learning.leagues.care.kept["churn"][-1].champion == "dynamic"
    assert len(kept) < 12


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("khr"), st.integers(0, 40)), max_size=120))
def test_what_is_kept_is_bounded_and_what_serves_is_never_dropped(steps):
    care, league = Care(), Learning(Policy()).leagues["churn"]
    for number, (kind, version) in enumerate(steps):
        if kind == "k":
            name = str(number * 100 + version)
            care.keep("churn", persistence("churn", NATURAL[0], NATURAL), Kept(name, "c", number, 0.0))
        elif kind == "h" and care.kept.get("churn"):
            chosen = care.kept["churn"][version % len(care.kept["churn"])].version
            if care.held.get("churn") != chosen:
                care.hold("churn", chosen, league, "x")
        else:
            care.release("churn", league, "x")
        care.answer(f"{number}", "done")
        assert len(care.kept.get("churn", ())) <= KEPT
        assert len(care.bodies) == len(care.kept.get("churn", ()))
        assert (care.serving("churn") is None) == ("churn" not in care.held)
    assert len(care.asked) <= REMEMBERED


def test_requests_read_as_they_are_written():
    request = Request("a", "rollback", "churn", "", "120", "odd")
    assert msgspec.json.decode(msgspec.json.encode(request), type=Request) == request


def test_newly_fitted_parameters_that_persistence_carries_are_another_version():
    """Stages are read from them: under the same version nobody would publish them."""
    learning = Learning(Policy())
    cold = learning.serving().purchases
    assert learning.leagues.champion("purchases") == "persistence"
    seen = {cold.version: cold}
    draw = np.random.default_rng(3)
    for _ in range(500):
        tenure = float(draw.uniform(30, 300))
        orders = float(1 + draw.poisson(tenure / 60))
        values = [float(draw.uniform(0, tenure)), orders, 20.0 * orders, tenure, 20.0]
        learning.take("segments", [{"drawn": [values], "moves": {}}])
        model = learning.serving().purchases
        assert seen.setdefault(model.version, model) == model
    assert len(seen) >= 3
