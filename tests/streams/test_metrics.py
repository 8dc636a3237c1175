"""Metrics as DESIGN names them; what is gone, or was never measured, is not exported."""

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from models.league.budget import BUDGET
from models.learning import Learning
from models.policy import Policy
from schemas.commit import Commit, Place
from streams.metrics import Metrics

NAMES = {
    "streamscore_events_total": {"topic", "outcome"},
    "streamscore_event_to_score_seconds": set(),
    "streamscore_commit_seconds": set(),
    "streamscore_chunk_events": set(),
    "streamscore_consumer_lag": {"topic", "partition"},
    "streamscore_waiting_seconds": {"topic", "partition"},
    "streamscore_dead_letters_total": {"reason"},
    "streamscore_model_metric": {"task", "model", "metric"},
    "streamscore_model_promotions_total": {"task", "from", "to"},
    "streamscore_model_share": {"task", "model"},
    "streamscore_learning_microseconds": {"task", "of"},
    "streamscore_drift_total": {"task", "model"},
    "streamscore_label_delay_seconds": {"task"},
    "streamscore_examples_pending": {"task"},
    "streamscore_segment_customers": {"segment"},
    "streamscore_sales": {"series"},
    "streamscore_sales_forecast": {"series", "horizon", "bound"},
    "streamscore_sales_interval_coverage": {"series"},
    "streamscore_triggers_total": {"campaign"},
    "streamscore_suppressed_total": {"campaign", "reason"},
    "streamscore_uplift": {"campaign", "bound"},
}


def samples(metrics):
    """(name, labels) -> value of all that is scraped, the process's own figures left out."""
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("streamscore_")
    }


def names(metrics):
    return {name for name, _ in samples(metrics)}


def labels(metrics, name):
    return {labels for found, labels in samples(metrics) if found == name}


def test_names_and_labels_are_those_of_the_design():
    declared = {
        family.name + ("_total" if family.type == "counter" else ""): set(collector._labelnames)
        for collector in Metrics().registry._collector_to_names
        if hasattr(collector, "_labelnames")
        for family in collector.collect()
    }
    assert {name: found for name, found in declared.items() if name in NAMES} == NAMES


def test_a_fresh_worker_exports_no_figure_that_nobody_measured():
    found = samples(Metrics())
    assert {name for name, _ in found if not name.endswith(("_bucket", "_count", "_sum", "_created"))} == set()
    assert all(value == 0 for (name, _), value in found.items() if not name.endswith("_created"))


def test_the_outbox_is_there_once_it_was_measured():
    metrics = Metrics("scoring")
    metrics.pending(3)
    metrics.pending(0)
    assert samples(metrics)["streamscore_outbox_pending", ()] == 0


def test_a_worker_exports_only_what_its_agent_has():
    families = {only: {f.name for f in Metrics(only).registry.collect()} for only in (None, "scoring", "learning")}
    assert "streamscore_events" in families["scoring"] - families["learning"]
    assert "streamscore_model_metric" in families["learning"] - families["scoring"]
    assert families[None] == families["scoring"] | families["learning"]


def test_partitions_that_went_elsewhere_are_forgotten():
    metrics = Metrics()
    metrics.lagging({("customers", 0): 5, ("customers", 1): 7}, ["customers"])
    metrics.lagging({("examples", 0): 9}, ["examples"])
    metrics.lagging({("customers", 1): 6}, ["customers"])
    assert labels(metrics, "streamscore_consumer_lag") == {
        (("partition", "1"), ("topic", "customers")),
        (("partition", "0"), ("topic", "examples")),
    }
    metrics.lagging({}, ["customers"])
    assert labels(metrics, "streamscore_consumer_lag") == {(("partition", "0"), ("topic", "examples"))}


def test_what_waits_is_forgotten_with_its_last_shard():
    metrics = Metrics()
    metrics.waited({("customers", 0): 5.0})
    metrics.waited({})
    assert labels(metrics, "streamscore_waiting_seconds") == set()


