"""`replay`: events to the input topics, or to a file."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from typer.core import TyperGroup

from schemas.events import Event
from streams.cli.app import app, err, existing, out, show_refused, writable
from streams.cli.bar import bar
from streams.errors import Misconfigured
from streams.settings import load_settings

Reached = Callable[[int], tuple[int, int | None]]
"""Of how many events are out: how far that is, and of what in all (None: unknown)."""
Report = Annotated[
    Path | None,
    typer.Option("--report", help="Wait until running workers have learned it, and write the report as JSON."),
]
To = Annotated[
    Path | None, typer.Option("--to", help="Write JSON lines (.gz: compressed) to this file; nothing goes to Kafka.")
]


class _FilesToo(TyperGroup):
    """`replay FILE...` is `replay file FILE...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["file", *args]
        return super().parse_args(ctx, args)


replay_app = typer.Typer(
    cls=_FilesToo,
    no_args_is_help=True,
    help="Send events to the input topics: `replay FILE...`, or one of the commands below.",
)
app.add_typer(replay_app, name="replay")


@replay_app.command("online-retail")
def replay_online_retail(
    limit: Annotated[int | None, typer.Option(min=1, help="Lines of the data to read.")] = None,
    to: To = None,
    report: Report = None,
) -> None:
    """Send a year of a British gift shop, and account for each line of the data."""
    from streams.replay import online_retail

    account = online_retail.Account()
    total = online_retail.LINES if limit is None else min(limit, online_retail.LINES)
    sent = _deliver(online_retail.events(account, limit), to, lambda _: (account.lines, total), report)
    out.print(f"{sent} events of {account.lines} lines")
    for fate, lines in account.fates.most_common():
        out.print(f"  {lines:>9,} {fate}", highlight=False)


@replay_app.command("cdnow")
def replay_cdnow(folder: Path, to: To = None, report: Report = None) -> None:
    """Send a year and a half of a music shop's first customers; FOLDER has CDNOW_master.txt, gzip or not."""
    from streams.replay import cdnow

    try:
        sent = _deliver(cdnow.events(folder), to, lambda done: (done, None), report)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{folder}: {error}") from None
    out.print(f"{sent} purchases sent")


@replay_app.command("simulated")
def replay_simulated(
    customers: Annotated[int, typer.Option(min=1)] = 2_000,
    events: Annotated[int, typer.Option(min=0, help="Exactly so many.")] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same events.")] = 0,
    days: Annotated[int, typer.Option(min=30, help="The events fill about so many days.")] = 540,
    flip: Annotated[
        list[str] | None, typer.Option(help="SEGMENT:DAY, from which it answers offers the other way round.")
    ] = None,
    brands: Annotated[
        bool, typer.Option("--brands", help="Alternatives, feedback and observations too, with known truth.")
    ] = False,
    to: To = None,
    report: Report = None,
) -> None:
    """Send the events of a simulated shop whose truth is known."""
    from streams.replay.simulated import Simulation

    try:
        shop = Simulation(customers, events, seed, days, dict(map(_flip, flip or [])), brands=brands)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    sent = _deliver(shop.events(), to, lambda done: (done, events), report)
    out.print(f"{sent} events of at most {customers} customers")


def _flip(text: str) -> tuple[str, int]:
    segment, _, day = text.partition(":")
    if not day.isdecimal():
        raise ValueError(f"--flip is SEGMENT:DAY, not {text!r}")
    return segment, int(day)


@replay_app.command("file")
def replay_file(paths: list[Path], to: To = None, report: Report = None) -> None:
    """Send event files (JSON lines, gzip or not) in event-time order. Ends with 1 if a line was refused."""
    from streams.replay.files import events, in_time_order

    refused: list[str] = []
    read = 0
    existing(paths)

    def refuse(path: Path, number: int, poison: Exception) -> None:
        refused.append(f"{path}:{number}: {poison}")

    def counted() -> Iterator[Event]:
        nonlocal read
        for event in events(paths, refuse):
            read += 1
            yield event

    # All is read and sorted before the first is sent: by then the total is known.
    sent = _deliver(in_time_order(counted()), to, lambda done: (done, read), report)
    out.print(f"{sent} events sent, {len(refused)} lines refused")
    show_refused(refused)


def _deliver(events: Iterator[Event], to: Path | None, reached: Reached, report: Path | None) -> int:
    """Send events to Kafka, or write them to a file, with a progress bar; return how many."""
    if report is None:
        return _deliver_alone(events, to, reached)
    if to is not None:
        raise Misconfigured("--report tells what workers made of it: nothing goes to them with --to")
    writable(report, "--report")
    from streams.reporting.replay import Measured

    measured = Measured(load_settings())
    sent = _deliver_alone(events, to, reached)
    with err.status("scored and learned by the workers that run ...") as status:
        found = measured.report(sent, status.update)
    report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    return sent


def _deliver_alone(events: Iterator[Event], to: Path | None, reached: Reached) -> int:
    deliver = _to_kafka() if to is None else _to_file(to)
    with bar() as tell:
        done = 0

        def progress(more: int) -> None:
            nonlocal done
            done += more
            tell(*reached(done), f"{done:,} events")

        return deliver(events, progress)


def _to_kafka() -> Callable[[Iterator[Any], Callable[[int], None]], int]:
    from streams.kafka.producer import send
    from streams.kafka.topics import ensure_topics

    settings = load_settings()
    broker = settings.kafka
    ensure_topics(broker, settings.prefix, settings.partitions)
    return lambda events, progress: send(events, broker, settings.prefix, progress)


def _to_file(path: Path) -> Callable[[Iterator[Any], Callable[[int], None]], int]:
    from streams.replay.files import write

    def deliver(events: Iterator[Any], progress: Callable[[int], None]) -> int:
        try:
            return write(path, events, progress)
        except OSError as error:
            raise Misconfigured(f"--to: {error}") from None

    return deliver
