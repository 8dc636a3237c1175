"""`/metrics`, `/healthz` (alive) and `/readyz` (has its partitions, reaches Redis and Kafka)."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from streams.errors import Misconfigured
from streams.metrics import Metrics

Ready = Callable[[], Awaitable[list[str]]]
"""What is missing, in words; nothing where all is well."""


class Web:
    """A small server of its own. Listens on 127.0.0.1 unless told otherwise."""

    def __init__(self, metrics: Metrics, ready: Ready, host: str, port: int) -> None:
        self.metrics, self.ready, self.host, self.port = metrics, ready, host, port
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

    async def stop(self) -> None:
        """Listen no more."""
        await self.runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        missing = await self.ready()
        text = "\n".join(missing) if missing else "ready"
        return web.Response(text=f"{text}\n", status=503 if missing else 200)
