"""`backtest --at`: what comes after the moment is judged, and changes no score."""

import gzip
from datetime import UTC, datetime, timedelta
from io import StringIO

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from models.policy import DAY
from schemas.codec import encode
from schemas.events import Customer, Line, Purchase, Refund
from streams.backtest import backtest_at
from streams.cli import app
from streams.cli.app import out
from streams.errors import Misconfigured
from streams.replay import cdnow
from streams.reporting.plain import Plain
from streams.reporting.verdict import verdict
from streams.settings import load_settings
from streams.worker import make_shop

START = datetime(2025, 1, 1, tzinfo=UTC)
AT = START + timedelta(days=200)


def shop_events(seed=0, customers=300, days=320):
    """Some buy often and go on, some stop early."""
    draw = np.random.default_rng(seed)
    events = []
    for number in range(customers):
        rate, end = draw.gamma(1.0) / 25.0, draw.exponential(150.0)
        t = draw.uniform(0.0, 150.0)
        end, made = t + end, 0
        while t < min(end, days):
            at = START + timedelta(days=float(t))
            line = Line(product_id="p", quantity=1, unit_price=round(float(draw.gamma(3.0) * 9.0), 2), category="c")
            events.append(
                Purchase(event_id=f"{number}-{made}", customer_id=f"c{number}", occurred_at=at, currency="EUR",
                         channel="web", lines=(line,))
            )  # fmt: skip
            t, made = t + draw.exponential(1.0 / rate), made + 1
    return sorted(events, key=lambda event: event.occurred_at)


def run(events, days=90.0):
    return backtest_at(events, make_shop(load_settings(currency="EUR")), AT.timestamp(), days)


@pytest.fixture(scope="module")
def events():
    return shop_events()


@pytest.fixture(scope="module")
def ahead(events):
    return run(events)


def test_everybody_who_had_bought_is_scored_and_what_came_is_counted(events, ahead):
    _, found = ahead
    until = AT + timedelta(days=90)
    known = {event.customer_id for event in events if event.occurred_at <= AT}
    assert set(found.came) == known
    for customer in list(known)[:50]:
        came = [e for e in events if e.customer_id == customer and AT < e.occurred_at <= until]
        assert found.came[customer].orders == len(came)
        assert found.came[customer].spend_e4 == sum(round(e.lines[0].unit_price * 10_000) for e in came)


def test_what_comes_after_changes_no_score(events, ahead):
    _, found = ahead
    other = [event for event in events if event.occurred_at <= AT]
    stranger = msgspec.structs.replace(events[0], event_id="s", customer_id="s", occurred_at=AT + timedelta(days=90))
    refund = Refund(event_id="r", customer_id="c0", occurred_at=AT + timedelta(seconds=1), currency="EUR",
                    channel="web", lines=(Line(product_id="p", quantity=9, unit_price=900.0),))  # fmt: skip
    _, again = run([*other, refund, stranger])
    assert again.days == 90.0
    for task, models in found.scores.items():
        for name, scores in models.items():
            assert (again.scores[task][name] == scores).all(), (task, name)


def test_the_report_has_the_three_tasks_and_learned_models_tell_buyers_from_others(ahead):
    test, found = ahead
    report = found.report()
    assert set(report) == {"churn", "value", "purchases"}
    assert test.learning.leagues.draws.fits > 0
    assert report["churn"]["models"]["pareto_nbd"]["auc"] > 0.7
    assert {"last_100", "last_1000", "recency_days"} <= report["churn"]["baselines"].keys()
    assert 0.6 < report["purchases"]["models"]["pareto_nbd"]["total_ratio"] < 1.6
    for figures in report.values():
        assert figures["champion"] in figures["models"]
        assert figures["baselines"]
    won = msgspec.structs.replace(found, scores={"churn": dict(reversed(found.scores["churn"].items()))})
    served = next(iter(won.scores["churn"]))
    assert served in found.baselines["churn"]
    assert verdict(won.report()["churn"]).startswith(f"{served} serves, a trivial answer itself")


