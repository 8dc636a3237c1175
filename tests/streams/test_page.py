"""The page of a report: whole, for itself, and nothing in it is anybody's markup but ours."""

import copy
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from io import StringIO

import msgspec
import pytest

from models.learning import Learning
from models.policy import Policy
from models.shard import Shop
from streams.backtest import backtest
from streams.replay.simulated import Simulation
from streams.reporting.page import charts, page
from streams.reporting.page.figures import task_of
from streams.reporting.plain import Plain
from streams.reporting.summary import show
from streams.reporting.verdict import verdict
from streams.sizes import Sizes

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Tags that are open, attributes, texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def report():
    shop = Shop(Policy(window_days=20.0, draw_days=7.0, lateness=0.0))
    found = backtest(Simulation(150, 2_500, seed=3, days=120).events(), shop).report()
    return msgspec.json.decode(msgspec.json.encode(found))  # as from a file


def test_the_page_is_whole_and_needs_nothing_else(report):
    text = page(report, "a shop")
    found = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(found.tags)
    links = [value for name, value in found.attributes if name in ("href", "src", "xlink:href", "action")]
    assert all(link.startswith("#") for link in links)
    assert not re.search(r"url\(|@import|https?://", text)
    ids = {value for name, value in found.attributes if name == "id"}
    assert {link[1:] for link in links} <= ids
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314 - our own


def test_every_score_that_is_served_says_what_moves_it(report):
    for task in ("churn", "value", "purchases"):
        told = report["tasks"][task]
        assert told["importance"], task
        assert told["importance_by_segment"], task
    assert not {"spend", "mean_order", "spend_90d"} & set(report["tasks"]["purchases"]["importance"])
    assert "contribution to ln(1 + the amount)" in page(report, "a shop")


def test_the_memory_of_each_league_is_told(report):
    sizes = {task: report["tasks"][task]["bytes"] for task in ("response", "churn", "value", "purchases")}
    assert all(10_000 < size < 30_000_000 for size in sizes.values()), sizes
    assert f"the league takes {sizes['churn'] / 1e6:.1f} MB" in page(report, "a shop")
    console = Plain(width=200, record=True, file=StringIO())
    show(console, report)
    assert f"churn {sizes['churn'] / 1e6:.1f} MB" in console.export_text()


def test_it_is_measured_again_as_examples_grow_and_not_each_time(monkeypatch):
    learning, sizes, asked = Learning(Policy()), Sizes(), []
    monkeypatch.setattr("streams.sizes.weigh", lambda state: asked.append(state.get("examples")) or 2)
    learning.report()
    for examples in range(100, 200):
        learning.leagues["churn"].examples = examples
        assert sizes.report(learning)["tasks"]["churn"]["bytes"] == 2
    assert [examples for examples in asked if examples] == [100, 111, 123, 136, 150, 166, 183]


def test_every_task_stands_beside_its_baselines(report):
    words = " ".join(Page(page(report, "a shop")).words)
    for task, figures in report["tasks"].items():
        if figures["examples"]:
            assert task in words
            for name in (*figures["models"], *figures["baselines"]):
                assert name in words, (task, name)
    for name in report["segments"]["sizes"]:
        assert name in words
    assert f"{report['events']['read']:,}" in words
    churn = report["tasks"]["churn"]
    assert f"{churn['models'][churn['champion']]['auc']:.3f}" in words


def test_what_came_from_outside_is_text(report):
    hostile = "<script>alert(1)</script>\"'&"
    changed = copy.deepcopy(report)
    changed["campaigns"] = {
        hostile: {"triggers": 3, "suppressed": {hostile: 2}, "uplift": 0.1, "uplift_interval": [0, 1]}
    }
    changed["segments"]["sizes"] = {hostile: 4}
    changed["tasks"]["churn"]["importance"] = {hostile: 0.5}
    changed["tasks"]["churn"]["by_month"] = {hostile: {"2026-01": 0.5, "2026-02": 0.6}}
    changed["sales"] = {hostile: report["sales"]["all"]}
    found = Page(page(changed, hostile))
    assert "script" not in found.tags
    assert hostile in " ".join(found.words)


