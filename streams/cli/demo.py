"""`demo`: the whole job on real data."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.app import app, end, err, out, writable


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the summary.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where to write the report as JSON.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Lines of the data to replay.")] = None,
) -> None:
    """Run the whole job on a year of a real shop, with an embedded Kafka and Redis."""
    from streams.demo import run_demo
    from streams.embedded import ServicesUnavailable

    writable(report, "--report")
    try:
        run_demo(out, err, once=once, report=report, limit=limit)
    except ServicesUnavailable as error:
        end(3, str(error))
