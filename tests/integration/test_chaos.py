"""A short set of faults on real Kafka and Redis; `make chaos` runs the long one."""

from functools import partial

import pytest

from chaos.found import find
from chaos.inject import STEPS, Plan, resolve
from chaos.job import Job
from chaos.oracle import judge
from chaos.records import make
from chaos.stack import Stack

SEED, EVENTS, PARTITIONS = 1, 8_000, 2


@pytest.fixture(scope="module")
def stack(services):
    return Stack(services.broker, services.redis)


@pytest.fixture(scope="module")
def made():
    return make(SEED, EVENTS, PARTITIONS)


def run(stack, made, folder, plan, disturb=None):
    job = Job(stack, made, folder)
    job.start(plan)
    try:
        if disturb is not None:
            disturb(job)
        job.run_until(job.settled, 120, "settled")
        return find(job), job
    finally:
        job.end()


@pytest.fixture(scope="module")
def calm(stack, made, tmp_path_factory):
    return run(stack, made, tmp_path_factory.mktemp("calm"), Plan())[0]


def test_the_undisturbed_run_is_right_by_itself(calm, made, tmp_path, stack):
    job = Job(stack, make(SEED, 1, PARTITIONS), tmp_path)
    assert judge(calm, None, made, job.settings.policy, pinned=False) == []


def test_kill_9_changes_nothing(calm, made, tmp_path, stack):
    def kill_twice(job):
        for share in (0.3, 0.6):
            job.run_until(partial(job.reached, share), 90, "a part")
            job.workers[0].child.kill()
            job.workers[0].child.wait()

    found, job = run(stack, made, tmp_path, Plan(pace=0.1), kill_twice)
    assert job.workers[0].starts == 3
    assert judge(found, calm, made, job.settings.policy, pinned=False) == []


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_where_the_plan_says(step):
    assert callable(resolve(STEPS[step])[2])
