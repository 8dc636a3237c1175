"""Every metric, named once. Base units; few label values; never a customer id."""

import logging
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from models.sales.dimensions import ALL, currency_of, dimension_of, rest
from models.sales.series import E4
from schemas.commit import Commit
from streams.reporting.currency import of_days

if TYPE_CHECKING:
    from models.learning import Learning

Only = Literal["scoring", "learning"]
Standing = Mapping[tuple[str, int], float]
"""A figure for each topic and partition."""
HOUR: Final = 3_600.0
FAST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SIZES: Final = (1, 2, 5, 10, 50, 100, 250, 500, 1_000, 2_000, 5_000)
DELAYS: Final = tuple(HOUR * hours for hours in (1, 6, 24, 72, 168, 192, 336, 720, 1_440, 2_160, 2_184, 2_880))
MAX_BRANDS: Final = 32
PARTITIONED: Final = ["topic", "partition"]
logger = logging.getLogger(__name__)


class Metrics:
    """Metrics of one worker, in a registry of their own.

    A figure that nobody measured is not exported, neither as 0 nor as its last value: gauges are forgotten
    before they are set again, so that a segment, series, model or partition that is gone is gone here too.

    Parameters
    ----------
    only
        The one agent of this worker; None where it runs both. The other's metrics are left out.
    """

    def __init__(self, only: Only | None = None) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.ready = Gauge(
            "streamscore_ready", "Whether nothing is missing (1) or something is (0)", ["part"], registry=self.registry
        )
        self.lag = Gauge("streamscore_consumer_lag", "Records not handled yet", PARTITIONED, registry=self.registry)
        self._scoring(self.registry if only != "learning" else None)
        self._learning(self.registry if only != "scoring" else None)

    def _scoring(self, registry: CollectorRegistry | None) -> None:
        self.events = Counter("streamscore_events_total", "Events committed", ["topic", "outcome"], registry=registry)
        self.event_to_score = Histogram(
            "streamscore_event_to_score_seconds",
            "From Kafka's timestamp to the commit",
            buckets=FAST,
            registry=registry,
        )
        self.commit = Histogram(
            "streamscore_commit_seconds", "Load, score and commit of one chunk", buckets=FAST, registry=registry
        )
        self.chunk = Histogram("streamscore_chunk_events", "Events a chunk", buckets=SIZES, registry=registry)
        self.waiting = Gauge(
            "streamscore_waiting_seconds", "How long a topic is waited for", PARTITIONED, registry=registry
        )
        self.behind = Counter(
            "streamscore_late_total", "Events that came later than the task waits", ["task"], registry=registry
        )
        self.unopened = Counter(
            "streamscore_contacts_not_learned_total", "Contacts that make no example", ["reason"], registry=registry
        )
        self.ignored = Counter(
            "streamscore_attributes_ignored_total", "Attributes beyond the bound", ["type"], registry=registry
        )
        self._outbox: Gauge | None = None
        self.dead = Counter("streamscore_dead_letters_total", "Records refused", ["reason"], registry=registry)
        self.triggers = Counter("streamscore_triggers_total", "Decisions to contact", ["campaign"], registry=registry)
        self.suppressed = Counter(
            "streamscore_suppressed_total", "Decisions not to contact", ["campaign", "reason"], registry=registry
        )
        self.label_delay = Histogram(
            "streamscore_label_delay_seconds",
            "Event time from a decision to its outcome",
            ["task"],
            buckets=DELAYS,
            registry=registry,
        )
        self.waited_for = Gauge(
            "streamscore_examples_pending", "Decisions whose outcome is waited for", ["task"], registry=registry
        )

    def _learning(self, registry: CollectorRegistry | None) -> None:
        self.learned = Counter("streamscore_examples_total", "Rows learned from", ["task"], registry=registry)
        self.model = Gauge(
            "streamscore_model_metric",
            "Prequential; what is unknown is left out",
            ["task", "model", "metric"],
            registry=registry,
        )
        self.role = Gauge(
            "streamscore_model_role", "1: the model is its task's champion, a baseline, or a control",
            ["task", "model", "role"], registry=registry,
        )  # fmt: skip
        self.promotions = Counter(
            "streamscore_model_promotions_total", "Changes of champion", ["task", "from", "to"], registry=registry
        )
        self.moved: dict[tuple[str, str], int] = {}
        self.warned = False
        self.told: dict[str, list[Mapping[str, Any]]] = {}
        self.versions = Counter(
            "streamscore_model_rollbacks_total", "Versions that served again, and releases", ["task", "what"],
            registry=registry,
        )  # fmt: skip
        self.sees = Gauge(
            "streamscore_model_share", "Of the examples that an entrant learns; 0: benched", ["task", "model"],
            registry=registry,
        )  # fmt: skip
        self.budget = Gauge(
            "streamscore_learning_microseconds", "An example, by declared costs: what it takes, and may take",
            ["task", "of"], registry=registry,
        )  # fmt: skip
        self.drift = Counter("streamscore_drift_total", "Drifts detected", ["task", "model"], registry=registry)
        self.segment = Gauge("streamscore_segment_customers", "Customers a segment", ["segment"], registry=registry)
        self.sales = Gauge("streamscore_sales", "Last closed day, main currency", ["series"], registry=registry)
        self.forecast = Gauge(
            "streamscore_sales_forecast", "Main currency; days ahead", ["series", "horizon", "bound"], registry=registry
        )
        self.coverage = Gauge(
            "streamscore_sales_interval_coverage", "Share of days inside the 80 % interval", ["series"],
            registry=registry,
        )  # fmt: skip
        self.share = Gauge(
            "streamscore_brand_revenue_share", "Of the category's revenue", ["category", "brand"], registry=registry
        )
        self.negative = Gauge(
            "streamscore_brand_negative_share", "Of the last day's feedback", ["category", "brand"], registry=registry
        )
        self.demand = Gauge(
            "streamscore_demand_units", "A trading day: the last one, and the mean of the last 30", ["category", "of"],
            registry=registry,
        )  # fmt: skip
        self.shift = Gauge(
            "streamscore_brand_negative_shift", "Negative feedback: 1 clearly more than before, -1 less, 0 neither",
            ["category", "brand"], registry=registry,
        )  # fmt: skip
        self.again = Gauge(
            "streamscore_brand_repeats", "Share of purchases after which the same brand came again",
            ["category", "brand"], registry=registry,
        )  # fmt: skip
        self.ahead = Gauge(
            "streamscore_demand_above_usual", "Chance that six trading days sell above the mean of thirty",
            ["category"], registry=registry,
        )  # fmt: skip
        self.index = Gauge(
            "streamscore_price_index", "Our prices over a seller's, 100 where alike", ["category", "seller"],
            registry=registry,
        )  # fmt: skip
        self.market_share = Gauge(
            "streamscore_market_share", "Our sales over the market's volume", ["category"], registry=registry
        )
        self.active = Gauge(
            "streamscore_active_customers", "Who bought in the latest month", ["kind"], registry=registry
        )
        self.uplift = Gauge(
            "streamscore_uplift", "Extra responses a contact, with bounds", ["campaign", "bound"], registry=registry
        )

    # Both agents.

    def missing(self, parts: Mapping[str, Sequence[str]]) -> None:
        """Show which parts of being ready are there."""
        self.ready.clear()
        for part, words in parts.items():
            self.ready.labels(part).set(not words)

    def lagging(self, lags: Standing, of: Iterable[str]) -> None:
        """Show how many records wait in the topics `of`; other partitions of these are not this worker's any more."""
        topics, wanted = set(of), {(topic, str(number)) for topic, number in lags}
        shown = [sample.labels for family in self.lag.collect() for sample in family.samples]
        for old in shown:
            if old["topic"] in topics and (old["topic"], old["partition"]) not in wanted:
                self.lag.remove(old["topic"], old["partition"])
        for (topic, number), records in lags.items():
            self.lag.labels(topic, str(number)).set(records)

    # Scoring.

    def waited(self, seconds: Standing) -> None:
        """Show which topics are waited for, and how long."""
        self.waiting.clear()
        for (topic, number), since in seconds.items():
            self.waiting.labels(topic, str(number)).set(since)

    def pending(self, records: int) -> None:
        """Show how much waits in the outboxes of this worker's shards."""
        if self._outbox is None:  # without labels it would be exported as 0 before anybody looked
            self._outbox = Gauge(
                "streamscore_outbox_pending", "Records not acknowledged by Kafka yet", registry=self.registry
            )
        self._outbox.set(records)

    def examples_pending(self, by_task: Mapping[str, int]) -> None:
        """Show how many examples of this worker's shards wait for their outcome."""
        self.waited_for.clear()
        for task, count in by_task.items():
            self.waited_for.labels(task).set(count)

    def committed(self, commit: Commit) -> None:
        """Count what a chunk did."""
        counts = commit.counts
        for (topic, outcome), n in counts.events.items():
            self.events.labels(topic, outcome).inc(n)
        for task, n in counts.behind.items():
            self.behind.labels(task).inc(n)
        for reason, n in counts.unopened.items():
            self.unopened.labels(reason).inc(n)
        for kind, n in counts.ignored.items():
            self.ignored.labels(kind).inc(n)
        for reason, n in counts.dead.items():
            self.dead.labels(reason).inc(n)
        for campaign, n in counts.triggers.items():
            self.triggers.labels(campaign).inc(n)
        for (campaign, reason), n in counts.suppressed.items():
            self.suppressed.labels(campaign, reason).inc(n)
        for task, delays in counts.label_delays.items():
            delay = self.label_delay.labels(task)
            for seconds in delays:
                delay.observe(seconds)

    # Learning.

    def learning(self, learning: "Learning", report: Mapping[str, Any]) -> None:
        """Show what the learner stands at, and nothing of what it stood at before."""
        self.unlearned()
        self._brands(report["brands"])
        self._market(report["market"])
        for task, figures in report["tasks"].items():
            self._task(task, figures)
        segments = learning.groups.compiled()
        names = segments.named() if segments is not None else {}
        sizes: Tally[str] = Tally()
        for segment, customers in learning.groups.members.items():
            sizes[names.get(segment, str(segment))] += customers
        for name, customers in sizes.items():
            self.segment.labels(name).set(customers)
        for series in learning.sales.series:
            self._series(learning, series, report["sales"].get(series, {}))
        self._currency(learning)

    def _currency(self, learning: "Learning") -> None:
        """Log it, once, where sales are in another currency than the main one."""
        main = learning.policy.currency
        days = {
            currency_of(name, main) or "": one.forecaster.presence.days
            for name, one in learning.sales.series.items()
            if name == ALL or (dimension_of(name) == "currency" and name != rest("currency"))
        }
        warning = of_days(main, days)
        if warning is not None and not self.warned:
            logger.warning("%s", warning)
        self.warned = warning is not None

    def unlearned(self) -> None:
        """Forget what the learner stood at: another worker may have it now."""
        figures = (
            self.model,
            self.role,
            self.sees,
            self.budget,
            self.segment,
            self.sales,
            self.forecast,
            self.coverage,
        )
        brands = (self.share, self.negative, self.shift, self.again)
        market = (self.demand, self.ahead, self.index, self.market_share, self.active)
        for gauge in (*figures, *brands, *market):
            gauge.clear()

    def _brands(self, brands: Mapping[str, Mapping[str, Any]]) -> None:
        """The biggest and the most spoken of alone: each brand is a label."""
        sold = sorted(brands, key=lambda name: (-brands[name].get("revenue", 0.0), name))
        said = sorted(brands, key=lambda name: (-brands[name].get("image", {}).get("sayings", 0), name))
        for name in sold[:MAX_BRANDS]:
            category, _, brand = name.partition(":")
            for gauge, figure in ((self.share, "revenue_share"), (self.again, "repeats")):
                value = brands[name].get(figure)
                if value is not None:
                    gauge.labels(category, brand).set(value)
        for name in said[:MAX_BRANDS]:
            image = brands[name].get("image")
            if image is not None and image["negative_share"] is not None:
                category, _, brand = name.partition(":")
                self.negative.labels(category, brand).set(image["negative_share"])
                self.shift.labels(category, brand).set({"up": 1, "down": -1}.get(image["shift"], 0))

    def _market(self, market: Mapping[str, Mapping[str, Any]]) -> None:
        for category, figures in market.items():
            for of, name in (("last", "last"), ("mean", "level")):
                if figures["demand"]:
                    self.demand.labels(category, of).set(figures["demand"]["units"][name])
            if figures["next_six_days"] is not None:
                self.ahead.labels(category).set(figures["next_six_days"]["above_usual"])
            rivals = figures.get("competitors", {})
            for seller, index in rivals.get("price_index", {}).items():
                self.index.labels(category, seller).set(index["index"])
            if "market_share" in rivals:
                self.market_share.labels(category).set(rivals["market_share"]["share"])
        growth = market.get("all", {}).get("growth", {})
        if growth:
            latest, over = growth[max(growth)], [month for month in growth if "running" not in growth[month]]
            for kind in ("new", "retained", "returned"):
                self.active.labels(kind).set(latest[kind])
            if over:
                self.active.labels("lost").set(growth[max(over)]["lost"])

    def _task(self, task: str, figures: Mapping[str, Any]) -> None:
        controls = figures.get("controls", {})  # on other examples: neither a model nor a baseline
        for name, metrics in {**controls, **figures["baselines"], **figures["models"]}.items():
            for metric, value in metrics.items():
                if value is not None:
                    self.model.labels(task, name, metric).set(value)
        self.role.labels(task, figures["champion"], "champion").set(1)
        self._changes(task, figures.get("changes", ()))
        self._features(task, figures.get("feature_drift", {}))
        for name, share in figures.get("shares", {}).items():
            self.sees.labels(task, name).set(share)
        if "budget" in figures:
            self.budget.labels(task, "spent").set(figures["budget"]["spent"])
            self.budget.labels(task, "budget").set(figures["budget"]["microseconds"])
        for role, some in (("baseline", figures["baselines"]), ("control", controls)):
            for name in some:
                self.role.labels(task, name, role).set(1)

    def _changes(self, task: str, changes: Sequence[Mapping[str, Any]]) -> None:
        """Count and log what a league did by itself since the last look."""
        told, self.told[task] = self.told.get(task, []), list(changes)
        for change in changes:
            if change in told:
                continue
            if change["what"] == "drift":
                self.drift.labels(task, change["model"]).inc()
            elif change["what"] == "promotion":
                self.promotions.labels(task, change["before"], change["model"]).inc()
            elif change["what"] == "lead":  # within who serves: the mixture moves over by itself
                self.promotions.labels(task, f"mixture:{change['before']}", f"mixture:{change['model']}").inc()
            elif change["what"] in ("rollback", "release"):
                self.versions.labels(task, change["what"]).inc()
            logger.info("%s: %s of %s: %s", task, change["what"], change["model"], change["reason"])

    def _features(self, task: str, moved: Mapping[str, Mapping[str, float]]) -> None:
        """Count and log features that have moved since the last look."""
        for name, one in moved.items():
            more = int(one["alarms"]) - self.moved.get((task, name), 0)
            if more > 0:
                self.drift.labels(task, f"feature:{name}").inc(more)
                logger.info("%s: %s has moved from %.3f to %.3f", task, name, one["before"], one["after"])
            self.moved[task, name] = int(one["alarms"])

    def _series(self, learning: "Learning", series: str, quality: Mapping[str, Any]) -> None:
        outlook = learning.sales.outlook(series)
        if outlook.last_day is not None:
            self.sales.labels(series).set(outlook.last_e4 / E4)
        for horizon, ahead in outlook.horizons.items():
            bounds = {"point": ahead.point, "low": ahead.low, "high": ahead.high, "naive": ahead.naive}
            for bound, value in bounds.items():
                if value is not None:
                    self.forecast.labels(series, str(horizon), bound).set(value)
        covered = quality.get("1", {}).get("coverage_80")
        if covered is not None:
            self.coverage.labels(series).set(covered)
