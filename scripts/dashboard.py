"""Write `deploy/grafana/dashboards/streamscore.json`: everything an operator looks at, in one page."""

import json
from pathlib import Path
from typing import Any, Final

from grafana import Panel, Query, Section, dashboard, variable

FILE: Final = Path(__file__).parent.parent / "deploy" / "grafana" / "dashboards" / "streamscore.json"
EVERY: Final = "[$__rate_interval]"
CHAMPION: Final = 'on (task, model) group_left () streamscore_model_role{role="champion"}'
BASELINE: Final = 'on (task, model) group_left () streamscore_model_role{role="baseline"}'
GOOD: Final = [(None, "red"), (1, "green")]


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{EVERY}))"


def _ratio(part: str, whole: str) -> str:
    return f"sum(rate({part}{EVERY})) / sum(rate({whole}{EVERY}))"


def _quantiles(histogram: str) -> list[Query]:
    return [
        Query(f"histogram_quantile({q}, {_rate(f'{histogram}_bucket', 'le')})", f"p{round(q * 100)}")
        for q in (0.5, 0.95, 0.99)
    ]


def _model(task: str, metric: str) -> list[Query]:
    return [Query(f'max by (model) (streamscore_model_metric{{task="{task}",metric="{metric}"}})', "{{model}}")]


def _forecast(bound: str) -> str:
    match = f'{{series="$series",horizon="1",bound="{bound}"}}'
    return f"max by (series) (streamscore_sales_forecast{match} offset 1d)"


OVERVIEW: Final = Section(
    "At a glance",
    [
        Panel(
            "Ready", "1 if no worker misses anything, 0 if one does; /readyz of that worker says what in words.",
            "none", [Query("min(streamscore_ready)", "ready")], "stat", 4, 4, high=1, steps=GOOD,
        ),
        Panel(
            "Workers up", "Workers that Prometheus reaches.", "none",
            [Query('sum(up{job="streamscore"})', "workers")], "stat", 4, 4, steps=GOOD,
        ),
        Panel(
            "Events a second", "Committed, whatever their outcome.", "eps",
            [Query(f"sum(rate(streamscore_events_total{EVERY}))", "events")], "stat", 4, 4, decimals=1,
        ),
        Panel(
            "Event to score, p95", "From Kafka's timestamp of a record to the commit that holds its score.", "s",
            _quantiles("streamscore_event_to_score_seconds")[1:2], "stat", 4, 4,
            steps=[(None, "green"), (1, "orange"), (10, "red")],
        ),
        Panel(
            "Records behind", "Records in Kafka that no commit holds yet, over all topics.", "short",
            [Query("sum(streamscore_consumer_lag)", "records")], "stat", 4, 4,
            steps=[(None, "green"), (10_000, "orange"), (1_000_000, "red")],
        ),
        Panel(
            "Dead letters, last hour", "Records that were refused; `streamscore_dead_letters_total` by reason below.",
            "short", [Query("sum(increase(streamscore_dead_letters_total[1h]))", "records")], "stat", 4, 4,
            steps=[(None, "green"), (1, "orange"), (100, "red")], decimals=0,
        ),
    ],
)  # fmt: skip

FLOW: Final = Section(
    "Flow",
    [
        Panel(
            "Events by outcome",
            "scored: led to scores. late: counted, decides nothing. duplicate: seen before. anonymous: a sale without "
            "customer. dead_letter: refused.",
            "eps", [Query(_rate("streamscore_events_total", "outcome"), "{{outcome}}")], stacked=True,
        ),
        Panel(
            "Events by topic", "What comes in, by input topic.", "eps",
            [Query(_rate("streamscore_events_total", "topic"), "{{topic}}")], stacked=True,
        ),
        Panel(
            "Too late for a task",
            "Events that came later than the task waits: the outcome or day that they belong to may have closed "
            "without them.",
            "eps", [Query(_rate("streamscore_late_total", "task"), "{{task}}")],
        ),
        Panel(
            "Records behind, by topic",
            "Records in Kafka that no commit holds yet. `examples` is the learner's: scores go on while it is behind, "
            "with older models.",
            "short", [Query("sum by (topic) (streamscore_consumer_lag)", "{{topic}}")],
        ),
        Panel(
            "Topics waited for",
            "How long a shard has waited for a topic that holds up its order. Above 10 s the topic has no leader, is "
            "deleted, or cannot be read.",
            "s", [Query("max by (topic, partition) (streamscore_waiting_seconds)", "{{topic}}-{{partition}}")],
            steps=[(None, "green"), (10, "red")],
        ),
        Panel(
            "Events a chunk",
            "Chunks follow the load: 1 for a lone event, up to STREAMSCORE_CHUNK_SIZE in a backlog.",
            "short",
            [
                Query(_ratio("streamscore_chunk_events_sum", "streamscore_chunk_events_count"), "mean"),
                _quantiles("streamscore_chunk_events")[1],
            ],
        ),
        Panel(
            "Memory of the workers", "Resident; flat, or something leaks.", "bytes",
            [Query('process_resident_memory_bytes{job="streamscore"}', "{{instance}}")],
        ),
    ],
)  # fmt: skip

