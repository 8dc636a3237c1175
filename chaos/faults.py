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
from chaos.stack import Server

Moment = tuple[float, float]
Fault = Callable[[Job, random.Random], Moment]
ASLEEP = 13.0
"""Seconds that a zombie sleeps: beyond the group's session timeout of 7 s."""
STOPS = 10.0
"""Seconds that a worker has to end: 9.5 are promised."""
MOST = 4
"""Workers that there are at most, one a shard."""
GROWS_KB = 150_000
"""What a worker may grow by while it waits for a service."""
now = time.monotonic


def _running(job: Job) -> list[Worker]:
    return [worker for worker in job.workers if not worker.stopped]


def pick(job: Job, rng: random.Random) -> Worker:
    """One of the workers that run."""
    return rng.choice(_running(job))


def _sleep(job: Job, seconds: float) -> None:
    """Wait, while the supervisor works on."""
    until = now() + seconds
    while now() < until:
        job.supervise()
        time.sleep(0.1)


def _during(job: Job, seconds: float, begin: Callable[[], object], heal: Callable[[], object]) -> Moment:
    """Something is wrong for a while."""
    began = now()
    begin()
    _sleep(job, seconds)
    heal()
    return began, now()


def _again_and_again(job: Job, rng: random.Random, do: Callable[[], object], times: tuple[int, int]) -> Moment:
    """Something happens several times, soon after one another."""
    began = now()
    for _ in range(rng.randint(*times)):
        do()
        _sleep(job, rng.uniform(0.1, 1.5))
    return began, now()


def _start_redis(job: Job) -> None:
    job.stack.redis.start()
    job.stack.await_redis()


def _start_broker(job: Job, server: Server) -> None:
    server.start()
    job.stack.await_kafka()


# Workers.


def kill_worker(job: Job, rng: random.Random) -> Moment:
    """Kill -9; the supervisor starts it again."""
    began = now()
    pick(job, rng).child.kill()
    return began, began


def kill_all_workers(job: Job, rng: random.Random) -> Moment:
    """Kill -9 of every worker at once."""
    began = now()
    for worker in _running(job):
        worker.child.kill()
    return began, began


def _end(job: Job, worker: Worker, code: int | None) -> None:
    """SIGTERM; it must end by itself and in time, with this exit code (None: any)."""
    began = now()
    worker.child.terminate()
    try:
        ended = worker.child.wait(30)
    except subprocess.TimeoutExpired:
        worker.child.kill()
        job.complaints.append("stop: a worker told to end did not end")
        return
    if code is not None and ended != code:
        job.complaints.append(f"stop: a worker told to end ended with {ended}")
    if now() - began > STOPS:
        job.complaints.append(f"stop: a worker told to end took {now() - began:.0f} s")


def end_worker(job: Job, rng: random.Random) -> Moment:
    """SIGTERM; it must end by itself, cleanly and soon, and is started again."""
    began = now()
    _end(job, pick(job, rng), 0)
    return began, now()


def end_without_services(job: Job, rng: random.Random) -> Moment:
    """SIGTERM while Kafka or Redis is away: it must end all the same, soon."""
    server = rng.choice([*job.stack.brokers, job.stack.redis])
    server.kill()
    time.sleep(rng.uniform(0, 3))
    began = now()
    _end(job, pick(job, rng), None)
    server.start()
    job.stack.await_redis()
    job.stack.await_kafka()
    return began, now()


def zombie(job: Job, rng: random.Random) -> Moment:
    """SIGSTOP for longer than the session timeout, then SIGCONT: the rest goes on with another owner."""
    worker = pick(job, rng)
    began, woke = _during(
        job,
        ASLEEP,
        lambda: worker.child.send_signal(signal.SIGSTOP),
        lambda: worker.child.send_signal(signal.SIGCONT),
    )
    return began, began if len(job.workers) > 1 else woke


def join_and_leave(job: Job, rng: random.Random) -> Moment:
    """Workers join up to four and leave down to one, now and then in the middle of one another's rebalance."""
    began = now()
    pace = job.workers[0].plan.pace
    for _ in range(rng.randint(3, 6)):
        running = _running(job)
        if len(running) < MOST and (len(running) == 1 or rng.random() < 0.6):
            job.start(Plan(pace=pace))
        else:
            worker = rng.choice(running)
            worker.stopped = True
            worker.child.terminate()
        _sleep(job, rng.uniform(0.5, 6))
    return began, now()


# Kafka.


def kill_broker(job: Job, rng: random.Random) -> Moment:
    """Kill -9 of a broker, which comes back after seconds."""
    server = rng.choice(job.stack.brokers)
    began, _ = _during(job, rng.uniform(0.5, 5), server.kill, lambda: _start_broker(job, server))
    return began, _still_from(job, began)


def restart_brokers(job: Job, rng: random.Random) -> Moment:
    """All brokers are restarted one after another, as for an upgrade: the next when all replicas are in step again."""
    began = now()
    for server in rng.sample(job.stack.brokers, len(job.stack.brokers)):
        server.end()
        _sleep(job, rng.uniform(0.5, 3))
        _start_broker(job, server)
        _sleep(job, rng.uniform(0, 2))
    return began, _still_from(job, began)


