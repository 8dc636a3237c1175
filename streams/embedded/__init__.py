"""Apache Kafka and a Redis-compatible server on this machine, for demo, tests and benchmarks. The real things."""

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct
from rich.console import Console

from streams.embedded.kafka import fetch_kafka, start_kafka
from streams.embedded.process import ServicesUnavailable, watch
from streams.embedded.redis import start_redis

__all__ = ["Services", "ServicesUnavailable", "services"]


class Services(Struct, frozen=True):
    """Where they listen: `host:port`, and a URL."""

    broker: str
    redis: str


@contextmanager
def services(
    broker: str | None = None, redis: str | None = None, data: Path | None = None, quiet: bool = False
) -> Iterator[Services]:
    """Start what is not given, and stop it whatever happens, even if this process is killed.

    Parameters
    ----------
    broker, redis
        Services of one's own. What is given is used, and nothing is started or fetched for it.
    data
        Folder to keep their data in. None: a temporary one, removed at the end.
    quiet
        Show no progress.

    Raises
    ------
    ServicesUnavailable
        Says what is missing, and which two settings point to services of one's own.
    """
    if broker is not None and redis is not None:
        yield Services(broker, redis)
        return
    console = Console(stderr=True, quiet=quiet)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="streamscore-")) if data is None else data
        folder.mkdir(parents=True, exist_ok=True)
        if data is None:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        group = stack.enter_context(watch(folder if data is None else None))
        with ThreadPoolExecutor(2) as pool, console.status("Starting Redis ...") as status:
            waiting = pool.submit(start_redis, folder / "redis", group) if redis is None else None
            if broker is None:
                status.update("Fetching Apache Kafka (46 MB, once) ...")
                jars = fetch_kafka()
                status.update("Starting Apache Kafka ...")
                broker = start_kafka(folder / "kafka", jars, group)
            if waiting is not None:
                redis = waiting.result()
        assert broker is not None and redis is not None  # noqa: S101, PT018 - either given or started
        yield Services(broker, redis)