LATENCY: Final = Section(
    "Latency",
    [
        Panel(
            "Event to score", "From Kafka's timestamp of a record to the commit that holds its score.", "s",
            _quantiles("streamscore_event_to_score_seconds"),
        ),
        Panel(
            "Event to score, all of them", "How many events took how long.", "s",
            [Query(f"sum by (le) (increase(streamscore_event_to_score_seconds_bucket{EVERY}))", "{{le}}")],
            "heatmap", low=None,
        ),
        Panel(
            "Load, score and commit of a chunk", "A commit waits for Redis to have it on disk.", "s",
            _quantiles("streamscore_commit_seconds"),
        ),
    ],
)  # fmt: skip

SEGMENTS: Final = Section(
    "Segments",
    [
        Panel(
            "Customers by segment", "Sizes as the learner knows them; names follow what sets a segment apart.", "short",
            [Query("sum by (segment) (streamscore_segment_customers)", "{{segment}}")], width=16, stacked=True,
        ),
        Panel(
            "Customers by segment, now", "The same at this moment, the largest first.", "short",
            [Query("sort_desc(sum by (segment) (streamscore_segment_customers))", "{{segment}}")], "bargauge",
        ),
    ],
)  # fmt: skip

SALES: Final = Section(
    "Sales",
    [
        Panel(
            "Sales of $series beside yesterday's forecast",
            "The last closed day, and what was expected of it a day before: the forecast, its 80 % interval, and the "
            "same weekday of the week before (naive). Live data only: it compares with one day ago by the clock.",
            "none",
            [
                Query('max by (series) (streamscore_sales{series="$series"})', "sales"),
                *(Query(_forecast(bound), bound) for bound in ("point", "low", "high", "naive")),
            ],
            width=12, low=None, dashed="point|low|high|naive",
        ),
        Panel(
            "What is expected of $series",
            "The forecast of the day that lies so many days after the last closed one, with its 80 % interval.",
            "none",
            [
                Query(
                    'max by (horizon, bound) (streamscore_sales_forecast{series="$series"})',
                    "in {{horizon}} days: {{bound}}",
                )
            ],
            "bargauge", 6, low=None, decimals=0,
        ),
        Panel(
            "Coverage of the interval",
            "Share of days inside the 80 % interval. Far below .8 it is too narrow, far above too wide.",
            "percentunit",
            [
                Query('max by (series) (streamscore_sales_interval_coverage{series="$series"})', "{{series}}"),
                Query('max by (series) (streamscore_sales_interval_coverage{series="all"})', "{{series}}"),
            ],
            width=6, high=1, steps=[(None, "red"), (0.7, "orange"), (0.75, "green"), (0.9, "orange")],
        ),
        Panel(
            "Last closed day, the ten largest series", "In the main currency.", "none",
            [Query('topk(10, max by (series) (streamscore_sales{series!="all"}))', "{{series}}")], width=24, low=None,
        ),
    ],
)  # fmt: skip

