"""The learning agent: examples in, leagues taught, models published. Taken and fenced as a shard is."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import msgpack
import msgspec
import redis.asyncio
from faust.types import TP

from models.league.snapshot import freeze, thaw
from models.learning import Learning
from models.sales.series import E4
from schemas.segments import encode_segments
from schemas.serving import encode_model
from streams.errors import Fenced, Misconfigured, Unavailable
from streams.kafka.transport import ChunkedApp, make_app
from streams.metrics import Metrics
from streams.outgoing import read_examples
from streams.redis.client import redis_errors
from streams.redis.keys import Keys
from streams.redis.ledger import Lineage, RedisLedger
from streams.redis.scripts import TAKE, WRITE
from streams.settings import Settings

PARTITION: Final = 0
"""`examples` has one partition: one learner for all tasks."""
SOONEST: Final = 0.5
"""Seconds between commits, at least; more where much is written."""
BYTES_PER_SECOND: Final = 1_000_000
REPORT_EVERY: Final = 5.0
SNAPSHOT: Final = "all"
logger = logging.getLogger(__name__)


class Taken(msgspec.Struct):
    """The last entry taken of one shard."""

    head: int = 0
    part: int = -1


def is_new(taken: Taken, head: int, part: int, lineage: Lineage) -> bool:
    """Whether an entry of the outbox is to be learned: not yet taken, and not rolled back."""
    if (head, part) <= (taken.head, taken.part) or head > lineage.head:
        return False
    return not any(low < head < high for low, high in lineage.gaps)


def snapshot_key(settings: Settings) -> bytes:
    """Return the key that signs snapshots: the setting's, or one drawn into the data folder (mode 0600)."""
    if settings.snapshot_key is not None:
        return settings.snapshot_key.get_secret_value().encode()
    settings.data.mkdir(parents=True, exist_ok=True)
    file = settings.data / "snapshot.key"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text().encode()