def test_a_part_that_is_missing_is_zero():
    metrics = Metrics()
    metrics.missing({"redis": ["it is away"], "kafka": []})
    found = samples(metrics)
    assert found["streamscore_ready", (("part", "redis"),)] == 0
    assert found["streamscore_ready", (("part", "kafka"),)] == 1


def test_a_label_delay_is_counted_by_task():
    metrics, commit = Metrics(), Commit(Place())
    commit.counts.label_delays = {"churn": [7_200.0, 8_000_000.0]}
    metrics.committed(commit)
    found = samples(metrics)
    assert found["streamscore_label_delay_seconds_sum", (("task", "churn"),)] == 8_007_200.0
    assert found["streamscore_label_delay_seconds_bucket", (("le", "21600.0"), ("task", "churn"))] == 1


def test_examples_that_wait_are_those_of_the_shards_that_are_here():
    metrics = Metrics()
    metrics.examples_pending({"churn": 5, "response": 2})
    metrics.examples_pending({"churn": 4})
    assert labels(metrics, "streamscore_examples_pending") == {(("task", "churn"),)}
    assert samples(metrics)["streamscore_examples_pending", (("task", "churn"),)] == 4


def learned(series=("toys",), segments=None):
    learning = Learning(Policy())
    learning.groups.members = dict(segments or {})
    for name in series:
        for day in range(100, 140):
            learning.sales.add("all", day, 10_000)
            learning.sales.add(name, day, 10_000)
    if series:
        learning.sales.close_until(140)
    return learning


def show(metrics, learning):
    metrics.learning(learning, learning.report())


def test_series_segments_and_models_that_are_gone_are_forgotten():
    metrics = Metrics()
    before = learned(["toys", "tea"], {0: 4, 1: 2})
    report = before.report()
    report["tasks"]["churn"]["models"] = {"forest": {"auc": 0.9}}
    metrics.learning(before, report)
    assert ("model", "forest") in {pair for one in labels(metrics, "streamscore_model_metric") for pair in one}
    assert (("series", "tea"),) in labels(metrics, "streamscore_sales")
    show(metrics, learned(["toys"], {1: 3}))
    assert labels(metrics, "streamscore_segment_customers") == {(("segment", "1"),)}
    assert samples(metrics)["streamscore_segment_customers", (("segment", "1"),)] == 3
    for name in ("streamscore_sales", "streamscore_sales_forecast", "streamscore_sales_interval_coverage"):
        found = {value for one in labels(metrics, name) for key, value in one if key == "series"}
        assert found == {"all", "toys"}, name
    found = {value for one in labels(metrics, "streamscore_model_metric") for key, value in one if key == "model"}
    assert "forest" not in found


def test_sales_of_no_closed_day_are_not_zero():
    metrics = Metrics()
    show(metrics, learned([]))
    assert labels(metrics, "streamscore_sales") == set()


def test_the_forecast_says_its_bounds():
    metrics = Metrics()
    show(metrics, learned())
    found = {dict(one)["bound"] for one in labels(metrics, "streamscore_sales_forecast")}
    assert found == {"point", "low", "high", "naive"}


def test_champion_and_baselines_have_their_role():
    metrics = Metrics()
    show(metrics, learned())
    roles = {
        tuple(dict(one)[key] for key in ("task", "model", "role")) for one in labels(metrics, "streamscore_model_role")
    }
    assert ("churn", "mixture", "champion") in roles
    assert ("churn", "base_rate", "baseline") in roles