MARKET: Final = Section(
    "Market",
    [
        Panel(
            "Units a trading day, the ten largest categories", "The mean of the last thirty trading days.", "short",
            [
                Query(
                    'topk(10, max by (category) (streamscore_demand_units{category!="all",of="mean"}))', "{{category}}"
                )
            ],
        ),
        Panel(
            "Will it sell more than usual",
            "Chance that the next six trading days sell above the mean of the last thirty; .5 is a coin.",
            "percentunit", [Query("max by (category) (streamscore_demand_above_usual)", "{{category}}")], high=1,
        ),
        Panel(
            "demand: AUC by model", "Higher is better; .5 is chance. Baselines are dashed, and so is the control: "
            "random_days is growth on days in random order, where nothing can be foreseen.", "none",
            _model("demand", "auc"), low=None, high=1, dashed="base_rate|last_100|random_days",
        ),
        Panel(
            "Customers of the latest month", "New, retained, returned; lost in the latest month that is over.", "short",
            [Query("max by (kind) (streamscore_active_customers)", "{{kind}}")], "bargauge", decimals=0,
        ),
        Panel(
            "Our prices over a seller's", "Geometric mean over the products that both sell; 100 where they are alike.",
            "none", [Query("max by (category, seller) (streamscore_price_index)", "{{category}}: {{seller}}")],
            low=None,
        ),
        Panel(
            "Our share of the market", "The last thirty days over the market's volume, where that is observed.",
            "percentunit", [Query("max by (category) (streamscore_market_share)", "{{category}}")],
        ),
    ],
)  # fmt: skip

BRANDS: Final = Section(
    "Brands",
    [
        Panel(
            "Share of revenue, the ten largest brands", "Of the category's revenue, since the beginning.",
            "percentunit",
            [
                Query(
                    "topk(10, max by (category, brand) (streamscore_brand_revenue_share))", "{{category}}: {{brand}}"
                )
            ],
        ),
        Panel(
            "The same brand again, of the ten largest", "Share of purchases after which the next one in the category "
            "is that brand again, recent ones weighing more.", "percentunit",
            [
                Query(
                    "max by (category, brand) (streamscore_brand_repeats) and "
                    "topk(10, max by (category, brand) (streamscore_brand_revenue_share))",
                    "{{category}}: {{brand}}",
                )
            ],
            high=1,
        ),
        Panel(
            "Negative feedback", "Share of the last day's; text without a rating counts by its probability.",
            "percentunit",
            [
                Query(
                    "topk(10, max by (category, brand) (streamscore_brand_negative_share))", "{{category}}: {{brand}}"
                )
            ],
            high=1,
        ),
        Panel(
            "Shift of feedback", "1: clearly more negative than on the days before, -1: clearly less.", "none",
            [
                Query(
                    "max by (category, brand) (streamscore_brand_negative_shift)", "{{category}}: {{brand}}"
                )
            ],
            width=12, low=-1, high=1, decimals=0, steps=[(None, "green"), (1, "red")],
        ),
        Panel(
            "brand_choice and sentiment: log loss by model", "Lower is better. Baselines are dashed.", "none",
            [
                Query(
                    'max by (task, model) (streamscore_model_metric{task=~"brand_choice|sentiment",metric="log_loss"})',
                    "{{task}}: {{model}}",
                )
            ],
            width=12, dashed=".*(own_share|last_brand|brand_share)",
        ),
    ],
)  # fmt: skip

