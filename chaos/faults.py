"""What happens to the job from outside. Each fault returns when it began and when all was back."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from chaos.inject import Plan
from chaos.job import Job, Worker

Moment = tuple[float, float]
Fault = Callable[[Job, random.Random], Moment]
ASLEEP = 13.0
"""Seconds that a zombie sleeps: beyond the group's session timeout of 10 s."""
now = time.monotonic


def _pick(job: Job, rng: random.Random) -> Worker:
    return rng.choice([worker for worker in job.workers if not worker.stopped])


def _sleep(job: Job, seconds: float) -> None:
    """Wait, while the supervisor works on."""
    until = now() + seconds
    while now() < until:
        job.supervise()
        time.sleep(0.1)


def kill_worker(job: Job, rng: random.Random) -> Moment:
    """Kill -9; the supervisor starts it again."""
    began = now()
    _pick(job, rng).child.kill()
    return began, began


def kill_all_workers(job: Job, rng: random.Random) -> Moment:
    """Kill -9 of every worker at once."""
    began = now()
    for worker in job.workers:
        worker.child.kill()
    return began, began


def end_worker(job: Job, rng: random.Random) -> Moment:
    """SIGTERM; it must end by itself, cleanly and soon, and is started again."""
    began, worker = now(), _pick(job, rng)
    worker.child.terminate()
    code = worker.child.wait(30)
    if code:
        job.complaints.append(f"stop: a worker told to end ended with {code}")
    if now() - began > 12:
        job.complaints.append(f"stop: a worker told to end took {now() - began:.0f} s")
    return began, now()


def end_without_services(job: Job, rng: random.Random) -> Moment:
    """SIGTERM while Kafka or Redis is away: it must end all the same, soon."""
    server = rng.choice([job.stack.kafka, job.stack.redis])
    server.kill()
    time.sleep(rng.uniform(0, 3))
    began, worker = now(), _pick(job, rng)
    worker.child.terminate()
    try:
        worker.child.wait(20)
    except subprocess.TimeoutExpired:
        worker.child.kill()
        job.complaints.append("stop: a worker told to end while a service was away did not end")
    if now() - began > 12:
        job.complaints.append(f"stop: a worker told to end while a service was away took {now() - began:.0f} s")
    server.start()
    job.stack.await_redis()
    job.run_until(lambda: job.end_of("examples") is not None, 60, "the broker answers")
    return began, now()


def zombie(job: Job, rng: random.Random) -> Moment:
    """SIGSTOP for longer than the session timeout, then SIGCONT: the rest goes on with another owner."""
    began, worker = now(), _pick(job, rng)
    worker.child.send_signal(signal.SIGSTOP)
    _sleep(job, ASLEEP)
    worker.child.send_signal(signal.SIGCONT)
    return began, began if len(job.workers) > 1 else now()


def join_and_leave(job: Job, rng: random.Random) -> Moment:
    """One more worker in the middle of it, then one less."""
    began = now()
    job.start(Plan(pace=job.workers[0].plan.pace))
    _sleep(job, rng.uniform(2, 8))
    worker = _pick(job, rng)
    worker.stopped = True
    worker.child.terminate()
    return began, began


def kill_broker(job: Job, rng: random.Random) -> Moment:
    """Kill -9 of the broker, which comes back after seconds."""
    began = now()
    job.stack.kafka.kill()
    _sleep(job, rng.uniform(0.5, 5))
    job.stack.kafka.start()
    job.run_until(lambda: job.end_of("examples") is not None, 60, "the broker answers")
    return began, now()


def kill_redis(job: Job, rng: random.Random) -> Moment:
    """Kill -9 of Redis, which comes back after seconds."""
    began = now()
    job.stack.redis.kill()
    _sleep(job, rng.uniform(0.2, 5))
    job.stack.redis.start()
    job.stack.await_redis()
    return began, now()


def roll_back_redis(job: Job, rng: random.Random) -> Moment:
    """Redis comes back with the data of seconds ago, as `everysec` may after a power cut."""
    folder = job.stack.folder / "redis"
    old = job.folder / "older"
    job.stack.redis.signal(signal.SIGSTOP)
    shutil.copytree(folder / "appendonlydir", old)
    job.stack.redis.signal(signal.SIGCONT)
    _sleep(job, rng.uniform(1, 4))
    began = now()
    job.stack.redis.kill()
    shutil.rmtree(folder / "appendonlydir")
    shutil.copytree(old, folder / "appendonlydir")
    job.stack.redis.start()
    job.stack.await_redis()
    return began, now()


def fill_memory(job: Job, rng: random.Random) -> Moment:
    """Redis refuses every write: out of memory."""
    began = now()
    with job.stack.client() as client:
        client.config_set("maxmemory", "1")
        _sleep(job, rng.uniform(1, 5))
        client.config_set("maxmemory", "0")
    return began, now()


def late_disk(job: Job, rng: random.Random) -> Moment:
    """Redis stands still again and again, as one does that waits for its disk with every write."""
    began = now()
    for _ in range(rng.randint(5, 15)):
        job.stack.redis.signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0.05, 0.8))
        job.stack.redis.signal(signal.SIGCONT)
        _sleep(job, rng.uniform(0.05, 0.3))
    return began, now()


def slow_redis(job: Job, rng: random.Random) -> Moment:
    """Every answer of Redis takes a quarter of a second longer."""
    began, job.stack.redis_proxy.delay = now(), 0.25
    _sleep(job, rng.uniform(3, 8))
    job.stack.redis_proxy.heal()
    return began, now()


def cut_redis(job: Job, rng: random.Random) -> Moment:
    """Connections to Redis are reset, some with a commit on its way."""
    began = now()
    for _ in range(rng.randint(2, 5)):
        job.stack.redis_proxy.cut()
        _sleep(job, rng.uniform(0.1, 1.5))
    return began, now()


def swallow_redis(job: Job, rng: random.Random) -> Moment:
    """The network to Redis is a black hole for longer than the client's patience."""
    began = now()
    job.stack.redis_proxy.swallow()
    _sleep(job, rng.uniform(8, 14))
    job.stack.redis_proxy.heal()
    return began, now()


def cut_kafka(job: Job, rng: random.Random) -> Moment:
    """Connections to the broker are reset."""
    began = now()
    for _ in range(rng.randint(2, 5)):
        job.stack.kafka_proxy.cut()
        _sleep(job, rng.uniform(0.1, 1.5))
    return began, now()


def swallow_kafka(job: Job, rng: random.Random) -> Moment:
    """The network to the broker is a black hole for a while."""
    began = now()
    job.stack.kafka_proxy.swallow()
    _sleep(job, rng.uniform(5, 14))
    job.stack.kafka_proxy.heal()
    return began, now()


FAULTS: dict[str, Fault] = {
    "worker kill -9": kill_worker,
    "worker SIGTERM": end_worker,
    "worker SIGTERM, services away": end_without_services,
    "worker asleep": zombie,
    "all workers kill -9": kill_all_workers,
    "workers join and leave": join_and_leave,
    "broker kill -9": kill_broker,
    "Redis kill -9": kill_redis,
    "Redis rolled back": roll_back_redis,
    "Redis out of memory": fill_memory,
    "Redis's disk late": late_disk,
    "Redis slow": slow_redis,
    "Redis connections cut": cut_redis,
    "Redis black hole": swallow_redis,
    "Kafka connections cut": cut_kafka,
    "Kafka black hole": swallow_kafka,
}


def remove(folder: Path) -> None:
    """Remove a run's folder."""
    shutil.rmtree(folder, ignore_errors=True)
