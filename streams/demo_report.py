"""The report of a job that ran on Kafka and Redis, put together from what stands there."""

from collections import Counter
from typing import Any
from urllib.request import urlopen

import msgspec
import redis
from prometheus_client.parser import text_string_to_metric_families

from schemas.commit import Place
from streams.redis.keys import Keys
from streams.report import put_together
from streams.settings import Settings


def places(client: Any, settings: Settings) -> list[Place]:
    """Return every shard's place."""
    keys = Keys(settings.prefix)
    bodies = [client.hget(keys.shard(number), "place") for number in range(settings.partitions)]
    return [msgspec.msgpack.decode(body, type=Place) for body in bodies if body is not None]


def build_report(settings: Settings, seconds: float, metrics: str | None) -> dict[str, Any]:
    """Return the report.

    Parameters
    ----------
    seconds
        What the replay took, until all was scored.
    metrics
        Address of a scoring worker's metrics, for the delays. None: not measured.
    """
    keys = Keys(settings.prefix)
    names: Counter[str] = Counter()
    with redis.Redis.from_url(settings.given("redis")) as client:
        learned = client.hget(keys.learner(0), "report")
        found = places(client, settings)
        customers = list(client.scan_iter(f"{settings.prefix}customer:*", count=1_000))
        for start in range(0, len(customers), 500):
            pipe = client.pipeline(transaction=False)
            for key in customers[start : start + 500]:
                pipe.hget(key, "segment_name")
            names.update((name or b"").decode() for name in pipe.execute())
    report: dict[str, Any] = msgspec.json.decode(learned or b"{}")
    return put_together(found, report, names, seconds, quantiles(metrics) if metrics else None)


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
