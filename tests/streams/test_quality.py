"""The command `quality`: what it knows, what it leaves out, what it writes."""

from itertools import islice

import msgspec
import pytest
from typer.testing import CliRunner

from models.policy import Policy
from models.shard import Shop
from streams import quality, quality_bars, quality_figures
from streams.backtest import backtest
from streams.cli.app import app
from streams.errors import Misconfigured
from streams.quality_market import CATEGORIES
from streams.replay import bank_marketing, online_retail
from streams.reporting.plain import Plain

METRICS = {"auc", "pr_auc", "log_loss", "brier", "ece", "lift_10", "auc_within"}


@pytest.fixture(scope="module")
def report():
    return backtest(islice(bank_marketing.events(), 2_500), Shop(Policy(lateness=0.0, currency="EUR"))).report()


def test_a_set_that_is_not_there_is_left_out():
    told = CliRunner().invoke(app, ["quality", "--only", "starbucks"])
    assert told.exit_code == 0
    assert "left out" in told.output


def test_an_unknown_set_is_named():
    told = CliRunner().invoke(app, ["quality", "--only", "atlantis"])
    assert isinstance(told.exception, Misconfigured)
    assert "atlantis" in str(told.exception)


def test_everybody_has_all_figures(report, tmp_path, monkeypatch):
    monkeypatch.setitem(quality.SETS, "bank_marketing", lambda data: report)
    told = CliRunner().invoke(app, ["quality", "--only", "bank_marketing", "--report", str(tmp_path / "q.json")])
    assert told.exit_code == 0, told.output
    task = msgspec.json.decode((tmp_path / "q.json").read_bytes())["bank_marketing"]["tasks"]["response"]
    assert task["champion"] in {**task["models"], **task["baselines"]}
    assert {"logistic", "dynamic", "hinge", "boosted", "mixture", "net", "fourier"} <= set(task["models"])
    for figures in (*task["models"].values(), *task["baselines"].values()):
        assert set(figures) >= METRICS
    assert task["models"]["dynamic"]["microseconds_per_example"] > 0
    assert task["models"]["dynamic"]["log_loss"] is not None
    assert task["judged"]["others"] == "at the decision"
    assert any(name.startswith("offer ") for name in task["importance"])
    assert task["reliability"]


def made_up(name):
    """A report in which every figure of who serves is .8, the trivial ones are .6 and .7, and others are 0."""
    metrics = {shown.metric for shown in quality_figures.TASKS[name]}
    some = {model: dict.fromkeys(metrics, value) for model, value in (("serves", 0.8), ("other", 0.0))}
    rates = {model: dict.fromkeys(metrics, value) for model, value in (("rate", 0.6), ("rule", 0.7))}
    task = {"examples": 1_234, "champion": "serves", "models": some, "baselines": rates}
    horizon = {
        "mase": 0.8,
        "coverage_80": 0.8,
        "winkler_80": 0.8,
        "baselines": {"seasonal_naive": {"mase": 1.0}, "moving_average": {"mase": 0.9}},
    }
    series = ("all", *(f"category:{category}" for category in (*CATEGORIES, "service", "other")))
    return {
        "tasks": {shown.task: task for shown in quality_figures.TASKS[name]},
        "sales": {one: dict.fromkeys(("1", "7", "14"), horizon) for one in series},
        "segments": {"ssq_ratio": 1.01, "stability": 0.8, "baselines": {"rfm_quintiles": {"ssq_ratio": 1.5}}},
        "market_figures": [quality_bars.row("pairs: recall", 0.5, ">= .95")] if name == "online_retail" else [],
    }


def test_what_is_made_up_here_has_the_shape_of_a_report():
    events = online_retail.events(limit=40_000)
    real = backtest(events, Shop(Policy(lateness=0.0, currency=online_retail.CURRENCY))).report()
    assert rows_of("online_retail", real).keys() == rows_of("online_retail", made_up("online_retail")).keys() - {
        "pairs: recall"
    }


def rows_of(name, report):
    return {row["figure"]: row for row in quality_figures.figures(name, report)}