def _still_from(job: Job, began: float) -> float:
    """From when on events should flow: with other brokers there, from the beginning."""
    return began if len(job.stack.brokers) > 1 else now()


def cut_kafka(job: Job, rng: random.Random) -> Moment:
    """Connections to the brokers are reset."""
    return _again_and_again(job, rng, lambda: [proxy.cut() for proxy in job.stack.kafka_proxies], (2, 5))


def swallow_kafka(job: Job, rng: random.Random) -> Moment:
    """The network to the brokers is a black hole for a while."""
    swallow = [proxy.swallow for proxy in job.stack.kafka_proxies]
    return _during(job, rng.uniform(5, 14), lambda: [one() for one in swallow], job.stack.heal)


# Redis.


def kill_redis(job: Job, rng: random.Random) -> Moment:
    """Kill -9 of Redis, which comes back after seconds."""
    return _during(job, rng.uniform(0.2, 5), job.stack.redis.kill, lambda: _start_redis(job))


def redis_away(job: Job, rng: random.Random) -> Moment:
    """Redis is away for a minute and more: no worker ends or grows, each holds what it has."""
    starts = [worker.starts for worker in job.workers]
    sizes = [kilobytes(worker) for worker in job.workers]
    moment = _during(job, rng.uniform(60, 100), job.stack.redis.kill, lambda: _start_redis(job))
    if [worker.starts for worker in job.workers] != starts:
        job.complaints.append("waits: a worker ended while Redis was away")
    elif any(kilobytes(worker) > size + GROWS_KB for worker, size in zip(job.workers, sizes, strict=True)):
        job.complaints.append(f"waits: from {sizes} KB workers grew to {[kilobytes(one) for one in job.workers]}")
    return moment


def kilobytes(worker: Worker) -> int:
    """Resident memory."""
    status = Path(f"/proc/{worker.child.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def roll_back_redis(job: Job, rng: random.Random) -> Moment:
    """Redis comes back with the data of seconds ago, as `everysec` may after a power cut."""
    folder, old = job.stack.folder / "redis", job.folder / "older"
    job.stack.redis.signal(signal.SIGSTOP)
    shutil.copytree(folder / "appendonlydir", old)
    job.stack.redis.signal(signal.SIGCONT)
    _sleep(job, rng.uniform(1, 4))
    began = now()
    job.stack.redis.kill()
    shutil.rmtree(folder / "appendonlydir")
    shutil.copytree(old, folder / "appendonlydir")
    _start_redis(job)
    return began, now()


def fill_memory(job: Job, rng: random.Random) -> Moment:
    """Redis refuses every write: out of memory."""
    with job.stack.client() as client:
        return _during(
            job,
            rng.uniform(1, 5),
            lambda: client.config_set("maxmemory", "1"),
            lambda: client.config_set("maxmemory", "0"),
        )


def late_disk(job: Job, rng: random.Random) -> Moment:
    """Redis stands still again and again, as one does that waits for its disk with every write."""

    def stall() -> None:
        job.stack.redis.signal(signal.SIGSTOP)
        time.sleep(rng.uniform(0.05, 0.8))
        job.stack.redis.signal(signal.SIGCONT)

    return _again_and_again(job, rng, stall, (5, 15))


def slow_redis(job: Job, rng: random.Random) -> Moment:
    """Every answer of Redis takes half a second longer."""

    def delay() -> None:
        job.stack.redis_proxy.delay = 0.25

    return _during(job, rng.uniform(3, 8), delay, job.stack.heal)


def cut_redis(job: Job, rng: random.Random) -> Moment:
    """Connections to Redis are reset, some with a commit on its way."""
    return _again_and_again(job, rng, job.stack.redis_proxy.cut, (2, 5))


def swallow_redis(job: Job, rng: random.Random) -> Moment:
    """The network to Redis is a black hole for longer than the client's patience."""
    return _during(job, rng.uniform(8, 14), job.stack.redis_proxy.swallow, job.stack.heal)


FAULTS: dict[str, Fault] = {
    "worker kill -9": kill_worker,
    "worker SIGTERM": end_worker,
    "worker SIGTERM, services away": end_without_services,
    "worker asleep": zombie,
    "all workers kill -9": kill_all_workers,
    "workers join and leave": join_and_leave,
    "broker kill -9": kill_broker,
    "brokers restarted in turn": restart_brokers,
    "Kafka connections cut": cut_kafka,
    "Kafka black hole": swallow_kafka,
    "Redis kill -9": kill_redis,
    "Redis away for minutes": redis_away,
    "Redis rolled back": roll_back_redis,
    "Redis out of memory": fill_memory,
    "Redis's disk late": late_disk,
    "Redis slow": slow_redis,
    "Redis connections cut": cut_redis,
    "Redis black hole": swallow_redis,
}


def remove(folder: Path) -> None:
    """Remove a run's folder."""
    shutil.rmtree(folder, ignore_errors=True)
