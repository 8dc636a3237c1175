"""Whether a shard's place still fits Kafka's logs: the same topics, and nothing lost that was not read yet."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Literal

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from msgspec import Struct

from schemas.commit import TopicPlace
from streams.errors import Misconfigured, Unavailable
from streams.kafka.security import for_python
from streams.settings import Settings

logger = logging.getLogger(__name__)
SETTLES: Final = 20.0
"""Seconds in which a broker that has just started may not know its topics and ends yet."""
Kind = Literal["gone", "another", "partitions", "truncated", "missing"]


class Log(Struct, frozen=True):
    """One partition's log, as Kafka tells it. `id` is empty where there is no such topic."""

    id: str = ""
    partitions: int = 0
    begin: int = 0
    end: int = 0


class Problem(Struct, frozen=True):
    """What does not fit, and what to do. `settles`: it may pass by itself."""

    kind: Kind
    words: str
    settles: bool = False


def verdict(name: str, at: TopicPlace, log: Log) -> Problem | None:
    """Whether a place and a log fit; None where they do.

    Parameters
    ----------
    name
        Topic and partition, for the words.
    """
    if not log.id:
        words = "is not there. Make it again with `streamscore topics`, and send again what it held"
        return Problem("gone", f"{name} {words}", settles=True)
    if at.id and at.id != log.id:
        words = (
            f"was made anew: it is not the topic that was read up to offset {at.next}. Give the job a new prefix (it "
            "then learns all from the beginning)"
        )
        return Problem("another", f"{name} {words}")
    if at.partitions and at.partitions != log.partitions:
        words = (
            f"has {log.partitions} partitions, and had {at.partitions}: customers would change shards and lose what is "
            "remembered of them. Move the events to new topics under another prefix"
        )
        return Problem("partitions", f"{name} {words}")
    if at.next > log.end:
        words = f"ends at {log.end}, and was read up to {at.next}: it has lost its newest records. Send those again"
        return Problem("truncated", f"{name} {words}", settles=True)
    if at.next < log.begin:
        words = (
            f"begins at {log.begin}, and was read up to {at.next}: {log.begin - at.next} records were deleted before "
            "they were read (retention). Send them again"
        )
        return Problem("missing", f"{name} {words}")
    return None


def go_on(at: TopicPlace, log: Log, problem: Problem) -> int:
    """Move a place to where the log can be read. Returns how many records are known to be missing."""
    before = at.next
    if problem.kind == "another":
        at.next = log.begin
    elif problem.kind == "truncated":
        at.next = log.end
    at.next = max(at.next, log.begin)
    at.id, at.partitions = log.id, log.partitions
    return max(at.next - before, 0) if problem.kind == "missing" else 0


class Logs:
    """Asks Kafka's administrator, in a thread: aiokafka does not know a topic's id."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._admin: Any = None
        self._one = asyncio.Lock()
        self._since: dict[str, float] = {}

    async def check(self, places: dict[str, TopicPlace], number: int, settings: Settings) -> int:
        """Hold places by topic against the logs; write down what is new in them.

        Returns
        -------
        int
            Records that are missing, where the operator said to go on.

        Raises
        ------
        Misconfigured
            They do not fit, and the operator did not say to go on.
        Unavailable
            Kafka does not answer, or has not settled yet.
        """
        names, lost = {topic: settings.prefix + topic for topic in places}, 0
        for topic, log in (await self.look(names, number)).items():
            at = places[topic]
            problem = self.problem(f"{names[topic]}-{number}", at, log)
            if problem is None:
                at.id, at.partitions = log.id, log.partitions
            elif settings.on_missing == "go_on" and log.id:
                lost += go_on(at, log, problem)
                logger.warning("%s: going on from offset %d", problem.words, at.next)
            else:
                words = "or set STREAMSCORE_ON_MISSING=go_on to go on without it: what is missing is counted"
                raise Misconfigured(f"{problem.words}; {words}")
        return lost

    async def fits(self, places: dict[str, TopicPlace], number: int, settings: Settings) -> bool:
        """Whether running places still fit. Raises `Unavailable`."""
        names = {topic: settings.prefix + topic for topic in places}
        logs = await self.look(names, number)
        return all(self.problem(f"{names[topic]}-{number}", places[topic], log) is None for topic, log in logs.items())

    def problem(self, name: str, at: TopicPlace, log: Log) -> Problem | None:
        """As `verdict`, but what may settle is `Unavailable` for a while."""
        problem = verdict(name, at, log)
        if problem is None or not problem.settles:
            self._since.pop(name, None)
            return problem
        now = time.monotonic()
        if now - self._since.setdefault(name, now) < SETTLES:
            raise Unavailable(f"kafka: {problem.words}; looking again")
        return problem

    async def look(self, names: Mapping[str, str], number: int) -> dict[str, Log]:
        """Return each topic's log of one partition, by the names' keys. Raises `Unavailable`."""
        async with self._one:
            try:
                return await asyncio.to_thread(self._look, names, number)
            except (KafkaError, OSError) as error:
                await self.stop()
                raise Unavailable(f"kafka: {error}") from error

    def _look(self, names: Mapping[str, str], number: int) -> dict[str, Log]:
        if self._admin is None:
            self._admin = KafkaAdminClient(**for_python(self.broker), request_timeout_ms=5_000)
        described = {one["name"]: one for one in self._admin.describe_topics(list(names.values()))}
        there = [name for name in names.values() if described.get(name, {}).get("topic_id")]
        tps = [TopicPartition(name, number) for name in there if number < len(described[name]["partitions"])]
        begins = self._admin.list_partition_offsets(dict.fromkeys(tps, OffsetSpec.EARLIEST)) if tps else {}
        ends = self._admin.list_partition_offsets(dict.fromkeys(tps, OffsetSpec.LATEST)) if tps else {}
        logs = dict.fromkeys(names, Log())
        for topic, name in names.items():
            tp = TopicPartition(name, number)
            if tp in ends:
                one = described[name]
                logs[topic] = Log(str(one["topic_id"]), len(one["partitions"]), begins[tp].offset, ends[tp].offset)
        return logs

    async def stop(self) -> None:
        """Disconnect."""
        admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(Exception):  # what it was connected with may be gone
                await asyncio.to_thread(admin.close)