def test_a_longer_horizon_brings_more_and_less_silence(events, ahead):
    _, near = ahead
    _, far = run(events, 110.0)
    for name, amounts in near.scores["purchases"].items():
        assert (far.scores["purchases"][name] >= amounts).all(), name
    for name, silence in near.scores["churn"].items():
        assert (far.scores["churn"][name] <= silence).all(), name


def test_the_command_judges_and_takes_the_files_currency(tmp_path, events):
    file, report = tmp_path / "events.jsonl", tmp_path / "report.json"
    profile = Customer(event_id="a", customer_id="c0", occurred_at=START, attributes={"country": "DE"})
    file.write_bytes(b"\n".join(map(encode, [profile, *events])))
    at = AT.date() - timedelta(days=1)  # a date stands for its end
    ended = CliRunner().invoke(
        app, ["backtest", str(file), "--at", str(at), "--horizon", "60", "--report", str(report)]
    )
    assert ended.exit_code == 0, ended.output
    found = msgspec.json.decode(report.read_bytes())
    assert found["ahead"]["at"] == "2025-07-20T00:00:00Z"
    assert found["ahead"]["horizon_days"] == 60
    assert found["tasks"]["value"]["models"]["pareto_nbd"]["mae"] > 0  # so the spend is in the main currency
    assert found["tasks"]["churn"]["examples"] == found["ahead"]["customers"]
    assert "until_then" in found["ahead"]


def last_day_of(events):
    return datetime.combine(events[-1].occurred_at.date(), datetime.min.time(), UTC)


def test_a_horizon_beyond_the_sales_is_judged_by_the_days_that_are_there(events):
    _, found = run(events, 1_000.0)
    end = last_day_of(events) + timedelta(days=1)
    assert (found.days, found.asked) == ((end - AT) / timedelta(days=1), 1_000.0)
    _, short = run(events, found.days)
    assert short.days == short.asked == found.days  # a last day is whole, if nothing comes in its last hours
    assert short.report() == found.report()
    purchases = found.report()["purchases"]
    assert purchases["window_days"] == found.days
    assert purchases["models"]["pareto_nbd"]["total_ratio"] < 1.6


def test_other_events_and_a_clock_that_is_wrong_do_not_make_sales_go_on(events):
    after = last_day_of(events) + timedelta(days=30)
    profile = Customer(event_id="a", customer_id="c0", occurred_at=after, attributes={"country": "DE"})
    wrong = msgspec.structs.replace(events[0], event_id="w", occurred_at=after + timedelta(days=3_000))
    _, found = run([*events, profile, wrong], 1_000.0)
    assert found.days == run(events, 1_000.0)[1].days
    next_year = msgspec.structs.replace(events[0], event_id="w", occurred_at=AT + timedelta(days=300))
    assert run([*events, next_year], 200.0)[1].days == 200.0


@pytest.fixture
def wide(monkeypatch):
    """A terminal in which no cell of a table is broken into lines."""
    monkeypatch.setattr(out, "_width", 200)


def test_every_report_says_which_days_are_judged(tmp_path, events, wide):
    file, report, html = (tmp_path / name for name in ("events.jsonl", "report.json", "page.html"))
    file.write_bytes(b"\n".join(map(encode, events)))
    at = last_day_of(events) - timedelta(days=15)
    cut = ["backtest", str(file), "--at", str(at.date()), "--horizon", "365"]
    ended = CliRunner().invoke(app, [*cut, "--report", str(report), "--html", str(html)])
    assert ended.exit_code == 0, ended.output
    found = msgspec.json.decode(report.read_bytes())["ahead"]
    assert (found["horizon_days"], found["asked_days"]) == (15.0, 365.0)
    for told in (found["warning"], ended.stdout, html.read_text()):
        assert "of the 365 days asked for, only 15 days can be judged" in " ".join(told.split())
    for told in (ended.stdout, html.read_text()):
        assert "no purchase in 15 days" in told
        assert "spend in 15 days" in told
        assert "90 days" not in told
    assert ended.stderr == ""  # no progress bar where nobody looks


