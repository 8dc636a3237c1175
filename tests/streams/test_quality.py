"""The command `quality`: what it knows, what it leaves out, what it writes."""

from itertools import islice

import msgspec
import pytest
from typer.testing import CliRunner

from models.policy import Policy
from models.shard import Shop
from streams import quality
from streams.backtest import backtest
from streams.cli.app import app
from streams.errors import Misconfigured
from streams.replay import bank_marketing

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
