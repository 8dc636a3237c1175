"""`replay`: send events to the input topics."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.app import app, err, existing, out, show_refused
from streams.settings import Settings, load_settings

replay_app = typer.Typer(no_args_is_help=True, help="Send events to the input topics.")
app.add_typer(replay_app, name="replay")


@replay_app.command("online-retail")
def replay_online_retail(limit: Annotated[int | None, typer.Option(help="Lines of the data to read.")] = None) -> None:
    """Send a year of a British gift shop, and account for each line of the data."""
    from streams.replay import online_retail

    account = online_retail.Account()
    sent = _send(load_settings(), online_retail.events(account, limit))
    out.print(f"{sent} events of {account.lines} lines")
    for fate, lines in account.fates.most_common():
        out.print(f"  {lines:>9,} {fate}", highlight=False)


@replay_app.command("file")
def replay_file(paths: list[Path]) -> None:
    """Send event files (JSON lines, gzip or not) in event-time order. Ends with 1 if a line was refused."""
    from streams.replay.files import events, in_time_order

    refused: list[str] = []

    def refuse(path: Path, number: int, poison: Exception) -> None:
        refused.append(f"{path}:{number}: {poison}")

    sent = _send(load_settings(), in_time_order(events(existing(paths), refuse)))
    out.print(f"{sent} events sent, {len(refused)} lines refused")
    show_refused(refused)


def _send(settings: Settings, events: Iterator[Any]) -> int:
    from rich.progress import Progress, TextColumn

    from streams.kafka.producer import send
    from streams.kafka.topics import ensure_topics

    broker = settings.given("broker")
    ensure_topics(broker, settings.prefix, settings.partitions)
    with Progress(TextColumn("{task.completed:,.0f} events sent"), console=err) as progress:
        task = progress.add_task("", total=None)
        return send(events, broker, settings.prefix, lambda n: progress.advance(task, n))
