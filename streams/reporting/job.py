"""The report of a job that ran on Kafka and Redis, put together from what stands there."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self
from urllib.request import urlopen

import msgspec
from kafka import KafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from schemas.commit import PENDING, Place
from streams.kafka.security import for_python
from streams.redis.client import reader
from streams.redis.keys import Keys
from streams.reporting.report import put_together
from streams.settings import Settings


def places(client: Any, settings: Settings) -> list[Place]:
    """Return every shard's place."""
    keys = Keys(settings.prefix)
    bodies = [client.hget(keys.shard(number), "place") for number in range(settings.partitions)]
    return [msgspec.msgpack.decode(body, type=Place) for body in bodies if body is not None]


def build_report(
    settings: Settings, seconds: float, metrics: str | None, before: Sequence[Place] = ()
) -> dict[str, Any]:
    """Return the report.

    Parameters
    ----------
    seconds
        What the replay took, until all was scored.
    metrics
        Address of a scoring worker's metrics, for the delays. None: not measured.
    before
        Places that stood before what is reported on: their totals are not counted.
    """
    keys = Keys(settings.prefix)
    names: Counter[str] = Counter()
    with reader(settings) as client:
        learned = client.hget(keys.learner(0), "report")
        found = places(client, settings)
        present = {
            number: client.hget(keys.segment(number.decode()), "name") for number in client.smembers(keys.segments)
        }
        customers = list(client.scan_iter(f"{settings.prefix}customer:*", count=1_000))
        for start in range(0, len(customers), 500):
            pipe = client.pipeline(transaction=False)
            for key in customers[start : start + 500]:
                pipe.hmget(key, "segment", "segment_name")
            names.update(_present_name(segment, name, present) for segment, name in pipe.execute())
    report: dict[str, Any] = msgspec.json.decode(learned or b"{}")
    return put_together([*found, *map(_less, before)], report, names, seconds, quantiles(metrics) if metrics else None)


def _less(place: Place) -> Place:
    """Return a place whose totals take those of another away; what is waited for is so whoever opened it."""
    return Place(totals={name: -n for name, n in place.totals.items() if not name.startswith(PENDING)})


class Learned:
    """Whether all is learned: nothing waits in the outboxes, and the learner's report is of the end of `examples`.

    Asked again and again, on one connection to Kafka.
    """

    def __init__(self, client: Any, settings: Settings) -> None:
        self.client, self.settings, self.keys = client, settings, Keys(settings.prefix)
        self._kafka = KafkaConsumer(**for_python(settings.kafka))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kafka.close()

    def __call__(self) -> bool:
        """Ask."""
        if any(self.client.hlen(self.keys.outbox(number)) for number in range(self.settings.partitions)):
            return False
        tp = TopicPartition(f"{self.settings.prefix}examples", 0)
        end = self._kafka.end_offsets([tp])[tp]
        reported = self.client.hget(self.keys.learner(0), "reported")  # written with the place, by one commit
        return bool(int(reported or -1) >= end)


def _present_name(segment: bytes | None, name: bytes | None, present: dict[bytes, bytes | None]) -> str:
    """A segment's name moves on with its customers: who was scored earlier is counted under the present one."""
    return (present.get(segment or b"") or name or b"").decode()


def quantiles(metrics: str) -> dict[str, float]:
    """Estimate quantiles of the delay from event to score, in seconds, from a worker's histogram."""
    with urlopen(metrics, timeout=5) as page:  # noqa: S310 - our own worker
        families = {family.name: family for family in text_string_to_metric_families(page.read().decode())}
    buckets = sorted(
        (float(sample.labels["le"]), sample.value)
        for sample in families["streamscore_event_to_score_seconds"].samples
        if sample.name.endswith("_bucket")
    )
    return {name: _quantile(buckets, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


def _quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """Interpolate within the bucket, as Prometheus does; the last bound stands for what lies above it."""
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for high, count in buckets:
        if count >= wanted and count > below:
            return low if high == float("inf") else low + (high - low) * (wanted - below) / (count - below)
        low, below = (low if high == float("inf") else high), count
    return low