MODELS: Final = Section(
    "Models",
    [
        *(
            Panel(
                f"{task}: {words} by model", f"{says} Baselines are dashed; the champion is judged by the scores that "
                "were served, when their outcomes are known.", "none", _model(task, metric), high=high,
                dashed="base_rate|recency_days|running_mean|persistence", low=low,
            )
            for task, metric, words, says, low, high in (
                ("response", "auc", "AUC", "Higher is better; .5 is chance.", 0.4, 1),
                ("churn", "auc", "AUC", "Higher is better; .5 is chance.", 0.4, 1),
                ("value", "mae", "mean absolute error", "Lower is better; in the main currency.", 0, None),
                ("response", "log_loss", "log loss", "Lower is better.", 0, None),
                ("churn", "log_loss", "log loss", "Lower is better.", 0, None),
                ("value", "total_ratio", "predicted over actual total", "1 is right.", 0, None),
            )
        ),
        Panel(
            "Champion's loss less the best baseline's",
            "Below zero the model earns its place; above, a trivial rule would do better. Log loss, and mean absolute "
            "error in the main currency.",
            "none",
            [
                Query(
                    f'max by (task) (streamscore_model_metric{{metric="{metric}"}} * {CHAMPION}) - '
                    f'min by (task) (streamscore_model_metric{{metric="{metric}"}} * {BASELINE})',
                    "{{task}}: " + words,
                )
                for metric, words in (("log_loss", "log loss"), ("mae", "error"))
            ],
            low=None, steps=[(None, "green"), (0, "red")],
        ),
        Panel(
            "Examples learned a second", "Outcomes that became known, by task.", "eps",
            [Query(_rate("streamscore_examples_total", "task"), "{{task}}")],
        ),
        Panel(
            "How late labels come",
            "Event time from a decision to its outcome: the window, and what late events add.", "s",
            [
                Query(
                    f"histogram_quantile(0.5, {_rate('streamscore_label_delay_seconds_bucket', 'le, task')})",
                    "{{task}} p50",
                ),
                Query(
                    f"histogram_quantile(0.95, {_rate('streamscore_label_delay_seconds_bucket', 'le, task')})",
                    "{{task}} p95",
                ),
            ],
        ),
        Panel(
            "Examples that wait", "Decisions whose outcome is not known yet, by task.", "short",
            [Query("sum by (task) (streamscore_examples_pending)", "{{task}}")],
        ),
        Panel(
            "Changes of champion", "One model takes over from another.", "short",
            [Query("sum by (task, from, to) (streamscore_model_promotions_total)", "{{task}}: {{from}} to {{to}}")],
            width=12,
        ),
        Panel(
            "Drifts", "The data left what a model had learned.", "short",
            [Query("sum by (task, model) (increase(streamscore_drift_total[1h]))", "{{task}}: {{model}}")], width=12,
        ),
    ],
)  # fmt: skip

CAMPAIGNS: Final = Section(
    "Campaigns",
    [
        Panel(
            "Triggers", "Decisions to contact a customer, in the last hour.", "short",
            [Query("sum by (campaign) (increase(streamscore_triggers_total[1h]))", "{{campaign}}")], stacked=True,
        ),
        Panel(
            "Suppressions by reason",
            "Decisions not to contact, in the last hour. hold_out is deliberate; stale says that the decision came too "
            "late to be of use.",
            "short",
            [Query("sum by (reason) (increase(streamscore_suppressed_total[1h]))", "{{reason}}")],
            stacked=True,
        ),
        Panel(
            "Suppressions by campaign and reason", "Since the workers started.", "short",
            [
                Query(
                    "sort_desc(sum by (campaign, reason) (streamscore_suppressed_total))", "{{campaign}}: {{reason}}"
                )
            ],
            "bargauge",
        ),
        Panel(
            "Uplift", "Extra responses a contact, against the hold-out, with its interval.", "percentunit",
            [Query("max by (campaign, bound) (streamscore_uplift)", "{{campaign}}: {{bound}}")], width=24, low=None,
        ),
    ],
)  # fmt: skip

LEAVING: Final = Section(
    "Dead letters and outbox",
    [
        Panel(
            "Dead letters by reason", "Records that can never be read, a second.", "eps",
            [Query(_rate("streamscore_dead_letters_total", "reason"), "{{reason}}")], stacked=True,
        ),
        Panel(
            "Share of records refused", "Of all records handled.", "percentunit",
            [
Query(_ratio("streamscore_dead_letters_total", "streamscore_events_total"), "refused")            ],
            steps=[(None, "green"), (0.01, "red")],
        ),
        Panel(
            "Outbox",
            "Triggers, examples and dead letters that are committed and not yet acknowledged by Kafka. It swings, and "
            "must come down.",
            "short", [Query("sum(streamscore_outbox_pending)", "records")],
        ),
    ],
)  # fmt: skip

SECTIONS: Final = (OVERVIEW, FLOW, LATENCY, SEGMENTS, SALES, MARKET, BRANDS, MODELS, CAMPAIGNS, LEAVING)


def build() -> dict[str, Any]:
    """Return the dashboard."""
    series = variable("series", "Sales series", "label_values(streamscore_sales, series)")
    series["current"] = {"selected": True, "text": "all", "value": "all"}
    return dashboard("streamscore", "streamscore", SECTIONS, [series])


def text() -> str:
    """Return what the file holds."""
    return json.dumps(build(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
