"""`/metrics`, `/healthz` (alive) and `/readyz` (has its partitions, reaches Redis and Kafka)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from streams.errors import Misconfigured
from streams.metrics import Metrics

Ready = Callable[[], Awaitable[Mapping[str, Sequence[str]]]]
"""What is missing, in words, by part; a part is empty where all is well. Answers in bounded time."""
LOOK: Final = 5.0
"""Seconds between looks at what is missing, for `streamscore_ready`."""


class Web:
    """A small server of its own. Listens on 127.0.0.1 unless told otherwise."""

    def __init__(self, metrics: Metrics, ready: Ready, host: str, port: int) -> None:
        self.metrics, self.ready, self.host, self.port = metrics, ready, host, port
        self.watching: asyncio.Task[None] | None = None
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        self.runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """Listen; `port` is then the real one. Raises `Misconfigured` where it is taken."""
        await self.runner.setup()
        try:
            await web.TCPSite(self.runner, self.host, self.port).start()
        except OSError as error:
            raise Misconfigured(f"STREAMSCORE_METRICS_PORT: {self.host}:{self.port} is taken ({error})") from None
        self.port = self.runner.addresses[0][1]
        self.watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Listen no more."""
        if self.watching is not None:
            self.watching.cancel()
        await self.runner.cleanup()

    async def _watch(self) -> None:
        while True:
            await self._missing()
            await asyncio.sleep(LOOK)

    async def _missing(self) -> list[str]:
        parts = await self.ready()
        self.metrics.missing(parts)
        return [words for missing in parts.values() for words in missing]

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        missing = await self._missing()
        text = "\n".join(missing) if missing else "ready"
        return web.Response(text=f"{text}\n", status=503 if missing else 200)
