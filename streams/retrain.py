"""Learn all again from the beginning of `examples`, beside the learner that serves."""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import kafka
import msgspec
from kafka import TopicPartition
from kafka.errors import KafkaError

from models.learning import Learning
from schemas.commit import TopicPlace
from streams.errors import Misconfigured, Unavailable
from streams.kafka.security import for_python
from streams.learning import origin
from streams.operator import FIRST, retrained
from streams.outgoing import read_examples
from streams.redis.keys import Keys
from streams.redis.ledger import lineage_of
from streams.redis.saved import PARTITION, Saved, Taken, is_new
from streams.settings import Settings
from streams.sizes import Sizes
from streams.snapshots import Snapshots

POLL: Final = 500
"""Records a poll."""
PATIENCE: Final = 10_000
"""Milliseconds that a poll waits."""
Progress = Callable[[int, int], None]


def retrain(client: Any, settings: Settings, name: str, progress: Progress, dry_run: bool) -> dict[str, Any]:
    """Learn from the beginning up to what is the end now, and keep it under a name.

    Raises
    ------
    Misconfigured
        The name is taken or not one, or the beginning of `examples` is gone.
    Unavailable
        Kafka or Redis is away.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name) or name == FIRST:
        raise Misconfigured(f"a name has up to 32 letters, digits, - and _, and is not {FIRST}: {name!r}")
    if name in retrained(client, settings):
        raise Misconfigured(f"there is a learner {name} already: `models retrain {name} --drop` forgets it")
    learning, place, taken = Learning(settings.policy, name=name), TopicPlace(), dict[str, Taken]()
    try:
        consumer = kafka.KafkaConsumer(
            **for_python(settings.kafka), group_id=None, max_poll_records=POLL, isolation_level="read_committed"
        )
        try:
            records = _learn(client, settings, consumer, learning, place, taken, progress, dry_run)
        finally:
            consumer.close()
    except KafkaError as error:
        raise Unavailable(f"kafka: {error!r}") from error
    told = {
        "offset": place.next, "records": records, "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "report": Sizes().report(learning),
    }  # fmt: skip
    return told if dry_run else _keep(client, settings, name, learning, place, taken, told)


def _learn(
    client: Any, settings: Settings, consumer: Any, learning: Learning, place: TopicPlace, taken: dict[str, Taken],
    progress: Progress, dry_run: bool,
) -> int:  # fmt: skip
    tp, keys, records = TopicPartition(f"{settings.prefix}examples", PARTITION), Keys(settings.prefix), 0
    consumer.assign([tp])
    begin, end = consumer.beginning_offsets([tp])[tp], consumer.end_offsets([tp])[tp]
    if begin > 0:
        raise Misconfigured(f"{tp.topic} begins at offset {begin}: what came before was deleted, and cannot be learned")
    progress(0, end)
    if dry_run:
        return int(end)
    consumer.seek_to_beginning(tp)
    while place.next < end:
        some = consumer.poll(PATIENCE).get(tp, [])
        read = [origin(record) for record in some]
        # First what was fetched, then heads and gaps: an entry above the head was rolled back.
        shards = {found[0] for found in read if found is not None}
        lineages = {shard: lineage_of(*client.hmget(keys.shard(shard), "head", "gaps")) for shard in shards}
        for record, found in zip(some, read, strict=True):
            if found is None:
                _pass_over(learning, record)
                continue
            shard, head, part = found
            before = taken.setdefault(f"{shard}:{record.key.decode()}", Taken())
            if is_new(before, head, part, lineages[shard]):
                learning.take(*read_examples(record.value))
                before.head, before.part = head, part
                records += 1
        place.next = consumer.position(tp)
        progress(place.next, end)
    return records


def _pass_over(learning: Learning, record: Any) -> None:
    """Requests were about another learner: they are known, and not done again."""
    try:
        _, rows = read_examples(record.value)
        for row in rows:
            learning.leagues.care.answer(row["id"], "passed over by a learner that was trained anew")
    except (msgspec.MsgspecError, KeyError, TypeError):
        return


def _keep(
    client: Any, settings: Settings, name: str, learning: Learning, place: TopicPlace, taken: dict[str, Taken],
    told: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Write snapshot and place under a name of their own; nobody serves from it."""
    own = f"{name}-{secrets.token_hex(4)}"
    saved, fresh = Snapshots(client, settings).cut(learning, Saved(), place, taken, own)
    for piece, body in fresh.items():
        client.set(piece, body)
    fields = {part: msgspec.json.encode(one).decode() for part, one in msgspec.structs.asdict(saved).items()}
    told = told | {"fields": fields}
    client.hset(Keys(settings.prefix).retrained, name, msgspec.json.encode(told))
    return told
