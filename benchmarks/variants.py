"""The three ways to score the same events, each in processes of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from msgspec import Struct
from stage import Watched, await_done, connect, handled

from streams.demo import worker
from streams.redis.keys import Keys
from streams.reporting.job import Learned as CaughtUp
from streams.settings import Settings

HERE = Path(__file__).parent
MIB = 2**20


class Measured(Struct, kw_only=True):
    """One variant's figures; memory in bytes."""

    events: int
    seconds: float
    cpu: float
    peak: int

    def figures(self) -> dict[str, float]:
        return {
            "events_per_second": round(self.events / self.seconds, 1),
            "cpu_seconds_per_million": round(self.cpu / self.events * 1e6, 2),
            "peak_memory_mib": round(self.peak / MIB, 1),
        }


class Learned(Struct, kw_only=True):
    """How the learner kept up: examples made while the scorer ran, learned while it did, and until none was left."""

    made: int
    meanwhile: int
    seconds: float
    catching_up: float
    cpu: float


@contextmanager
def workers(settings: Settings) -> Iterator[tuple[list[psutil.Process], Any]]:
    """A scoring and a learning process as in the demo, and what tells when one has ended."""
    logs = {only: settings.data / f"{only}.log" for only in ("scoring", "learning")}
    settings.data.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        children = {only: stack.enter_context(worker(settings, only, log)) for only, log in logs.items()}

        def ended() -> str | None:
            gone = [only for only, child in children.items() if child.poll() is not None]
            return "\n".join(f"{only} ended:\n{logs[only].read_text()[-3000:]}" for only in gone) or None

        yield [psutil.Process(child.pid) for child in children.values()], ended


def run_worker(settings: Settings, count: int) -> tuple[Measured, Measured, Learned]:
    """The whole job: both processes together, the scoring process alone, and how the learner kept up.

    Time runs from the first commit that is seen to the last.
    """
    with connect(settings) as client, workers(settings) as (processes, ended):
        await_done(lambda: handled(client, settings) > 0, ended, 0.01)
        began, first = time.perf_counter(), handled(client, settings)
        scoring, learning = (Watched(process) for process in processes)
        cpu = scoring.look(), learning.look()
        before = learned(client, settings)

        def done() -> bool:
            scoring.look(), learning.look()
            return handled(client, settings) >= count

        await_done(done, ended, 0.05)
        seconds = time.perf_counter() - began
        used = scoring.look() - cpu[0], learning.look() - cpu[1]
        meanwhile = learned(client, settings)
        with CaughtUp(client, settings) as caught_up:
            await_done(caught_up, ended, 0.1)
        catching_up = time.perf_counter() - began - seconds
        kept = Learned(
            made=learned(client, settings) - before,
            meanwhile=meanwhile - before,
            seconds=seconds,
            catching_up=catching_up,
            cpu=learning.look() - cpu[1],
        )
        both = Measured(events=count - first, seconds=seconds, cpu=sum(used), peak=scoring.peak + learning.peak)
        return both, Measured(events=count - first, seconds=seconds, cpu=used[0], peak=scoring.peak), kept


def learned(client: Any, settings: Settings) -> int:
    """Examples of labels in the learner's last report, which is at most some seconds old."""
    report = client.hget(Keys(settings.prefix).learner(0), "report")
    return sum(task["examples"] for task in json.loads(report or "{}").get("tasks", {}).values())


def run_script(name: str, settings: Settings, count: int) -> Measured:
    """A variant that measures itself."""
    command = [sys.executable, str(HERE / f"{name}.py"), settings.given("broker"), settings.given("redis")]
    settings.data.mkdir(parents=True, exist_ok=True)  # Faust leaves a folder where it is started
    child = subprocess.Popen(
        [*command, settings.prefix, str(count)], stdout=subprocess.PIPE, text=True, cwd=settings.data
    )
    try:
        said = child.stdout.readline()
        if not said:
            raise RuntimeError(f"{name} ended with {child.wait()}")
        return Measured(**json.loads(said))
    finally:
        child.kill()
        child.wait()
