"""`backtest`: event files through the same function, without Kafka or Redis."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from math import inf
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from schemas.events import Event, Purchase, Refund
from streams.cli.app import app, existing, out, show_refused, writable
from streams.cli.bar import bar
from streams.errors import Misconfigured
from streams.reporting.currency import of_sales
from streams.reporting.report import with_ahead
from streams.settings import Settings, load_settings


@app.command()
def backtest(
    paths: list[Path],
    report: Annotated[Path | None, typer.Option(help="Where to write the report as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Where to write the report as an HTML page, one file.")] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Score everybody then, and judge by what follows: an RFC 3339 time, or a date for its end."),
    ] = None,
    horizon: Annotated[float | None, typer.Option(help="Days after --at that are judged; else the window.")] = None,
) -> None:
    """Run event files through the same function without Kafka or Redis. Ends with 1 if a line was refused.

    Without STREAMSCORE_CURRENCY the main currency is that of the first sale. It says which that
    is, and warns where another one has more sales.
    """
    from streams.backtest import backtest as run
    from streams.backtest import backtest_at
    from streams.replay.files import EVERY, events, in_time_order
    from streams.reporting.summary import show
    from streams.worker import make_shop

    refused: list[str] = []
    moment = None if at is None else _moment(at)
    if horizon is not None and (moment is None or not 0.0 < horizon < inf):
        raise Misconfigured("--horizon is a number of days above 0, and goes with --at")

    writable(report, "--report")
    writable(html, "--html")

    def refuse(path: Path, number: int, poison: Exception) -> None:
        refused.append(f"{path}:{number}: {poison}")

    read = 0

    def reading(found: Iterator[Event]) -> Iterator[Event]:
        nonlocal read
        for read, event in enumerate(found, 1):
            if read % EVERY == 0:
                tell(0, None, f"{read:,} events read")
            yield event

    sold: Counter[str] = Counter()

    def handling(found: Iterator[Event]) -> Iterator[Event]:
        for done, event in enumerate(found):
            if isinstance(event, Purchase | Refund):
                sold[event.currency] += 1
            if done % EVERY == 0:
                tell(done, read, f"{done:,} events")
            yield event

    with bar() as tell:
        ordered = in_time_order(reading(events(existing(paths), refuse)))
        settings, chosen_by, ordered = _in_its_currency(load_settings(), ordered)
        shop = make_shop(settings)
        if moment is None:
            found = run(handling(ordered), shop).report()
        else:
            test, ahead = backtest_at(handling(ordered), shop, moment, horizon or settings.window_days)
            found = with_ahead(test.report(), ahead)
        tell(read, read, f"{read:,} events")
    found["currency"] = of_sales(settings.currency, chosen_by, sold)
    found["events"]["read"] += len(refused)
    found["events"]["dead_letter"] += len(refused)
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    if html is not None:
        from streams.reporting.page import page

        html.write_text(page(found, ", ".join(path.name for path in paths)), "utf-8")
    show(out, found)
    show_refused(refused)


def _moment(text: str) -> float:
    """Epoch seconds of a time with an offset, or of the end of a date in UTC. Raises `Misconfigured`."""
    try:
        at = datetime.fromisoformat(text)
        if len(text) == len("2011-09-30"):
            at = at.replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):  # the latter: the last date that there is has no end
        raise Misconfigured(f"--at is a date or an RFC 3339 time, not {text!r}") from None
    if at.tzinfo is None:
        raise Misconfigured(f"--at: {text} has no offset")
    return at.timestamp()


def _in_its_currency(settings: Settings, events: Iterator[Event]) -> tuple[Settings, str, Iterator[Event]]:
    """The settings, with the currency of the first sale where none was set; who chose it; and all events."""
    if "currency" in settings.model_fields_set:
        return settings, "setting", events
    before, chosen_by = list[Event](), "default"
    for event in events:
        before.append(event)
        if isinstance(event, Purchase | Refund):
            settings, chosen_by = load_settings(currency=event.currency), "first_sale"
            break
    return settings, chosen_by, chain(before, events)