def test_a_control_is_shown_and_is_no_baseline():
    metrics, (learning, report) = Metrics(), told({}, {})
    report["tasks"]["demand"] = {
        "champion": "growth", "models": {"growth": {"auc": 0.6}, "trees": {"auc": 0.57}},
        "baselines": {"base_rate": {"auc": 0.55}}, "controls": {"random_days": {"auc": 0.5}},
    }  # fmt: skip
    metrics.learning(learning, report)
    found = samples(metrics)
    for model, auc in (("growth", 0.6), ("trees", 0.57), ("base_rate", 0.55), ("random_days", 0.5)):
        key = (("metric", "auc"), ("model", model), ("task", "demand"))
        assert found["streamscore_model_metric", key] == auc
    roles = {key for name, key in found if name == "streamscore_model_role" and ("task", "demand") in key}
    assert {dict(one)["role"] for one in roles if dict(one)["model"] == "random_days"} == {"control"}
    metrics.learning(*told({}, {}))
    assert not [key for name, key in samples(metrics) if ("model", "random_days") in key]


def test_changes_of_a_league_are_counted_once():
    metrics = Metrics()
    learning = learned()
    learning.leagues["churn"].promote("dynamic", "by hand")
    learning.leagues["churn"]._note("drift", "dynamic", "dynamic", "loss moved")
    learning.leagues["churn"]._note("lead", "dynamic", "boosted", "its losses are lower")
    learning.leagues["churn"].allow_by_hand(500.0, "by hand")
    show(metrics, learning)
    show(metrics, learning)
    assert metrics.promotions.labels("churn", "mixture", "dynamic")._value.get() == 1.0
    assert metrics.promotions.labels("churn", "mixture:boosted", "mixture:dynamic")._value.get() == 1.0
    assert metrics.drift.labels("churn", "dynamic")._value.get() == 1.0
    assert labels(metrics, "streamscore_model_rollbacks_total") == set()
    roles = {
        tuple(dict(one)[key] for key in ("task", "model", "role")) for one in labels(metrics, "streamscore_model_role")
    }
    assert ("churn", "dynamic", "champion") in roles


def test_what_learning_may_take_and_who_sees_less_for_it_are_shown():
    metrics, learning = Metrics(), learned()
    show(metrics, learning)
    found = samples(metrics)
    assert found["streamscore_learning_microseconds", (("of", "budget"), ("task", "churn"))] == BUDGET
    assert found["streamscore_learning_microseconds", (("of", "spent"), ("task", "churn"))] <= BUDGET
    assert 0.0 < found["streamscore_model_share", (("model", "forest"), ("task", "churn"))] < 1.0
    learning.leagues["churn"].allow_by_hand(300.0, "by hand")
    show(metrics, learning)
    assert samples(metrics)["streamscore_model_share", (("model", "forest"), ("task", "churn"))] == 0.0


def told(market, brands):
    learning = learned([])
    report = learning.report()
    report["market"] |= market
    report["brands"] |= brands
    return learning, report


def test_competitors_and_what_is_expected_are_shown_and_forgotten():
    metrics = Metrics()
    tea = {
        "demand": {}, "next_six_days": {"above_usual": 0.7},
        "competitors": {"price_index": {"Rival": {"index": 104.0}}, "market_share": {"share": 0.2}},
    }  # fmt: skip
    metrics.learning(*told({"tea": tea}, {}))
    found = samples(metrics)
    assert found["streamscore_price_index", (("category", "tea"), ("seller", "Rival"))] == 104
    assert found["streamscore_market_share", (("category", "tea"),)] == 0.2
    assert found["streamscore_demand_above_usual", (("category", "tea"),)] == 0.7
    metrics.learning(*told({}, {}))
    assert not {name for name in names(metrics) if "market" in name or "price" in name or "demand" in name}


def test_a_shift_of_feedback_is_a_number():
    metrics = Metrics()
    said = {name: {"image": {"negative_share": 0.5, "shift": name, "sayings": 9}} for name in ("", "up", "down")}
    metrics.learning(*told({}, {f"tea:{name}": one | {"repeats": 0.6} for name, one in said.items()}))
    found = samples(metrics)
    for name, value in (("", 0), ("up", 1), ("down", -1)):
        at = (("brand", name), ("category", "tea"))
        assert found["streamscore_brand_negative_shift", at] == value
        assert found["streamscore_brand_repeats", at] == 0.6
