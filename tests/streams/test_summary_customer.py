"""A customer as a person reads it."""

from io import StringIO

import pytest

from streams.reporting.plain import Plain
from streams.reporting.summary import show_customer

FIELDS = {
    "orders": "7",
    "refunds": "0",
    "spend": '{"EUR":12.5,"GBP":4310.0}',
    "first_purchase_at": "2010-12-07T14:57:00Z",
    "last_purchase_at": "2011-12-07T15:52:00Z",
    "segment": "3",
    "segment_name": "loyal [best] customer",
    "stage": "active",
    "purchases": "1.84",
    "next_purchase_at": "2012-01-19",
    "churn": "0.1340",
    "response": "0.0500",
    "value": "842.51",
    "updated_at": "2011-12-07T15:52:00Z",
    "explanation": '{"churn":[0.0,[["orders",-1.09],["colour=[red]",-0.26]],0.1],"response":[-2.9444,[],0.0],'
    '"value":[5.0,[["orders",1.39],["spend",0.66]],0.2]}',
    "models": '{"churn":"6374.26","response":"cold","value":"bg_nbd:6374.26"}',
}


def shown(fields, customer="12347", days=90.0):
    console = Plain(width=200, record=True, file=StringIO())
    show_customer(console, customer, fields, "GBP", days)
    return " ".join(console.export_text().split())


def test_facts_and_what_is_expected_are_in_words():
    text = shown(FIELDS)
    assert "12.50 EUR, 4,310.00 GBP" in text
    assert "loyal [best] customer" in text
    assert "active" in text
    assert "1.8 purchases in 90 days, the next by 2012-01-19 or, as likely, later" in text


def test_a_score_stands_beside_the_usual_one_and_its_reasons():
    text = shown(FIELDS)
    assert "13.4% │ 50.0% │ lowered by orders (-1.09), lowered by colour=[red] (-0.26)" in text
    assert "842.51 GBP │ 147.41 GBP │ raised by orders (+1.39), raised by spend (+0.66)" in text
    assert "5.0% │ │ no model yet: the usual rate" in text


@pytest.mark.parametrize(
    ("explanation", "words"),
    [("[5.0,[],0]", "147.41 GBP │ as usual"), ("[5.0,[],-5.0]", "147.41 GBP │ by no feature alone (-5.00 in all)")],
)
def test_a_score_that_no_feature_moves_much_has_a_model_all_the_same(explanation, words):
    assert words in shown(FIELDS | {"explanation": f'{{"value":{explanation}}}'})


def test_a_brand_is_written_as_a_person_does():
    text = shown(FIELDS | {"brand": "a%3Ab:Ash", "loyalty": "0.61", "loyalty_rule": "1 of the last 2: stays"})
    assert "a:b:Ash, again 61%: bought it 1 of the last 2: stays" in text


def test_the_window_is_the_one_that_was_set():
    text = shown(FIELDS, days=30.0)
    assert "1.8 purchases in 30 days" in text
    assert "churn (no purchase in 30 days)" in text
    assert "90" not in text


def test_what_is_not_known_is_left_out():
    text = shown({name: text for name, text in FIELDS.items() if name in ("orders", "spend", "segment_name")})
    assert "purchases in" not in text
    assert "stage" not in text
    text = shown(FIELDS | {"purchases": "", "next_purchase_at": ""})
    assert "purchases in" not in text
    text = shown(FIELDS | {"next_purchase_at": ""})
    assert "1.8 purchases in 90 days " in text


def test_no_name_from_outside_is_markup_or_a_command_to_the_terminal():
    text = shown(FIELDS | {"segment_name": "[/bold]\x1b[2J"}, "[/12347]\x1b]0;x")
    assert "Customer [/12347]\\x1b]0;x" in text
    assert "[/bold]\\x1b[2J" in text
    assert "\x1b" not in text
