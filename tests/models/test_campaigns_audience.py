"""Audiences: typed, checked when loaded, bounded when run; an error at run time means no and is counted."""

import contextlib
import time

import msgspec
import pytest

from models.campaigns.audience import Audience, AudienceError
from models.campaigns.moment import Moment

NAMES = ("orders", "spend")
MOMENT = Moment(
    customer_id="c1",
    at=0.0,
    kind="silence",
    cause="e",
    features={"orders": 3.0, "spend": 10.5},
    scores={"churn": 0.7, "response": 0.2, "value": 40.0},
    segment=2,
    segment_name="Loyal",
    previous_segment=None,
    previous_churn=None,
    best_segment=2,
    consent={},
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("churn >= 0.7 && response < 0.3 && value == 40.0", True),
        ("features.orders >= 3.0 && features.spend > 10.0", True),
        ("features . orders > 3.0", False),
        ("segment == best_segment && segment in [1, 2]", True),
        ("previous_segment == -1 && previous_churn == -1.0", True),
        ("segment_name == 'Loyal' && event == 'silence'", True),
        ("churn > previous_churn ? event != 'silence' : true", False),
    ],
)
def test_what_may_be_asked(expression, holds):
    audience = Audience(expression, NAMES)
    assert audience.holds(MOMENT) is holds
    assert audience.failures == 0


@pytest.mark.parametrize(
    ("expression", "line", "column", "words"),
    [
        ("churn > 0.5 && nope > 1.0", 1, 16, "undeclared reference to 'nope'"),
        ("churn > 0.5\n  && features.nope > 1.0", 2, 14, "undeclared reference"),
        ("churn > 1", 1, 7, "a double is compared with 2.0"),
        ("segment == 2.0", 1, 9, "an int with 2"),
        ("event == 1", 1, 7, "no matching overload"),
        ("churn >", 1, 8, "Syntax error"),
        ("churn + 1.0", 1, 1, "must be true or false, is double"),
        ("dyn(true)", 1, 1, "must be true or false"),
        ("[1].all(x, x > 0)", 1, 8, "undeclared reference to 'all'"),
        ("[1].map(x, x) == [1]", 1, 8, "undeclared reference to 'map'"),
        ("[1].filter(x, x > 0) == [1]", 1, 11, "undeclared reference to 'filter'"),
        ("", 1, 1, "Syntax error"),
    ],
)
def test_what_is_refused_and_where(expression, line, column, words):
    with pytest.raises(AudienceError) as caught:
        Audience(expression, NAMES)
    assert words in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)


HOSTILE = [
    "(" * 1000 + "true" + ")" * 1000,
    "!" * 3000 + "true",
    "true ? true : " * 250 + "true",
    "churn > 1.0 || " * 250 + "true",
    f"'{'a' * 3000}'.matches('(a*)*b')",
    "'a'.matches('(a{1000}){1000}')",
    "[" * 1500 + "]" * 1500 + " == []",
    "'" + "x" * 5000 + "' == event",
    "9223372036854775807 + segment > 0",
    "'a' + " * 600 + "'a' == event",
    "\x00\x00",
    "google.protobuf.Any{} == google.protobuf.Any{}",
    "timestamp('9999-12-31T23:59:59Z') + duration('1000000h') > timestamp('2020-01-01T00:00:00Z')",
]


@pytest.mark.parametrize("expression", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_expressions_are_refused_or_bounded(expression):
    began = time.perf_counter()
    with contextlib.suppress(AudienceError):
        Audience(expression, NAMES).holds(MOMENT)
    assert time.perf_counter() - began < 1  # the slowest takes a few ms


@pytest.mark.parametrize(
    ("expression", "moment"),
    [
        ("1 / (segment - 2) == 1", MOMENT),
        ("features.spend > 1.0", msgspec.structs.replace(MOMENT, features={})),
        ("churn > 0.5", msgspec.structs.replace(MOMENT, scores={"churn": "much"})),
        ("churn > 0.5", msgspec.structs.replace(MOMENT, scores={"churn": None})),
        ("segment > 0", msgspec.structs.replace(MOMENT, segment=2**70)),
        ("segment_name == 'x'", msgspec.structs.replace(MOMENT, segment_name=None)),
    ],
)
def test_an_error_at_run_time_means_no_and_is_counted(expression, moment):
    audience = Audience(expression, NAMES)
    assert audience.holds(moment) is False
    assert audience.failures == 1
    assert audience.last_failure


def test_it_reads_what_it_names_and_nothing_else():
    assert set(Audience("previous_churn > 0.1 && features . spend > 1.0", NAMES).names) == {
        "previous_churn",
        "features.spend",
    }


def test_numbers_that_are_none_are_in_no_audience():
    nan = msgspec.structs.replace(MOMENT, scores={"churn": float("nan")})
    assert not Audience("churn > 0.5 || churn <= 0.5", NAMES).holds(nan)
