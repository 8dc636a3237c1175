"""A short set of faults on real Kafka and Redis, and the oracle under test; `make chaos` runs the long ones."""

import time
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from chaos.broken import BROKEN
from chaos.found import SHOWN, find
from chaos.inject import STEPS, Plan, resolve
from chaos.job import Job
from chaos.oracle import judge, learn, model
from chaos.pins import learned
from chaos.records import make
from chaos.stack import Stack
from streams.settings import load_settings

SEED, EVENTS, PARTITIONS = 1, 1_500, 2
PATIENCE = 240
SHORT = [
    Plan("commit sent", "after", "kill", nth=6),
    Plan("commit sent", "after", "unavailable", nth=6),
    Plan("relay", "after", "kill", nth=6),
    Plan("trim", "before", "kill", nth=6),
    Plan("learner save", "after", "kill"),  # the first of what was learned: on a quick machine there is no other
    Plan("learner save sent", "after", "kill"),
    Plan("learner seek", "after", "unavailable"),  # taken, and nobody reads on
]


@pytest.fixture(scope="module")
def stack(services):
    return Stack(services.broker, services.redis)


@pytest.fixture(scope="module")
def made():
    return make(SEED, EVENTS, PARTITIONS, customers=200, broken=0.04)  # of every kind one


def run(stack, made, folder, plan, disturb=None):
    job = Job(stack, made, folder, learned())
    job.start(plan)
    try:
        if disturb is not None:
            disturb(job)
        job.run_until(job.finished, PATIENCE, "settled")
        assert job.acted(), job.tail()
        return find(job), job
    finally:
        assert not any(job.end()), job.tail()


def agree(differences):
    assert not differences, "\n".join(differences)


@pytest.fixture(scope="module")
def calm(stack, made, tmp_path_factory):
    return run(stack, made, tmp_path_factory.mktemp("calm"), Plan())[0]


@pytest.fixture(scope="module")
def policy():
    from chaos.job import GIVEN

    return load_settings(**GIVEN).policy


def test_the_undisturbed_run_is_right_by_itself(calm, made, policy):
    agree(judge(calm, None, made, policy, pinned=True))
    assert calm.states
    assert calm.triggers
    assert calm.packed == PARTITIONS
    assert calm.dead
    assert calm.report["tasks"]["churn"]["examples"] > 100
    assert made.broken.keys() == BROKEN.keys()
    assert {key.partition(":")[0] for key in calm.figures} == set(SHOWN)


def test_kill_9_changes_nothing(calm, made, tmp_path, stack, policy):
    def kill_twice(job):
        for share in (0.3, 0.6):
            job.run_until(partial(job.reached, share), PATIENCE, "a part")
            job.workers[0].child.kill()
            job.workers[0].child.wait()

    found, job = run(stack, made, tmp_path, Plan(pace=0.1), kill_twice)
    assert job.workers[0].starts == 3
    agree(judge(found, calm, made, policy, pinned=True))


@pytest.mark.parametrize("plan", SHORT, ids=lambda plan: f"{plan.act}-{plan.step}")
def test_a_fault_at_a_step_changes_nothing(plan, calm, made, tmp_path, stack, policy):
    found, job = run(stack, made, tmp_path, replace(plan, pace=0.05, once=str(tmp_path / "acted")))
    assert job.workers[0].starts == 1 + (plan.act == "kill")
    agree(judge(found, calm, made, policy, pinned=True))


def test_a_worker_that_is_slow_to_take_its_shards_goes_on(calm, made, tmp_path, stack, policy):
    slow = Plan("take", act="wait", seconds=12, once=str(tmp_path / "acted"))  # longer than a request to Kafka may take
    found, job = run(stack, made, tmp_path, slow)
    assert job.workers[0].starts == 1
    agree(judge(found, calm, made, policy, pinned=True))


def stop_in_the_middle(job):
    """Tell the worker to end while it is in the step of its plan, which takes longer than anybody waits."""
    job.run_until(job.acted, PATIENCE, "in the middle")
    began = time.monotonic()
    job.workers[0].child.terminate()
    assert job.workers[0].child.wait(20) == 0, job.tail()
    assert time.monotonic() - began < 10


