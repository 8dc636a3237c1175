"""`quality`: how good the models are on public data sets."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from streams.cli.app import app, out, writable
from streams.errors import Misconfigured


@app.command()
def quality(
    data: Annotated[Path | None, typer.Option(help="A folder with the data sets that do not come along.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="A data set; may be given more than once.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write all reports as JSON: data set -> report.")] = None,
) -> None:
    """Run public data sets through the backtest, with one configuration for all, and print what the models reach.

    Ends with 2 on a data set that is not known.
    """
    from streams.quality import SETS

    unknown = sorted(set(only or ()) - set(SETS))
    if unknown:
        raise Misconfigured(f"there is no data set {', '.join(unknown)}: there are {', '.join(SETS)}")
    writable(report, "--report")
    reports: dict[str, dict[str, Any]] = {}
    for name in only or SETS:
        found = SETS[name](data)
        if found is None:
            out.print(f"{name}: not in the folder given, left out")
            continue
        reports[name] = found
        _show(name, found)
        if report is not None:
            report.write_bytes(msgspec.json.format(msgspec.json.encode(reports), indent=2))


def _show(name: str, report: dict[str, Any]) -> None:
    from streams.quality_bars import shown, verdict
    from streams.quality_figures import figures, title

    table = Table("figure", "here", "trivial", "must", "aim", "bar", title=title(name, report), title_justify="left")
    for row in figures(name, report):
        value, must = row["value"], row["must"]
        here = "-" if value is None else shown(value, must)
        table.add_row(row["figure"], here, shown(row["trivial"]), must, row["aim"], verdict(value, must))
    out.print(table)
