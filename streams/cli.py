"""Score customers live.

Exit codes: 0 done, 1 not found or refused input, 2 wrong usage or settings, 3 a service is away.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.logging import RichHandler

from streams.errors import Misconfigured, Unavailable
from streams.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
replay_app = typer.Typer(no_args_is_help=True, help="Send events to the input topics.")
app.add_typer(replay_app, name="replay")
out, err = Console(), Console(stderr=True)


def main() -> None:
    """Run the command; an error that has a remedy is one line, not a traceback."""
    try:
        app()
    except Misconfigured as error:
        _end(2, str(error))
    except Unavailable as error:
        _end(3, str(error))


def _end(code: int, message: str) -> NoReturn:
    err.print(f"[red]streamscore:[/red] {message}", highlight=False, soft_wrap=True)
    sys.exit(code)


def _log(verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)]
    )
    logging.getLogger("streams").setLevel(level)
    for noisy in ("aiokafka", "kafka", "faust", "mode"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@app.command()
def worker(
    only: Annotated[str | None, typer.Option(help="`scoring` or `learning`; both if left out.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Score and learn until stopped. Ends with 2 on wrong settings, 3 where Kafka or Redis is away at the start."""
    from streams.worker import Worker

    if only not in (None, "scoring", "learning"):
        raise Misconfigured(f"--only is `scoring` or `learning`, not {only!r}")
    _log(verbose)
    settings = load_settings()

    def started(running: Worker) -> None:
        err.print(f"metrics on http://{settings.metrics_host}:{running.web.port}/metrics", highlight=False)

    async def run() -> None:
        await Worker(settings, only).run(started)  # type: ignore[arg-type]

    asyncio.run(run())


@app.command()
def services() -> None:
    """Run an embedded Kafka and Redis until Ctrl-C; print the two settings."""
    from streams.embedded import ServicesUnavailable
    from streams.embedded import services as start

    try:
        with start() as running:
            print(f"STREAMSCORE_BROKER={running.broker}\nSTREAMSCORE_REDIS={running.redis}", flush=True)  # noqa: T201
            try:
                _wait_for_interrupt()
            except KeyboardInterrupt:
                err.print("stopping")
    except ServicesUnavailable as error:
        _end(3, str(error))


def _wait_for_interrupt() -> None:
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while True:
        signal.pause()


@app.command()
def topics() -> None:
    """Make the topics that are missing. Ends with 2 where the inputs do not have the same number of partitions."""
    from streams.kafka.topics import ensure_topics

    settings = load_settings()
    made = ensure_topics(settings.given("broker"), settings.prefix, settings.partitions)
    out.print("\n".join(f"made {name}" for name in made) or "all topics are there")


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

    sent = _send(load_settings(), in_time_order(events(_existing(paths), refuse)))
    out.print(f"{sent} events sent, {len(refused)} lines refused")
    _show_refused(refused)


def _existing(paths: list[Path]) -> list[Path]:
    for path in paths:
        if not path.is_file():
            raise Misconfigured(f"there is no file {path}")
    return paths


def _show_refused(refused: list[str]) -> None:
    for line in refused[:20]:
        err.print(line, highlight=False, soft_wrap=True)
    if refused:
        raise typer.Exit(1)


def _send(settings: Settings, events: Iterator[Any]) -> int:
    from rich.progress import Progress, TextColumn

    from streams.kafka.producer import send
    from streams.kafka.topics import ensure_topics

    broker = settings.given("broker")
    ensure_topics(broker, settings.prefix, settings.partitions)
    with Progress(TextColumn("{task.completed:,.0f} events sent"), console=err) as progress:
        task = progress.add_task("", total=None)
        return send(events, broker, settings.prefix, lambda n: progress.advance(task, n))


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

    test = run(in_time_order(events(_existing(paths), refuse)), make_shop(load_settings()))
    found = test.report()
    found["events"]["read"] += len(refused)
    found["events"]["dead_letter"] += len(refused)
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    show(out, found)
    _show_refused(refused)


@app.command()
def customer(customer_id: str, json: Annotated[bool, typer.Option("--json", help="For a program.")] = False) -> None:
    """Show one customer's scores and why. Ends with 1 if the customer is not known."""
    import redis

    from streams.redis.keys import Keys
    from streams.summary import show_customer

    settings = load_settings()
    try:
        with redis.Redis.from_url(settings.given("redis"), decode_responses=True) as client:
            found: dict[str, str] = client.hgetall(Keys(settings.prefix).customer(customer_id))
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable(f"redis: {error}") from None
    if not found:
        _end(1, f"customer {customer_id} is not known")
    if json:
        print(msgspec.json.encode({"customer_id": customer_id, **found}).decode())  # noqa: T201
    else:
        show_customer(out, customer_id, found, settings.currency)


@app.command()
def campaigns() -> None:
    """Check and list the campaigns. Ends with 2 if one is wrong."""
    from streams.worker import make_shop

    for campaign in make_shop(load_settings()).campaigns:
        spec = campaign.spec
        out.print(
            f"{campaign.id}: {spec.name}, by {spec.channel}, when {', '.join(sorted(spec.when))}", highlight=False
        )


@app.command()
def schemas(folder: Annotated[Path, typer.Argument()] = Path("schemas/json")) -> None:
    """Write the JSON Schemas of all events, a file a topic."""
    from schemas.codec import json_schemas

    folder.mkdir(parents=True, exist_ok=True)
    for topic, schema in json_schemas().items():
        (folder / f"{topic}.json").write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n")


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the summary.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where to write the report as JSON.")] = None,
    limit: Annotated[int | None, typer.Option(help="Lines of the data to replay.")] = None,
) -> None:
    """Run the whole job on a year of a real shop, with an embedded Kafka and Redis."""
    from streams.demo import run_demo
    from streams.embedded import ServicesUnavailable

    try:
        run_demo(out, err, once=once, report=report, limit=limit)
    except ServicesUnavailable as error:
        _end(3, str(error))
