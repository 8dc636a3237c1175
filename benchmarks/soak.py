"""`make soak`: many simulated events through a worker; does its memory stay flat?"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from events import simulated
from rich.console import Console
from rich.table import Table
from stage import await_done, connect, fill, handled, make_settings
from variants import workers

from streams.embedded import services
from streams.kafka.topics import ensure_topics
from streams.reporting.job import Learned as CaughtUp
from streams.settings import load_settings

MIB = 2**20
SETTLED = 0.4
"""The slope is that of the events after this share: before, caches fill and customers come."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--customers", type=int, default=20_000, help="bounded, as are state and caches")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between looks")
    parser.add_argument("--minutes", type=float, default=600.0, help="stop and report after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backlog", action="store_true", help="all events are in the topics before the workers start")
    parser.add_argument("--report", type=Path)
    return parser.parse_args()


def slope(events: list[int], memory: list[int]) -> float:
    """Bytes a million events, by least squares over what comes after `SETTLED`."""
    x, y = np.array(events) / 1e6, np.array(memory, dtype=np.float64)
    settled = x >= SETTLED * x[-1]
    return float(np.polyfit(x[settled], y[settled], 1)[0])


def rates(events: list[int], times: list[float], parts: int = 10) -> list[int]:
    """Events a second in each of so many equal parts of the events."""
    return [round((events[-1] - events[0]) / parts / took) for took in took_by_part(events, times, parts)]


def took_by_part(events: list[int], times: list[float], parts: int = 10) -> list[float]:
    """Seconds that each of so many equal parts of the events took."""
    return np.diff(np.interp(np.linspace(events[0], events[-1], parts + 1), events, times)).tolist()  # type: ignore[no-any-return]


def soak(settings: Any, asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Events wait in the topics before the workers start, or are sent meanwhile: then topics need not hold all."""
    ensure_topics(settings.given("broker"), settings.prefix, settings.partitions)
    made = simulated(asked.customers, asked.events, asked.seed)
    sending = Thread(target=fill, args=(settings, made), daemon=True)
    if asked.backlog:
        with console.status("Filling the topics ..."):
            fill(settings, made)
    deadline = time.monotonic() + 60 * asked.minutes
    looks: list[tuple[int, int, int]] = []
    times: list[float] = []
    used: list[float] = []
    with connect(settings) as client, workers(settings) as (processes, ended):
        if not asked.backlog:
            sending.start()

        def look() -> bool:
            done = handled(client, settings)
            looks.append((done, *(process.memory_info().rss for process in processes)))
            times.append(time.monotonic())
            used.append(sum(processes[0].cpu_times()[:2]))
            return done >= asked.events or time.monotonic() > deadline

        with console.status("Soaking ..."):
            await_done(look, ended, asked.every, 60 * asked.minutes + 600)
            if looks[-1][0] >= asked.events:
                with CaughtUp(client, settings) as caught_up:
                    await_done(lambda: caught_up() or time.monotonic() > deadline, ended, 1.0)
    events = [done for done, *_ in looks]
    report: dict[str, Any] = {"events": events[-1], "customers": asked.customers, "settled_from": SETTLED}
    report["backlog"], report["events_per_second"] = asked.backlog, rates(events, times)
    each = (events[-1] - events[0]) / 10
    report["scoring_cpu_us_per_event"] = [round(1e6 * seconds / each) for seconds in took_by_part(events, used)]
    for column, only in enumerate(("scoring", "learning"), start=1):
        memory = [look[column] for look in looks]
        curve = {str(done): round(rss / MIB, 1) for done, rss in _spread(list(zip(events, memory, strict=True)))}
        report[only] = {"bytes_per_million_events": round(slope(events, memory)), "rss_mib": curve}
    return report


def _spread(looks: list[tuple[int, int]], count: int = 20) -> list[tuple[int, int]]:
    step = max(len(looks) // count, 1)
    return [*looks[::step], looks[-1]]


def show(report: dict[str, Any]) -> None:
    table = Table("events", "scoring MiB", "learning MiB", title=f"{report['events']:,} events")
    for (done, scoring), learning in zip(
        report["scoring"]["rss_mib"].items(), report["learning"]["rss_mib"].values(), strict=True
    ):
        table.add_row(f"{int(done):,}", f"{scoring:,.1f}", f"{learning:,.1f}")
    out = Console()
    out.print(table)
    out.print("events/s, by tenths:", *(f"{rate:,}" for rate in report["events_per_second"]))
    out.print("scoring CPU µs an event:", *(str(cpu) for cpu in report["scoring_cpu_us_per_event"]))
    for only in ("scoring", "learning"):
        out.print(f"{only}: {report[only]['bytes_per_million_events']:,} bytes more a million events")


def main() -> None:
    asked, own, console = arguments(), load_settings(), Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="streamscore-soak-") as folder, services(own.broker, own.redis) as given:
        report = soak(make_settings(given.broker, given.redis, Path(folder), asked.partitions), asked, console)
    show(report)
    if asked.report is not None:
        asked.report.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
