"""`backtest`: event files through the same function, without Kafka or Redis."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.cli.app import app, existing, out, show_refused
from streams.settings import load_settings


@app.command()
def backtest(
    paths: list[Path],
    report: Annotated[Path | None, typer.Option(help="Where to write the report as JSON.")] = None,
) -> None:
    """Run event files through the same function without Kafka or Redis. Ends with 1 if a line was refused."""
    from streams.backtest import backtest as run
    from streams.replay.files import events, in_time_order
    from streams.summary import show
    from streams.worker import make_shop

    refused: list[str] = []

    def refuse(path: Path, number: int, poison: Exception) -> None:
        refused.append(f"{path}:{number}: {poison}")

    test = run(in_time_order(events(existing(paths), refuse)), make_shop(load_settings()))
    found = test.report()
    found["events"]["read"] += len(refused)
    found["events"]["dead_letter"] += len(refused)
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    show(out, found)
    show_refused(refused)
