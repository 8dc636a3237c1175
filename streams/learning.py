"""The learning agent: examples in, leagues taught, models published. Taken and fenced as a shard is."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any, Final

import msgpack
import msgspec
from faust.types import TP

from models.league.snapshot import SnapshotRefused
from models.learning import Learning
from schemas.requests import OPERATOR
from streams.errors import Fenced, Misconfigured, Unavailable
from streams.guarded import guarded
from streams.held import back_off
from streams.kafka.logs import Logs
from streams.kafka.transport import ChunkedApp, make_app
from streams.metrics import Metrics
from streams.outgoing import read_examples
from streams.pace import SOONEST, Pace
from streams.publishing import Published
from streams.redis.client import redis_errors
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.redis.saved import PARTITION, Saved, Taken, is_new
from streams.redis.scripts import TAKE, WRITE
from streams.settings import Settings
from streams.sizes import Sizes
from streams.snapshots import Snapshots

SAVE_SECONDS: Final = 5.0
"""What the last save may take, or the taking that is under way."""
REPORT_EVERY: Final = 5.0
PIECE_SECONDS: Final = 3_600
"""What a piece lives without a write that names it."""
logger = logging.getLogger(__name__)


class Standing:
    """The learner as taken: what it has learned, and up to where. Dropped as a whole when it is taken again."""

    def __init__(
        self, head: int, snapshot: Saved, before: Saved, learning: Learning, published: Published, epoch: int
    ) -> None:
        self.head, self.snapshot, self.before = head, snapshot, before
        self.learning, self.published, self.epoch = learning, published, epoch
        self.log, self.taken = msgspec.structs.replace(snapshot.log), deepcopy(snapshot.taken)
        self.saved = self.log.next
        self.answered: list[str] = []
        self.ready = False  # until sought
        self.missed = False  # records came meanwhile, and were not taken

    @property
    def next(self) -> int:
        """The next offset of `examples`."""
        return self.log.next


class LearningAgent:
    """Everything between `examples` and the published models."""

    def __init__(
        self, settings: Settings, ledger: RedisLedger, metrics: Metrics, fail: Callable[[BaseException], None]
    ) -> None:
        self.settings, self.ledger, self.metrics, self.fail = settings, ledger, metrics, fail
        self.client: Any = ledger.client
        self.keys = Keys(settings.prefix)
        self.snapshots, self.sizes = Snapshots(self.client, settings), Sizes()
        self._take_script = self.client.register_script(TAKE)
        self._write_script = self.client.register_script(WRITE)
        self.topic = f"{settings.prefix}examples"
        broker = settings.kafka
        name = f"{settings.prefix}streamscore-learning"
        self.app: ChunkedApp = make_app(name, broker, str(settings.data / "faust-learning"), self.given, self.assigned)
        source = self.app.topic(
            self.topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw"
        )
        self.app.agent(source, name="learning")(self._receive)
        self.logs = Logs(broker)
        self.standing: Standing | None = None
        self.standby = False
        self.retaking: asyncio.Task[None] | None = None
        self.stood = 0
        self.stopping = False
        self._one = asyncio.Lock()  # of taking and saving, so that neither sees half of the other
        self.reported = 0.0
        self.reported_at = -1
        self.pace, self.wait = Pace(), SOONEST
        self.asked = asyncio.Event()
        self.heard = time.monotonic()
        self.background: list[asyncio.Task[None]] = []

    @property
    def learning(self) -> Learning | None:
        """What is learned; None while the learner is not ours."""
        return None if self.standing is None else self.standing.learning

    def missing(self) -> list[str]:
        """Return what keeps the learner from being ready, in words. Where another worker has it, this one is."""
        if self.standing is None:
            return [] if self.standby else ["the learner has not been taken yet"]
        return [] if self.standing.ready else ["the learner is taken and does not read on yet"]

    async def start(self) -> None:
        """Join the group."""
        loops = (self._save_often, self._measure, self._watch)
        self.background = [asyncio.create_task(guarded(self.fail, loop)) for loop in loops]
        await self.app.start()

    async def stop(self) -> None:
        """Save, and leave the group."""
        self.stopping = True
        for task in [*self.background, *([self.retaking] if self.retaking else [])]:
            task.cancel()
        try:
            await asyncio.wait_for(self._save(), SAVE_SECONDS)
        except (Fenced, Unavailable, TimeoutError) as error:
            logger.warning("Not saved, it will be learned again: %r", error)
        await self.app.stop()
        await self.logs.stop()

    # Assignment.

    def given(self, tps: set[TP]) -> None:
        """Let go where Kafka has given the topic to another worker."""
        self.standby = not tps
        if not tps:
            self.standing = None
            self.metrics.unlearned()
        elif self.standing is not None:
            self.standing.ready = False

    async def assigned(self, tps: set[TP]) -> None:
        """Take the learner unless it is ours already, and read on from where it is."""
        if not tps:
            return
        if len(tps) > 1:
            self.fail(Misconfigured(f"{self.topic} must have one partition"))
            return
        try:
            async with self._one:
                if self.standing is None:
                    await self._take()
                await self._seek()
        except Unavailable as error:
            logger.warning("The learner cannot be taken yet: %s", error)
            self.standing = None  # also where it was taken and could not seek: nobody would read on
            self._take_again()
        except Exception as error:  # noqa: BLE001 - as above
            self.fail(error)

    async def _take(self) -> None:
        with redis_errors():
            flat = await self._take_script(keys=[self.keys.learner(PARTITION)], args=[1])
            epoch = self.ledger.server.epoch
            fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
            snapshot, before = Saved.of(fields), msgspec.json.decode(fields.get("before", b"{}"), type=Saved)
            try:
                learning = await self.snapshots.read(snapshot)
            except SnapshotRefused as error:
                learning = await self.snapshots.read_before(before, error)
                logger.error("The learner's snapshot is refused, the one before it serves: %s", error)  # noqa: TRY400
                snapshot, before = before, snapshot
            published = await Published.read(self.client, self.settings)
        standing = Standing(int(fields["head"]), snapshot, before, learning, published, epoch)
        await self.logs.check({"examples": standing.log}, PARTITION, self.settings)
        self.standing = standing

    async def _seek(self) -> None:
        """Read on from where the learner is. Whoever calls this holds the lock."""
        standing, tp = self.standing, TP(self.topic, PARTITION)
        if standing is not None:
            standing.ready, standing.missed = False, True
            while standing.missed:
                standing.missed = False
                self.app.consumer.on_buffer_full(tp)
                if not await self.app.consumer.go_to({tp: standing.next}):
                    return
            standing.ready = True
            self.app.consumer.on_buffer_drop(tp)

    def _start_again(self, standing: Standing, why: object) -> None:
        if self.standing is standing:
            logger.warning("The learner starts again: %s", why)
            self.standing = None
            self._take_again()

    def _take_again(self) -> None:
        if self.stopping:
            return
        self.app.consumer.on_buffer_full(TP(self.topic, PARTITION))
        if self.retaking is None or self.retaking.done():
            self.retaking = asyncio.create_task(guarded(self.fail, self._retake))

    async def _retake(self) -> None:
        """Take the learner again, only if the topic is still ours and Kafka says so too."""
        tp, attempt = TP(self.topic, PARTITION), 0
        while self.standing is None:
            await asyncio.sleep(back_off(attempt))
            attempt += 1
            if tp not in self.app.consumer.assignment():
                return
            if not await self.app.consumer.confirm({tp: self.stood}):
                continue
            async with self._one:
                if self.standing is not None or tp not in self.app.consumer.assignment():
                    return
                try:
                    await self._take()
                    await self._seek()
                except Unavailable as error:
                    logger.warning("The learner cannot be taken, again in %.1f s: %s", back_off(attempt), error)
                    self.standing = None

    async def _watch(self) -> None:
        """Look for what no event tells: another server, a Faust that has ended. Tell Kafka, for monitors of lag."""
        reported = 0.0
        while True:
            await asyncio.sleep(0.25)
            if self.app.crashed:
                raise self.app.crash_reason or RuntimeError("Faust has ended")
            standing, now = self.standing, time.monotonic()
            if standing is None:
                continue
            self.stood = standing.saved
            if standing.epoch != self.ledger.server.epoch:
                self._start_again(standing, "Redis was restarted, or is another one")
            elif now > reported + REPORT_EVERY:
                reported = now
                await self.app.consumer.confirm({TP(self.topic, PARTITION): standing.saved})

    # Records.

    async def _receive(self, stream: Any) -> None:
        async for event in stream.events():
            tp, records, standing = event.message.tp, event.value, self.standing
            if standing is None:
                self.app.consumer.on_buffer_full(tp)  # until it is taken
                continue
            if records.answer.seeks != self.app.consumer.seeks(tp):
                continue
            if not standing.ready:
                standing.missed = True
                continue
            if records.answer.before != standing.next or records[0].offset < standing.next:
                self._start_again(standing, "what came does not follow what is here")
                continue
            try:
                await self._learn(standing, records)
            except Unavailable as error:
                self._start_again(standing, error)
            except Exception as error:  # noqa: BLE001 - an error of ours acknowledges nothing: stop loudly
                self.fail(error)
                return

    async def _learn(self, standing: Standing, records: Any) -> None:
        read = [origin(record) for record in records]
        lineages = await self.ledger.lineages({found[0] for found in read if found is not None})
        if self.ledger.server.epoch != standing.epoch:
            raise Unavailable("redis: it was restarted, or is another one")
        if self.standing is not standing or not standing.ready:
            return  # taken again meanwhile: these come again
        for record, found in zip(records, read, strict=True):
            if found is None:
                self._request(standing, record)
                continue
            shard, head, part = found
            task = record.key.decode()
            taken = standing.taken.setdefault(f"{shard}:{task}", Taken())
            if is_new(taken, head, part, lineages[shard]):
                task, rows = read_examples(record.value)
                standing.learning.take(task, rows)
                self.metrics.learned.labels(task).inc(len(rows))
                taken.head, taken.part = head, part
        standing.log.next = records.answer.after
        self.heard = time.monotonic()

    def _request(self, standing: Standing, record: Any) -> None:
        """Do what an operator asked for, and save without delay. What cannot be read is nobody's request."""
        try:
            standing.learning.take(*read_examples(record.value))
        except (msgspec.MsgspecError, KeyError, TypeError) as error:
            logger.warning("%s %s@%s is no request: %s", record.topic, record.partition, record.offset, error)
        self.reported = float("-inf")  # what is told then knows of it
        self.asked.set()

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            standing = self.standing
            answer = self.app.consumer.answers.get(TP(self.topic, PARTITION))
            lags = {}
            if standing is not None and answer is not None:
                lags["examples", PARTITION] = max(answer.end - standing.next, 0)
            self.metrics.lagging(lags, ["examples"])

    # Saving and publishing.

    async def _save_often(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.asked.wait(), self.wait)
            self.asked.clear()
            standing = self.standing
            try:
                await self._save()
            except (Fenced, Unavailable) as error:
                if standing is not None:
                    self._start_again(standing, error)

    async def _save(self) -> None:
        """Write what was learned, up to where, and what it makes of the models: at once or not at all."""
        async with self._one:
            standing, now = self.standing, time.monotonic()
            if standing is None:
                return
            left = self.reported_at != standing.next or bool(standing.learning.market.book.changed)
            rest = now > self.heard + 1.0 and left
            due = now > self.reported + REPORT_EVERY and self.reported_at != standing.next
            if standing.next == standing.saved and not rest:
                return
            await self._write(standing, with_report=rest or due)

    async def _write(self, standing: Standing, *, with_report: bool) -> None:
        # All is put together before anything is waited for: what is learned meanwhile is the next one's.
        learning, upto, log = standing.learning, standing.next, msgspec.structs.replace(standing.log)
        public = standing.published
        commands, versions = public.models(learning, upto)
        kept_versions, shelf = public.shelf.commands(self.keys, self.settings, learning, upto)
        commands += kept_versions
        commands += public.sales_and_segments(learning)
        learner = self.keys.learner(PARTITION)
        asked = list(learning.leagues.care.asked)
        if asked != standing.answered:
            commands.append(["HSET", learner, "asked", msgspec.json.encode(learning.leagues.care.asked)])
            commands.append(["HDEL", self.keys.pinned, *asked])
        if with_report:
            report = self.sizes.report(learning)
            self.metrics.learning(learning, report)
            commands += public.of_report(learning, report)
            commands.append(["HSET", learner, "report", msgspec.json.encode(report), "reported", str(upto)])
            self.reported, self.reported_at = time.monotonic(), upto
        by = secrets.token_hex(8)
        saved, fresh = self.snapshots.cut(learning, standing.snapshot, log, standing.taken, by)
        before = standing.snapshot
        gone = list(standing.before.keys - before.keys - saved.keys)
        commands.append(["HSET", learner, *saved.fields(), "before", msgspec.json.encode(before)])
        commands += [["UNLINK", *gone[begin : begin + 1_000]] for begin in range(0, len(gone), 1_000)]
        with redis_errors():
            for piece, body in fresh.items():
                await self.client.set(piece, body, ex=PIECE_SECONDS)  # until the write names it
        size = await self._write_fenced(standing, [commands, list(fresh)], by)
        standing.saved, standing.snapshot, standing.before = upto, saved, before
        public.versions |= versions
        public.shelf, standing.answered = shelf, asked
        self.wait = self.pace.after(size + sum(map(len, fresh.values())), time.monotonic())

    async def _write_fenced(self, standing: Standing, payload: list[Any], by: str) -> int:
        """Run the script; on a lost reply look whether it ran. Returns the bytes sent."""
        learner, body = self.keys.learner(PARTITION), msgpack.packb(payload, use_bin_type=False)
        if standing.epoch != self.ledger.server.epoch:
            raise Unavailable("redis: it was restarted, or is another one")
        lost: Exception
        try:
            with redis_errors():
                done, head = await self._write_script(keys=[learner], args=[standing.head, body, by])
        except Unavailable as error:
            done, lost = 0, error
        else:
            lost = Fenced(f"the learner's head is not {standing.head} any more, or a piece is gone: {head!r}")
        if done != 1:
            with redis_errors():
                head, last = await self.client.hmget(learner, "head", "by")
            if last is None or last.decode() != by:
                raise lost
        standing.head = int(head)
        return len(body)


def origin(record: Any) -> tuple[int, int, int] | None:
    """Shard, head and part of a record of `examples`; None of an operator's request.

    Raises `Misconfigured` where it is nobody's of ours.
    """
    headers = dict(record.headers or ())
    if record.key == OPERATOR.encode():
        return None
    try:
        return int(headers["shard"]), int(headers["head"]), int(headers["part"])
    except (KeyError, ValueError):
        raise Misconfigured(
            f"{record.topic} {record.partition}@{record.offset} was not written by a scorer: it has no origin"
        ) from None
