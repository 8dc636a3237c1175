"""One process: the scoring agent, the learning agent, or both, with their metrics."""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from models.campaigns.campaign import CampaignError
from models.cold import cold
from models.shard import Shop
from streams.campaigns import load
from streams.errors import Misconfigured
from streams.kafka.reach import reach as reach_kafka
from streams.kafka.topics import ensure_topics
from streams.metrics import Metrics, Only
from streams.redis.client import Server, check_settings, connect, login
from streams.redis.client import reach as reach_redis
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.redis.models import ModelFeed
from streams.scoring import Scoring
from streams.settings import Settings
from streams.web import Web

if TYPE_CHECKING:
    from streams.learning import LearningAgent

PATIENCE: Final = 2.0
"""Seconds that Redis and Kafka have to answer when somebody asks whether the worker is ready."""
YOUNG: Final = 100_000
"""Objects that are made before the collector looks for cycles. At Python's 700 it took a third of all time."""
STOP_SECONDS = 9.0
logger = logging.getLogger(__name__)


def make_shop(settings: Settings) -> Shop:
    """Policy and campaigns. Raises `Misconfigured`."""
    try:
        campaigns = load(settings.campaigns, settings.timezone)
    except CampaignError as error:
        raise Misconfigured(f"STREAMSCORE_CAMPAIGNS: {error}") from None
    return Shop(settings.policy, campaigns, settings.partitions)


class Worker:
    """Agents and what they need, from start to stop."""

    def __init__(self, settings: Settings, only: Only | None = None) -> None:
        self.settings, self.only = settings, only
        self.ended: asyncio.Event = asyncio.Event()
        self.error: BaseException | None = None
        self.metrics = Metrics(only)
        server = Server()
        self.client = connect(settings.given("redis"), server, **login(settings))
        keys = Keys(settings.prefix)
        ledger = RedisLedger(self.client, keys, server)
        self.scoring: Scoring | None = None
        self.learning: LearningAgent | None = None
        if only != "learning":
            feed = ModelFeed(self.client, keys, cold(settings.window_days), settings.pins)
            self.scoring = Scoring(settings, make_shop(settings), ledger, feed, self.metrics, self.fail)
        if only != "scoring":
            from streams import learning  # loads River, which a worker that only scores has no use for

            self.learning = learning.LearningAgent(settings, ledger, self.metrics, self.fail)
        self.web = Web(self.metrics, self.missing, settings.metrics_host, settings.metrics_port)

    def fail(self, error: BaseException) -> None:
        """Stop the worker: nothing more is acknowledged. The first error counts."""
        if self.error is None:
            self.error = error
        self.ended.set()

    async def missing(self) -> dict[str, list[str]]:
        """Return what keeps the worker from being ready, by part; within `PATIENCE` even if nothing answers."""
        redis_words, kafka_words = await asyncio.gather(
            reach_redis(self.client, PATIENCE), reach_kafka(self.settings.kafka, PATIENCE)
        )
        parts = {"redis": [redis_words] if redis_words else [], "kafka": [kafka_words] if kafka_words else []}
        if self.scoring is not None:
            parts["shards"] = self.scoring.missing()
        if self.learning is not None:
            parts["learner"] = self.learning.missing()
        return parts

    async def run(self, started: Callable[["Worker"], None] | None = None) -> None:
        """Work until told to stop by SIGTERM or Ctrl-C.

        Raises
        ------
        Misconfigured, Unavailable
            It could not start.
        BaseException
            What nobody expected; a supervisor starts the worker again.
        """
        gc.freeze()  # what was imported stays
        gc.set_threshold(YOUNG, 20, 20)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.ended.set)
        for warning in await check_settings(self.client):
            logger.warning("%s", warning)
        made = await asyncio.to_thread(
            ensure_topics, self.settings.kafka, self.settings.prefix, self.settings.partitions
        )
        if made:
            logger.info("Made the topics %s", ", ".join(made))
        await self.web.start()
        agents = [agent for agent in (self.learning, self.scoring) if agent is not None]
        starting = asyncio.gather(*(agent.start() for agent in agents))  # each waits for its group
        told = asyncio.create_task(self.ended.wait())
        either: set[asyncio.Future[Any]] = {starting, told}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        try:
            if starting.done() and started is not None:
                started(self)
            await told
        finally:
            await asyncio.gather(*map(_stop_in_time, agents))
            starting.cancel()  # if told to stop meanwhile
            await self.web.stop()
            await self.client.aclose()
        if self.error is not None:
            raise self.error


async def _stop_in_time(agent: "Scoring | LearningAgent") -> None:
    try:
        await asyncio.wait_for(agent.stop(), STOP_SECONDS)
    except TimeoutError:
        logger.warning("%s did not stop in time", type(agent).__name__)