def stop_while_a_shard_comes_back(job):
    job.run_until(partial(job.reached, 0.1), PATIENCE, "the first has all shards")
    second = job.start(Plan("take", "after", "wait", pace=0.1))  # for no time: it tells when it has a part
    job.run_until(Path(second.plan.once).exists, PATIENCE, "a part")
    second.stopped = True
    second.child.terminate()
    stop_in_the_middle(job)


@pytest.mark.parametrize(
    ("plan", "stop"),
    [
        (Plan("take", nth=PARTITIONS + 1), stop_while_a_shard_comes_back),
        (Plan("learner take"), stop_in_the_middle),
        (Plan("learner save"), stop_in_the_middle),
    ],
    ids=["rebalance", "learner-take", "learner-save"],
)
def test_told_to_stop_in_the_middle_a_worker_ends_cleanly_and_in_time(plan, stop, calm, made, tmp_path, stack, policy):
    held_up = replace(plan, act="wait", seconds=60, pace=0.1, once=str(tmp_path / "acted"))
    found, job = run(stack, made, tmp_path, held_up, stop)
    assert job.workers[0].starts == 2
    agree(judge(found, calm, made, policy, pinned=True))


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_where_the_plan_says(step):
    assert callable(resolve(STEPS[step])[2])


def lose_a_customer(found):
    found.states.pop(next(iter(found.states)))


def change_a_score(found):
    next(fields for fields in found.scores.values() if b"churn" in fields)[b"churn"] = b"0.123"


def move_a_timer(found):
    found.timers[next(iter(found.timers))] += 1


def forget_a_contact(found):
    found.standing[next(iter(found.standing))] = [[{}, [], None, None], []]


def skip_a_record(found):
    found.places[0]["topics"]["transactions"]["next"] -= 1


def count_a_record_twice(found):
    found.places[0]["totals"]["scored"] += 1


def lose_a_trigger(found):
    lost = found.triggers[0].value
    found.triggers = [sent for sent in found.triggers if sent.value != lost]


def change_a_trigger_that_came_twice(found):
    found.triggers.append(replace(found.triggers[0], value=found.triggers[0].value.replace(b"email", b"phone")))


def lose_a_letter(found):
    lost = found.dead[0].value
    found.dead = [sent for sent in found.dead if sent.value != lost]


def change_a_letters_byte(found):
    found.dead[0] = replace(found.dead[0], value=b"?")


def lose_examples(found):
    last = next(sent for sent in reversed(found.examples) if sent.key == b"churn")
    found.examples.remove(last)


def learn_examples_twice(found):
    found.report["tasks"]["churn"]["examples"] += 1


def publish_another_model(found):
    found.models["churn"] = found.models["churn"].replace(b'"intercept":', b'"intercept":1')


def miscount_a_pair(found):
    shown = next(fields for key, fields in found.figures.items() if key.startswith("pairs:") and "partners" in fields)
    shown["partners"][0]["support"] += 1


def show_another_brand(found):
    next(fields for key, fields in found.figures.items() if key.startswith("brand:"))["buyers"] = -1


def forget_a_market(found):
    found.figures.pop("market:all")


def lose_a_penny(found):
    found.sales["all"] -= 0.01


def leave_something(found):
    found.outbox = 1


TAMPERINGS = {
    lose_a_customer: "states",
    change_a_score: "scores",
    move_a_timer: "timers",
    forget_a_contact: "contacts",
    skip_a_record: "offsets",
    count_a_record_twice: "offsets",
    lose_a_trigger: "triggers",
    change_a_trigger_that_came_twice: "triggers",
    lose_a_letter: "dead letters",
    change_a_letters_byte: "dead letters",
    lose_examples: "examples",
    learn_examples_twice: "learned once",
    publish_another_model: "model",
    miscount_a_pair: "figures",
    show_another_brand: "figures",
    forget_a_market: "figures",
    lose_a_penny: "sales",
    leave_something: "outbox",
}


@pytest.fixture(scope="module")
def offline(calm, policy):
    return learn(calm, policy)


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_the_oracle_sees_every_change(tamper, calm, offline, made, policy):
    found = deepcopy(calm)
    tamper(found)
    wrong = judge(found, calm, made, policy, pinned=True, offline=False) + model(found, offline)
    assert TAMPERINGS[tamper] in {line.split(":")[0] for line in wrong}