def test_tables_and_page_have_the_window_that_was_set(tmp_path, events, monkeypatch, wide):
    file, html = tmp_path / "events.jsonl", tmp_path / "page.html"
    file.write_bytes(b"\n".join(map(encode, events[:600])))
    monkeypatch.setenv("STREAMSCORE_WINDOW_DAYS", "30")
    ended = CliRunner().invoke(app, ["backtest", str(file), "--html", str(html)])
    for told in (ended.stdout, html.read_text()):
        assert "no purchase in 30 days" in told
        assert "spend in 30 days" in told
        assert "90 days" not in told


def test_a_terminal_is_shown_how_far_it_is(tmp_path, events, monkeypatch):
    file, screen = tmp_path / "events.jsonl", StringIO()
    file.write_bytes(b"\n".join(map(encode, events[:1_200])))
    monkeypatch.setattr("streams.cli.bar.err", Plain(file=screen, force_terminal=True, width=100))
    assert CliRunner().invoke(app, ["backtest", str(file)]).exit_code == 0
    assert "1,200 events" in screen.getvalue()
    assert "100%" in screen.getvalue()


WRONG = {
    "only --horizon": ["--horizon", "60"],
    "no time": ["--at", "soon"],
    "no offset": ["--at", "2025-07-20T10:00:00"],
    "before the first sale": ["--at", "2023-01-01"],
    "after the last sale": ["--at", "2030-01-01"],
    "the last day there is": ["--at", "9999-12-31"],
    "nearly the last": ["--at", "9999-12-30"],
    **{f"horizon {days}": ["--at", "2025-07-20", "--horizon", days] for days in ("nan", "inf", "0", "-3")},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.timeout(60)
def test_what_cannot_be_meant_is_refused(tmp_path, events, wrong):
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(map(encode, events)))
    with pytest.raises(Misconfigured):  # of which the command makes a sentence, and exit code 2
        CliRunner().invoke(app, ["backtest", str(file), *wrong], catch_exceptions=False)


EMPTY = {"2023-01-01": "nobody has bought by 2023-01-02", "2030-01-01": "no sale follows 2030-01-02"}


@pytest.mark.parametrize(("day", "words"), EMPTY.items(), ids=["before the first sale", "after the last sale"])
def test_it_says_whether_nobody_had_bought_or_nobody_buys(tmp_path, events, day, words):
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(map(encode, events[:50])))
    with pytest.raises(Misconfigured, match=words):
        CliRunner().invoke(app, ["backtest", str(file), "--at", day], catch_exceptions=False)


ROWS = """ customer_id  date number_of_cds  dollar_value
 00001 19970101  1   11.77
 00002 19970112  1   12.00
 00002 19970112  5   77.00
 00001 19970111  2   30.01
"""


@pytest.mark.parametrize("packed", [False, True])
def test_cdnow_rows_of_a_day_are_one_purchase(tmp_path, packed):
    if packed:
        (tmp_path / "CDNOW_master.txt.gz").write_bytes(gzip.compress(ROWS.encode()))
    else:
        (tmp_path / "CDNOW_master.txt").write_text(ROWS)
    first, second, third = cdnow.events(tmp_path)
    assert (first.customer_id, second.customer_id, third.customer_id) == ("00001", "00001", "00002")
    assert third.occurred_at == datetime(1997, 1, 12, 12, tzinfo=UTC)
    assert [line.quantity for line in third.lines] == [1, 5]
    assert sum(line.quantity * line.unit_price for line in third.lines) == pytest.approx(89.0)
    assert second.occurred_at.timestamp() - first.occurred_at.timestamp() == 10 * DAY


def test_a_folder_without_the_data_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"CDNOW_master\.txt"):
        list(cdnow.events(tmp_path))
