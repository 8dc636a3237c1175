"""Commands that run the job: `worker`, `services`, `topics`, `campaigns`, `schemas`."""

import asyncio
import logging
import os
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.console import ConsoleRenderable
from rich.logging import RichHandler
from rich.text import Text

from streams.cli.app import app, end, err, out
from streams.errors import Misconfigured
from streams.reporting.plain import visible
from streams.settings import load_settings

if TYPE_CHECKING:
    from streams.worker import Worker

END_SECONDS: Final = 9.5
"""From being told to stop to the end, at most."""
BEHIND = 5
"""How much a process that only learns gives way, as `nice` counts."""


class _Lines(RichHandler):
    """Log lines quote records and answers of servers: a terminal obeys none of it."""

    def render_message(self, record: logging.LogRecord, message: str) -> ConsoleRenderable:
        return super().render_message(record, visible(message, lines=True))


def _log(verbose: bool) -> None:
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_Lines(console=err, show_path=False)])
    logging.getLogger("streams").setLevel(level)
    for noisy in ("aiokafka", "kafka", "faust", "mode", "streams.kafka.transport"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@app.command()
def worker(
    only: Annotated[str | None, typer.Option(help="`scoring` or `learning`; both if left out.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Score and learn until stopped. Ends with 2 on wrong settings, 3 where Kafka or Redis is away at the start.

    A process that only learns gives way to others where processors are short: scores come first.
    """
    from streams.worker import Worker

    if only not in (None, "scoring", "learning"):
        raise Misconfigured(f"--only is `scoring` or `learning`, not {only!r}")
    _log(verbose)
    settings = load_settings()
    if only == "learning":
        give_way()

    def started(running: Worker) -> None:
        err.print(f"metrics on http://{settings.metrics_host}:{running.web.port}/metrics", highlight=False)

    async def run() -> None:
        running = Worker(settings, only)  # type: ignore[arg-type]
        guard = asyncio.create_task(_end_in_time(running))
        await running.run(started)
        guard.cancel()

    asyncio.run(run())


def give_way() -> None:
    """Let other processes go first where processors are short.

    Linux may weigh sessions against each other before it looks at processes (`sched_autogroup_enabled`), and knows
    nothing of `nice` between two sessions then: whoever leads one says it for the session too.
    """
    os.nice(BEHIND)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # another system, or it may not be written
            Path("/proc/self/autogroup").write_text(str(BEHIND))


async def _end_in_time(running: "Worker") -> None:
    """End by force where services that are away keep the worker from ending. What was not committed is read again."""
    await running.ended.wait()

    def end_now() -> None:
        error = running.error
        if error is not None:  # why it stopped comes before what kept it from stopping
            err.print(Text("streamscore:", "red"), Text("".join(traceback.format_exception_only(error)).strip()))
        err.print(Text("streamscore:", "red"), "ended by force: something did not answer while it stopped")
        os._exit(2 if isinstance(error, Misconfigured) else 3)

    timer = threading.Timer(END_SECONDS, end_now)
    timer.daemon = True
    timer.start()


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
        end(3, str(error))


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
    made = ensure_topics(settings.kafka, settings.prefix, settings.partitions)
    out.print("\n".join(f"made {name}" for name in made) or "all topics are there")


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

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for topic, schema in json_schemas().items():
            (folder / f"{topic}.json").write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n")
    except OSError as error:
        raise Misconfigured(str(error)) from None