@pytest.fixture
def printed(monkeypatch):
    """What the command prints of a report, at 80 columns."""

    def lines(name, report):
        monkeypatch.setitem(quality.SETS, name, lambda _: report)
        monkeypatch.setattr("streams.cli.quality.out", Plain(width=80))
        told = CliRunner().invoke(app, ["quality", "--only", name])
        assert told.exit_code == 0, told.output
        return told.output.splitlines()

    return lines


def cells(lines, words):
    [line] = [line for line in lines if words in line]
    return [cell.strip() for cell in line.split("│")[1:-1]]


@pytest.mark.parametrize("name", quality.SETS)
def test_every_set_shows_its_figures_with_bars_that_can_be_read(name, printed):
    assert set(quality.SETS) == set(quality_figures.TASKS)
    rows = rows_of(name, made_up(name))
    assert any(row["must"] for row in rows.values())
    for row in rows.values():
        assert quality_bars.verdict(row["value"], row["must"]) in ({"met", "missed"} if row["must"] else {""})
    lines = printed(name, made_up(name))
    assert name in lines[0]
    assert "serves" in lines[0]
    assert max(map(len, lines)) <= 80
    assert sum(line.count("┏") for line in lines) == 1
    told = " ".join(cell for line in lines if "│" in line for cell in [line.split("│")[1].strip()])
    assert " ".join(told.split()) == " ".join(rows)


def test_a_figure_stands_beside_the_best_trivial_answer_and_its_bar(printed):
    lines = printed("catsup", made_up("catsup"))
    assert cells(lines, "accuracy") == ["brand_choice: accuracy", "0.800", "0.700", ">= .71", "", "met"]
    assert cells(lines, "log loss") == ["brand_choice: log loss", "0.800", "0.600", "<= .765", "", "missed"]


def test_who_serves_is_shown_even_where_it_is_a_trivial_one():
    report = made_up("catsup")
    report["tasks"]["brand_choice"]["champion"] = "rule"
    assert rows_of("catsup", report)["brand_choice: accuracy"]["value"] == 0.7


def test_predicted_over_actual_is_best_near_one():
    report = made_up("cdnow")
    report["tasks"]["purchases"]["baselines"] = {"a": {"total_ratio": 1.5}, "b": {"total_ratio": 0.9}}
    assert rows_of("cdnow", report)["purchases: predicted over actual"]["trivial"] == 0.9


def test_a_figure_that_is_not_there_has_missed_its_bar(printed):
    report = made_up("airline_tweets")
    del report["tasks"]["sentiment"]["models"]["serves"]["auc"]
    lines = printed("airline_tweets", report)
    assert cells(lines, "AUC") == ["sentiment: AUC", "-", "0.700", ">= .90", "", "missed"]


def test_the_mean_is_over_eight_categories():
    report = made_up("online_retail")
    report["sales"]["category:service"] = report["sales"]["category:other"] = {}
    rules = {"seasonal_naive": {"mase": 0.2}, "moving_average": {"mase": 0.9}}
    bags = {**report["sales"]["all"]["7"], "mase": 1.6, "baselines": rules}
    report["sales"]["category:bags"] = dict.fromkeys(("1", "7", "14"), bags)
    row = rows_of("online_retail", report)["mean of 8 categories, 7 days: MASE"]
    assert row["value"] == pytest.approx((7 * 0.8 + 1.6) / 8)
    assert row["trivial"] == pytest.approx(0.9)  # the moving average's mean, not the best of each category
    assert quality_bars.verdict(row["value"], row["must"]) == "missed"


def test_the_report_as_json_is_what_the_run_returned(tmp_path, monkeypatch):
    report = made_up("online_retail")
    monkeypatch.setitem(quality.SETS, "online_retail", lambda _: report)
    CliRunner().invoke(app, ["quality", "--only", "online_retail", "--report", str(tmp_path / "q.json")])
    assert msgspec.json.decode((tmp_path / "q.json").read_bytes()) == msgspec.json.decode(
        msgspec.json.encode({"online_retail": report})
    )
