"""The main job on real data, with everything it needs embedded; a summary at the end."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from streams.embedded import services
from streams.embedded.process import watch
from streams.errors import Unavailable
from streams.kafka.producer import send
from streams.kafka.topics import ensure_topics
from streams.redis.client import reader
from streams.replay import online_retail
from streams.reporting.job import Learned, build_report, places
from streams.reporting.summary import show
from streams.settings import Settings, load_settings

EXAMPLE = "12347"
PRODUCT = "85123A"
PATIENCE = 600.0
PART = 4_000
"""Events sent before the learner is waited for."""


@contextmanager
def worker(settings: Settings, only: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run one worker process; it ends with this block, and with this process however that ends."""
    env = os.environ | {
        "STREAMSCORE_BROKER": settings.given("broker"),
        "STREAMSCORE_REDIS": settings.given("redis"),
        "STREAMSCORE_PREFIX": settings.prefix,
        "STREAMSCORE_PARTITIONS": str(settings.partitions),
        "STREAMSCORE_TIMEZONE": settings.timezone,
        "STREAMSCORE_HOLIDAYS": settings.holidays,
        "STREAMSCORE_CURRENCY": settings.currency,
        "STREAMSCORE_CLOCK": settings.clock,
        "STREAMSCORE_IDLE_AFTER_SECONDS": str(settings.idle_after_seconds),
        "STREAMSCORE_METRICS_PORT": "0",
        "STREAMSCORE_DATA": str(settings.data),
        "PYTHONHASHSEED": "0",
    }
    with watch(None) as group:
        yield group.start([sys.executable, "-m", "streams", "worker", "--only", only], log, env)


def run_demo(out: Console, err: Console, *, once: bool, report: Path | None, limit: int | None) -> None:
    """Start everything, replay, wait until all is scored and learned, and show what came of it."""
    given = load_settings()
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamscore-demo-")))
        stack.enter_context(watch(data))  # however this process ends
        running = stack.enter_context(services(given.broker, given.redis, quiet=False))
        settings = load_settings(
            broker=running.broker, redis=running.redis, timezone="Europe/London", holidays="GB-ENG", clock="events",
            idle_after_seconds=2.0, data=data, prefix=given.prefix, partitions=given.partitions,
        )  # fmt: skip
        ensure_topics(settings.kafka, settings.prefix, settings.partitions)
        logs = [data / "scoring.log", data / "learning.log"]
        workers = [
            stack.enter_context(worker(settings, only, log))
            for only, log in zip(("scoring", "learning"), logs, strict=True)
        ]
        account = online_retail.Account()
        seconds = _replay(err, settings, account, limit, workers, logs)
        found = build_report(settings, seconds, _metrics(logs[0]))
        if report is not None:
            report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
        show(out, found)
        _accounted(out, account)
        _look_around(out, settings, once)
        if not once:
            _stay(out)


def _replay(
    err: Console,
    settings: Settings,
    account: online_retail.Account,
    limit: int | None,
    workers: list[subprocess.Popen[bytes]],
    logs: list[Path],
) -> float:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=err) as progress:
        sending = progress.add_task("sent", total=28_977 if limit is None else None)
        scoring = progress.add_task("scored", total=None)
        broker, prefix = settings.kafka, settings.prefix
        events, sent, seconds = online_retail.events(account, limit), 0, 0.0
        with reader(settings) as client, Learned(client, settings) as learned:
            # A year at once would be scored before the first example is learned.
            while part := list(islice(events, PART)):
                began = time.time()
                sent += send(part, broker, prefix, lambda n: progress.advance(sending, n))
                progress.update(scoring, total=sent)
                _await(lambda so_far=sent: _scored(client, settings, progress, scoring) >= so_far, workers, logs)
                seconds += time.time() - began
                _await(learned, workers, logs)
            time.sleep(3 * settings.idle_after_seconds)  # once silent shards have said so twice, the last days close
            _await(learned, workers, logs)
    return seconds


def _metrics(log: Path) -> str | None:
    """Where a worker said that its metrics are."""
    found = re.search(r"http://\S+/metrics", log.read_text())
    return found[0] if found else None


def _await(done: Any, workers: list[subprocess.Popen[bytes]], logs: list[Path]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        for child, log in zip(workers, logs, strict=True):
            if child.poll() is not None:
                raise Unavailable(f"a worker ended ({child.returncode}):\n{log.read_text()[-3_000:]}")
        if time.monotonic() > deadline:
            raise Unavailable(
                f"not done within {PATIENCE:.0f} s:\n" + "\n".join(log.read_text()[-2_000:] for log in logs)
            )
        time.sleep(0.2)


def _scored(client: Any, settings: Settings, progress: Progress, task: Any) -> int:
    scored = sum(at.next for place in places(client, settings) for at in place.topics.values())
    progress.update(task, completed=scored)
    return scored


def _accounted(out: Console, account: online_retail.Account) -> None:
    out.print(
        f"{account.lines:,} lines of the data: " + ", ".join(f"{n:,} {fate}" for fate, n in account.fates.most_common())
    )


def _look_around(out: Console, settings: Settings, once: bool) -> None:
    out.rule("Where to look next")
    if once:
        out.print("Run `make demo` to keep it running for a look around.")
        return
    out.print("In another terminal:")
    for name in ("broker", "redis"):
        out.print(f"  export STREAMSCORE_{name.upper()}={settings.given(name)}", highlight=False)
    for asked in (f"customer {EXAMPLE}", "market lights", f"market --product {PRODUCT}"):
        out.print(f"  .venv/bin/streamscore {asked}", highlight=False)


def _stay(out: Console) -> None:
    out.print("Running. Ctrl-C ends it.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        out.print("Stopping.")