def test_a_report_of_nothing_is_a_page_too():
    found = Page(page(backtest(iter(()), Shop(Policy())).report(), "nothing"))
    assert "nothing can be judged" in " ".join(found.words)


def test_the_verdict_says_it_where_a_baseline_wins():
    figures = {
        "champion": "a", "models": {"a": {"log_loss": 0.5, "auc": 0.9}}, "baselines": {"b": {"log_loss": 0.4}, "c": {"log_loss": 0.6}}
    }  # fmt: skip
    assert verdict(figures) == "a does not beat the best trivial answer (b): log loss 0.5000 against 0.4000."
    trivial = {"champion": "b", "models": {"b": {"mae": 2.0}}, "baselines": {"b": {"mae": 2.5}}}
    assert verdict(trivial) == "b serves, a trivial answer itself: MAE 2.0000."
    figures["models"]["a"]["log_loss"] = 0.3
    assert verdict(figures).startswith("a beats")
    assert verdict(figures | {"baselines": {}}) == "Nothing to compare yet."


def test_summary_and_page_say_the_same_of_a_champion(report):
    value = {
        "examples": 9, "champion": "persistence", "window_days": 90.0,
        "models": {"persistence": {"mae": 2.0, "spearman": 0.9}, "forest": {"mae": 3.0, "spearman": 0.95}},
        "baselines": {"persistence": {"mae": 2.5, "spearman": 0.1}, "running_mean": {"mae": 4.0, "spearman": None}},
    }  # fmt: skip
    line = _line(report, "value", value)
    assert re.search(r"MAE +│ 2.000 persistence +│ 4.000 running_mean +│ a trivial answer itself", line), line
    assert task_of("value", value)["verdict"] == "persistence serves, a trivial answer itself: MAE 2.0000."
    value |= {"champion": "forest"}  # it ranks better, and errs more
    line = _line(report, "value", value)
    assert re.search(r"MAE +│ 3.000 forest +│ 2.500 persistence +│ no ", line), line
    assert "forest does not beat the best trivial answer (persistence)" in task_of("value", value)["verdict"]
    assert "none yet" in _line(report, "value", value | {"models": {}, "baselines": {}})


def _line(report, task, figures):
    console = Plain(width=200, record=True, file=StringIO())
    show(console, report | {"tasks": {task: figures}})
    [line] = [line for line in console.export_text().splitlines() if line.startswith(f"│ {task} ")]
    return line


def test_a_control_is_shown_and_nobody_is_compared_with_it(report):
    demand = {
        "examples": 7, "positives": 3, "champion": "growth",
        "models": {"growth": {"auc": 0.6, "log_loss": 0.68}, "trees": {"auc": 0.57, "log_loss": 0.69}},
        "baselines": {"base_rate": {"auc": 0.55, "log_loss": 0.7}, "last_six_days": {"units_log_error": 0.29}},
        "controls": {"random_days": {"auc": 0.99, "log_loss": 0.01}},
    }  # fmt: skip
    told = task_of("demand", demand)
    assert told["verdict"] == "growth beats the best trivial answer (base_rate): log loss 0.6800 against 0.7000."
    [control] = [row for row in told["rows"] if row["kind"] == "control"]
    assert control["cells"][0] == (0.99, False)
    assert told["rows"][0]["cells"][0] == (0.6, True)
    words = " ".join(Page(page(report | {"tasks": report["tasks"] | {"demand": demand}}, "a shop")).words)
    for name in ("trees", "last_six_days", "random_days: the same on shuffled days"):
        assert name in words


def test_points_stand_where_their_numbers_say():
    frame = charts.Frame((0.0, 10.0), (0.0, 1.0))
    left, bottom = frame.at(0.0, 0.0)
    right, top = frame.at(10.0, 1.0)
    assert (left, right) == (charts.LEFT, charts.WIDTH - charts.RIGHT)
    assert (top, bottom) == (charts.TOP, charts.HEIGHT - charts.BOTTOM)
    assert frame.at(5.0, 0.5) == ((left + right) / 2, (top + bottom) / 2)
