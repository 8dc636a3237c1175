"""Every metric, named once. Base units; few label values; never a customer id."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from models.learning import Learning
from models.sales.series import E4
from schemas.commit import Commit

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """Metrics of one worker, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter("streamscore_events_total", "Events committed", ["topic", "outcome"], registry=registry)
        self.event_to_score = Histogram(
            "streamscore_event_to_score_seconds",
            "From Kafka's timestamp to the commit",
            buckets=_FAST,
            registry=registry,
        )
        self.commit = Histogram(
            "streamscore_commit_seconds", "Load, score and commit of one chunk", buckets=_FAST, registry=registry
        )
        self.chunk = Histogram(
            "streamscore_chunk_events", "Events a chunk", buckets=(1, 2, 5, 10, 50, 100, 250, 500), registry=registry
        )
        self.lag = Gauge(
            "streamscore_consumer_lag", "Records not handled yet", ["topic", "partition"], registry=registry
        )
        self.waiting = Gauge(
            "streamscore_waiting_seconds", "How long a topic is waited for", ["topic", "partition"], registry=registry
        )
        self.outbox = Gauge("streamscore_outbox_pending", "Records not acknowledged by Kafka yet", registry=registry)
        self.dead = Counter("streamscore_dead_letters_total", "Records refused", ["reason"], registry=registry)
        self.triggers = Counter("streamscore_triggers_total", "Decisions to contact", ["campaign"], registry=registry)
        self.suppressed = Counter(
            "streamscore_suppressed_total", "Decisions not to contact", ["campaign", "reason"], registry=registry
        )
        self.model = Gauge("streamscore_model_metric", "Prequential", ["task", "model", "metric"], registry=registry)
        self.segment = Gauge("streamscore_segment_customers", "Customers a segment", ["segment"], registry=registry)
        self.sales = Gauge("streamscore_sales", "Last closed day, main currency", ["series"], registry=registry)
        self.forecast = Gauge(
            "streamscore_sales_forecast", "Main currency; days ahead", ["series", "horizon", "bound"], registry=registry
        )
        self.coverage = Gauge(
            "streamscore_sales_interval_coverage",
            "Share of days inside the 80 % interval",
            ["series"],
            registry=registry,
        )
        self.learned = Counter("streamscore_examples_total", "Rows learned from", ["task"], registry=registry)

    def committed(self, commit: Commit) -> None:
        """Count what a chunk did."""
        counts = commit.counts
        for (topic, outcome), n in counts.events.items():
            self.events.labels(topic, outcome).inc(n)
        for reason, n in counts.dead.items():
            self.dead.labels(reason).inc(n)
        for campaign, n in counts.triggers.items():
            self.triggers.labels(campaign).inc(n)
        for (campaign, reason), n in counts.suppressed.items():
            self.suppressed.labels(campaign, reason).inc(n)

    def learning(self, learning: Learning, report: dict[str, Any]) -> None:
        """Show what the learner stands at."""
        for task, figures in report["tasks"].items():
            for name, metrics in {**figures["models"], **figures["baselines"]}.items():
                for metric, value in metrics.items():
                    if value is not None:
                        self.model.labels(task, name, metric).set(value)
        segments = learning.clusters.compiled("")
        for segment, customers in learning.members.items():
            name = segments.names[segment] if segments is not None else str(segment)
            self.segment.labels(name).set(customers)
        for series in learning.sales.series:
            self._series(learning, series, report["sales"].get(series, {}))

    def _series(self, learning: Learning, series: str, quality: dict[str, Any]) -> None:
        outlook = learning.sales.outlook(series)
        self.sales.labels(series).set(outlook.last_e4 / E4)
        for horizon, ahead in outlook.horizons.items():
            bounds = {"point": ahead.point, "low": ahead.low, "high": ahead.high, "naive": ahead.naive}
            for bound, value in bounds.items():
                if value is not None:
                    self.forecast.labels(series, str(horizon), bound).set(value)
        covered = quality.get("1", {}).get("coverage_80")
        if covered is not None:
            self.coverage.labels(series).set(covered)
