"""`quality`: how good the models are on public data sets."""

from collections.abc import Sequence
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
        _bars(found.get("market_figures", ()))
        if report is not None:
            report.write_bytes(msgspec.json.format(msgspec.json.encode(reports), indent=2))


def _bars(figures: Sequence[dict[str, Any]]) -> None:
    if not figures:
        return
    table = Table("figure", "here", "trivial", "must", "aim", title="The market, beside exact figures")
    table.title_justify = "left"
    for row in figures:
        here, trivial = (
            "" if row[name] is None else f"{row[name]:.3f}".removesuffix(".000") for name in ("value", "trivial")
        )
        table.add_row(row["figure"], here, trivial, row["must"], row["aim"])
    out.print(table)


def _show(name: str, report: dict[str, Any]) -> None:
    from streams.quality import SHOWN

    if name not in SHOWN:
        return
    task, metrics = SHOWN[name]
    figures = report["tasks"][task]
    table = Table("model", *metrics, title=f"{name}: {task}, {figures['examples']:,} examples", title_justify="left")
    for kind in ("models", "baselines"):
        for model, values in figures[kind].items():
            mark = "champion: " if model == figures["champion"] else "baseline: " if kind == "baselines" else ""
            shown = ["-" if values.get(metric) is None else f"{values[metric]:.4f}" for metric in metrics]
            table.add_row(mark + model, *shown)
    out.print(table)