class LearningAgent:
    """Everything between `examples` and the published models."""

    def __init__(
        self,
        settings: Settings,
        client: redis.asyncio.Redis,
        ledger: RedisLedger,
        metrics: Metrics,
        fail: Callable[[BaseException], None],
    ) -> None:
        self.settings, self.ledger, self.metrics, self.fail = settings, ledger, metrics, fail
        self.client: Any = client
        self.keys = Keys(settings.prefix)
        self.key = snapshot_key(settings)
        self._take_script = client.register_script(TAKE)
        self._write_script = client.register_script(WRITE)
        self.topic = f"{settings.prefix}examples"
        name = f"{settings.prefix}streamscore-learning"
        self.app: ChunkedApp = make_app(
            name, settings.given("broker"), str(settings.data / "faust-learning"), self.assigned
        )
        source = self.app.topic(
            self.topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw"
        )
        self.app.agent(source, name="learning")(self._receive)
        self.learning: Learning | None = None
        self.head = self.next = self.saved = 0
        self.taken: dict[int, Taken] = {}
        self.published: dict[str, str] = {}
        self.reported = 0.0
        self.reported_at = -1
        self.wait = SOONEST
        self.heard = time.monotonic()
        self.background: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Join the group."""
        self.background = [asyncio.create_task(self._save_often()), asyncio.create_task(self._measure())]
        await self.app.start()

    async def stop(self) -> None:
        """Save, and leave the group."""
        for task in self.background:
            task.cancel()
        try:
            await self._save()
        except (Fenced, Unavailable) as error:
            logger.warning("Not saved, it will be learned again: %s", error)
        await self.app.stop()

    async def assigned(self, tps: set[TP]) -> dict[TP, int]:
        """Take the learner, and return where to read on."""
        self.learning = None
        if not tps:
            return {}
        if len(tps) > 1:
            self.fail(Misconfigured(f"{self.topic} must have one partition"))
            return {}
        await self._take_patiently()
        return dict.fromkeys(tps, self.next)

    async def _take_patiently(self) -> None:
        while True:
            try:
                await self._take()
            except Unavailable as error:
                logger.warning("The learner cannot be taken yet: %s", error)
                await asyncio.sleep(1.0)
            else:
                return

    async def _take(self) -> None:
        with redis_errors():
            flat = await self._take_script(keys=[self.keys.learner(PARTITION)], args=[1])
            body = await self.client.get(self.keys.snapshot(PARTITION, SNAPSHOT))
        fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        learning = Learning(self.settings.policy)
        if body is not None:
            learning.restore(thaw(body, self.key))
        self.head = int(fields["head"])
        self.next = self.saved = int(fields.get("next", 0))
        self.taken = msgspec.json.decode(fields.get("taken", b"{}"), type=dict[int, Taken])
        self.published = {}
        self.learning = learning

    async def _start_again(self) -> None:
        self.learning = None
        tps = self.app.consumer.assignment()
        await asyncio.sleep(0.1)
        await self._take_patiently()
        for tp in tps:
            await self.app.consumer.seek(tp, self.next)

    async def _receive(self, stream: Any) -> None:
        async for event in stream.events():
            tp, records = event.message.tp, event.value
            thread = self.app.consumer._thread  # noqa: SLF001 - ours
            if self.learning is None or records.answer.seeks != thread.seeks[tp]:
                continue
            if records.answer.before != self.next:
                await self._start_again()
                continue
            try:
                await self._learn(records)
            except Unavailable as error:
                logger.warning("The learner starts again: %s", error)
                await self._start_again()
            except Exception as error:  # noqa: BLE001 - an error of ours acknowledges nothing: stop loudly
                self.fail(error)
                return

    async def _learn(self, records: Any) -> None:
        read = [_origin(record) for record in records]
        lineages = await self.ledger.lineages({origin[0] for origin in read})
        for record, (shard, head, part) in zip(records, read, strict=True):
            taken = self.taken.setdefault(shard, Taken())
            if self.learning is not None and is_new(taken, head, part, lineages[shard]):
                task, rows = read_examples(record.value)
                self.learning.take(task, rows)
                self.metrics.learned.labels(task).inc(len(rows))
                taken.head, taken.part = head, part
            self.next = record.offset + 1
        self.next = records.answer.after
        self.heard = time.monotonic()

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            answer = self.app.consumer.answers.get(TP(self.topic, PARTITION)) if self.learning is not None else None
            lags = {} if answer is None else {("examples", PARTITION): max(answer.end - self.next, 0)}
            self.metrics.lagging(lags, ["examples"])

    # Saving and publishing.

    async def _save_often(self) -> None:
        while True:
            await asyncio.sleep(self.wait)
            try:
                await self._save()
            except (Fenced, Unavailable) as error:
                logger.warning("The learner starts again: %s", error)
                await self._start_again()
            except Exception as error:  # noqa: BLE001 - as above
                self.fail(error)
                return

    async def _save(self) -> None:
        learning, now = self.learning, time.monotonic()
        if learning is None:
            return
        rest = now > self.heard + 1.0 and self.reported_at != self.next
        due = now > self.reported + REPORT_EVERY and self.reported_at != self.next
        if self.next == self.saved and not rest:
            return
        commands = self._models(learning) + self._shown(learning)
        if rest or due:
            report = learning.report()
            self.metrics.learning(learning, report)
            commands.append(
                [
                    "HSET",
                    self.keys.learner(PARTITION),
                    "report",
                    msgspec.json.encode(report),
                    "reported",
                    str(self.next),
                ]
            )
            self.reported, self.reported_at = now, self.next
        snapshot = freeze(learning.state(), self.key)
        taken = msgspec.json.encode(self.taken)
        commands += [
            ["SET", self.keys.snapshot(PARTITION, SNAPSHOT), snapshot],
            ["HSET", self.keys.learner(PARTITION), "next", str(self.next), "taken", taken],
        ]
        upto = self.next
        payload = msgpack.packb(commands, use_bin_type=False)
        with redis_errors():
            done, head = await self._write_script(keys=[self.keys.learner(PARTITION)], args=[self.head, payload])
        if not done:
            raise Fenced(f"the learner's head is {int(head)}, not {self.head}")
        self.head, self.saved = int(head), upto
        self.wait = max(SOONEST, len(payload) / BYTES_PER_SECOND)

    def _models(self, learning: Learning) -> list[list[Any]]:
        models = learning.serving()
        commands: list[list[Any]] = []
        for task in ("response", "churn", "value", "segments"):
            model = getattr(models, task)
            if model is None or self.published.get(task) == model.version:
                continue
            body = encode_segments(model) if task == "segments" else encode_model(model)
            commands += [["SET", self.keys.model(task), body], ["HSET", self.keys.models, task, model.version]]
            self.published[task] = model.version
        return commands

    def _shown(self, learning: Learning) -> list[list[Any]]:
        """Sales series and segments, as users read them."""
        commands: list[list[Any]] = []
        for series in learning.sales.series:
            fields = _sales_fields(learning, series)
            commands += [["HSET", self.keys.sales(series), *fields], ["SADD", self.keys.series, series]]
        segments = learning.clusters.compiled(str(learning.clusters.fits))
        for number, name in enumerate(segments.names if segments is not None else ()):
            customers = str(learning.members.get(number, 0))
            fields = ["name", name, "customers", customers, "version", segments.version if segments else ""]
            commands += [["HSET", self.keys.segment(number), *fields], ["SADD", self.keys.segments, str(number)]]
        return commands


def _sales_fields(learning: Learning, series: str) -> list[str]:
    outlook = learning.sales.outlook(series)
    fields = ["total", repr(outlook.total_e4 / E4), "late", str(outlook.late)]
    if outlook.last_day is not None:
        fields += ["last_day", str(outlook.last_day), "last", repr(outlook.last_e4 / E4)]
    if outlook.week is not None and outlook.week_naive is not None:
        fields += ["next_week", f"{outlook.week:.2f}", "next_week_naive", f"{outlook.week_naive:.2f}"]
    for horizon, ahead in outlook.horizons.items():
        forecast = {"point": ahead.point, "low": ahead.low, "high": ahead.high, "naive": ahead.naive}
        fields += [f"forecast_{horizon}", msgspec.json.encode(forecast).decode()]
    return fields


def _origin(record: Any) -> tuple[int, int, int]:
    """Shard, head and part of a record of `examples`. Raises `Misconfigured` where it is nobody's of ours."""
    headers = dict(record.headers or ())
    try:
        return int(headers["shard"]), int(headers["head"]), int(headers["part"])
    except (KeyError, ValueError):
        raise Misconfigured(
            f"{record.topic} {record.partition}@{record.offset} was not written by a scorer: it has no origin"
        ) from None
