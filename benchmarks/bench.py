"""`make bench`: what a worker does on one machine, beside a first try and the floor."""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from customers import bytes_per_customer
from events import learned_models, simulated
from lone import lone_events
from msgspec import structs
from rich.console import Console
from rich.table import Table
from stage import connect, fill, make_settings, publish
from variants import Measured, run_script, run_worker

from streams.embedded import services
from streams.settings import load_settings

console = Console(stderr=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--first-try-events", type=int, default=10_000, help="it reads only so many of them")
    parser.add_argument("--stored-customers", type=int, default=100_000, help="for Redis bytes per customer")
    parser.add_argument("--lone-events", type=int, default=300)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=1, help="the median of so many rounds is reported")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=["throughput", "customers", "lone"], help="parts to run")
    parser.add_argument("--report", type=Path, help="write the figures as JSON")
    return parser.parse_args()


def one_round(given: Any, data: Path, asked: argparse.Namespace, models: Any, seed: int) -> tuple[dict[str, Any], Any]:
    """All variants on the same topics."""
    settings = make_settings(given.broker, given.redis, data, asked.partitions)
    count = fill(settings, simulated(asked.customers, asked.events, seed))
    with connect(settings) as client:
        publish(client, settings, models)
    found: dict[str, Measured] = {}
    with console.status("The floor ..."):
        found["floor"] = run_script("floor", settings, count)
    with console.status("The worker ..."):
        found["worker"], found["worker_scoring_alone"], kept = run_worker(settings, count)
    with console.status("The first try ..."):
        found["first_try"] = run_script("first_try", settings, min(asked.first_try_events, count))
    return {name: measured.figures() for name, measured in found.items()}, kept


def median(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: {figure: statistics.median(one[name][figure] for one in rounds) for figure in rounds[0][name]}
        for name in rounds[0]
    }


def show(report: dict[str, Any]) -> None:
    out = Console()
    variants = report.get("variants", {})
    if variants:
        table = Table("variant", "events/s", "of the worker's", "CPU s per million", "peak MiB", title="Throughput")
        own = variants["worker"]["events_per_second"]
        for name, figures in variants.items():
            rate, cpu, peak = figures.values()
            table.add_row(name, f"{rate:,.0f}", f"{rate / own:.3f}", f"{cpu:.1f}", f"{peak:,.0f}")
        out.print(table)
        ratios = report["worker_to"]
        out.print(
            f"The worker makes {ratios['first_try']:.1f} times the first try and {ratios['floor']:.2f} of the floor."
        )
        out.print(f"Learner: {report['learner']}")
    if "redis_bytes_per_customer" in report:
        out.print(f"Redis bytes per customer: {report['redis_bytes_per_customer']:,.0f} {report['redis_parts']}")
    if "lone_event_seconds" in report:
        out.print(f"Lone event, seconds: {report['lone_event_seconds']}")


def main() -> None:
    asked = arguments()
    own = load_settings()
    report: dict[str, Any] = {"events": asked.events, "first_try_events": asked.first_try_events}
    report |= {"customers": asked.customers, "repeats": asked.repeats, "seed": asked.seed}
    with tempfile.TemporaryDirectory(prefix="streamscore-bench-") as folder, services(own.broker, own.redis) as given:
        data = Path(folder)
        settings = make_settings(given.broker, given.redis, data / "models", asked.partitions)
        with console.status("Models of other customers ..."):
            models = learned_models(settings, asked.seed + 1_000)
        if "customers" in asked.only:
            with console.status("Bytes per customer ..."):
                parts = bytes_per_customer(settings, models, asked.stored_customers, asked.seed)
            report["redis_bytes_per_customer"], report["redis_parts"] = parts.pop("all"), parts
        if "throughput" in asked.only:
            rounds = [one_round(given, data / str(n), asked, models, asked.seed + n) for n in range(asked.repeats)]
            report["variants"] = median([figures for figures, _ in rounds])
            rates = {name: figures["events_per_second"] for name, figures in report["variants"].items()}
            report["worker_to"] = {name: round(rates["worker"] / rates[name], 3) for name in ("first_try", "floor")}
            report["learner"] = {name: round(value, 2) for name, value in structs.asdict(rounds[-1][1]).items()}
        if "lone" in asked.only:
            with console.status("Lone events ..."):
                lone = make_settings(given.broker, given.redis, data / "lone", asked.partitions)
                report["lone_event_seconds"] = lone_events(lone, models, asked.lone_events, asked.seed)
    show(report)
    if asked.report is not None:
        asked.report.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
