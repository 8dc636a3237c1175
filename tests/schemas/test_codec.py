import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import (
    EARLIEST,
    INPUT_TOPICS,
    LATEST,
    MAX_BYTES,
    Poison,
    decode,
    decode_any,
    encode,
    json_schemas,
    key_of,
    topic_of,
)
from schemas.events import (
    Clicked,
    Converted,
    Customer,
    Feedback,
    Forgotten,
    Observation,
    Opened,
    Purchase,
    Refund,
    Sent,
    Unsubscribed,
    Withheld,
)

GOLDEN = Path(__file__).parent / "golden"
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SALE = {
    "type": "purchase",
    "event_id": "1",
    "customer_id": "a",
    "occurred_at": "2026-01-02T03:04:05Z",
    "currency": "GBP",
    "channel": "web",
    "lines": [{"product_id": "p", "quantity": 1, "unit_price": 2.5}],
}


def refused(topic, body):
    try:
        decode(topic, body)
    except Poison as poison:
        return poison
    return None


@given(st.sampled_from(INPUT_TOPICS), st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_poison(topic, body):
    refused(topic, body)


@given(st.sampled_from(INPUT_TOPICS), JSON)
def test_arbitrary_json_raises_nothing_but_poison(topic, value):
    refused(topic, json.dumps(value).encode(errors="surrogatepass"))


@given(st.sampled_from(sorted(SALE)), JSON)
def test_a_field_of_any_value_is_read_or_refused(name, value):
    body = json.dumps(SALE | {name: value}).encode(errors="surrogatepass")
    refused("transactions", body)


@pytest.mark.parametrize("name", sorted(set(SALE) - {"type"}))
def test_a_missing_field_is_named(name):
    body = json.dumps({key: value for key, value in SALE.items() if key != name}).encode()
    poison = refused("transactions", body)
    assert poison is not None
    assert name in poison.detail


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"occurred_at": "2026-01-02T03:04:05"}, "occurred_at"),
        ({"currency": "pounds"}, "currency"),
        ({"currency": "GBP\n"}, "currency"),
        ({"customer_id": ""}, "customer_id"),
        ({"lines": []}, "lines"),
        ({"lines": [{"product_id": "p", "quantity": 0, "unit_price": 1}]}, "quantity"),
        ({"lines": [{"product_id": "p", "quantity": 1, "unit_price": -1}]}, "unit_price"),
    ],
)
def test_a_wrong_field_is_named(change, field):
    poison = refused("transactions", json.dumps(SALE | change).encode())
    assert poison is not None
    assert (poison.reason, field in poison.detail) == ("invalid", True)


@pytest.mark.parametrize("kind", ["sent", "withheld"])
@pytest.mark.parametrize(
    ("seconds", "fits"),
    [(-1.0, False), (0, False), (1e-3, True), (366 * 86_400, True), (366 * 86_400 + 1, False), (1e300, False)],
)
def test_a_window_that_would_hardly_close_is_refused(kind, seconds, fits):
    contact = json.loads((GOLDEN / "engagements.jsonl").read_bytes().splitlines()[0])
    poison = refused("engagements", json.dumps(contact | {"type": kind, "window_seconds": seconds}).encode())
    assert (poison is None) == fits
    assert fits or (poison.reason, "window_seconds" in poison.detail) == ("invalid", True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "undecodable"),
        (b"", "undecodable"),
        (b"\xff\xfe", "undecodable"),
        (b'{"x":' * 100_000, "undecodable"),
        (b'{"type": "parcel"}', "invalid"),
        (b" " * (MAX_BYTES + 1), "too_large"),
        (json.dumps(SALE).replace("2.5", "NaN").encode(), "undecodable"),
    ],
    ids=["none", "empty", "not utf-8", "deep", "unknown type", "huge", "nan"],
)
def test_each_kind_of_bad_record_has_its_reason(body, reason):
    poison = refused("transactions", body)
    assert poison is not None
    assert poison.reason == reason


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_an_event_without_its_type_or_of_another_topic_is_refused_in_every_topic(topic):
    for other in INPUT_TOPICS:
        event = json.loads((GOLDEN / f"{other}.jsonl").read_bytes().splitlines()[0])
        assert (refused(topic, json.dumps(event).encode()) is None) == (other == topic)
        del event["type"]
        assert refused(topic, json.dumps(event).encode()).reason == "invalid"


@pytest.mark.parametrize("topic", INPUT_TOPICS)
def test_every_released_event_still_decodes(topic):
    lines = (GOLDEN / f"{topic}.jsonl").read_bytes().splitlines()
    events = [decode(topic, line) for line in lines]
    assert {type(event) for event in events} == {
        "customers": {Customer, Forgotten},
        "transactions": {Purchase, Refund},
        "feedback": {Feedback},
        "observations": {Observation},
        "engagements": {Sent, Withheld, Opened, Clicked, Converted, Unsubscribed},
    }[topic]
    for event in events:
        assert decode_any(encode(event)) == event
        assert topic_of(event) == topic
        assert key_of(event)


def test_the_json_schemas_checked_in_are_those_of_the_code():
    for topic, schema in json_schemas().items():
        stored = (Path("schemas/json") / f"{topic}.json").read_bytes()
        assert msgspec.json.decode(stored) == json.loads(msgspec.json.encode(schema)), (
            f"run `streamscore schemas`: {topic}"
        )


@pytest.mark.parametrize(("quantity", "price", "fits"), [(1e9, 100.0, True), (1e9, 101.0, False), (1e9, 1e9, False)])
def test_a_sale_whose_sums_would_not_fit_is_refused(quantity, price, fits):
    lines = [{"product_id": "p", "quantity": quantity, "unit_price": price}]
    poison = refused("transactions", json.dumps(SALE | {"lines": lines}).encode())
    assert (poison is None) is fits
    assert poison is None or (poison.reason == "invalid" and "$.lines" in poison.detail)


def test_what_is_ignored_must_be_utf_8_too():
    line = b'{"type":"forgotten","event_id":"e","customer_id":"c","occurred_at":"2025-02-03T10:00:00Z","note":"%s"}'
    assert decode("customers", line.replace(b"%s", "été".encode())).event_id == "e"
    with pytest.raises(Poison, match="undecodable"):
        decode("customers", line.replace(b"%s", "été".encode("latin-1")))


@pytest.mark.parametrize(
    ("time", "fits"),
    [
        ("0001-01-01T00:00:00+01:00", False),
        ("0001-01-01T00:00:00Z", False),
        ("1970-01-01T00:00:00Z", False),
        ("1970-01-02T00:00:00Z", True),
        ("2199-12-31T23:59:59Z", True),
        ("2200-01-01T00:00:00Z", False),
        ("9999-12-31T23:59:59Z", False),
        ("9999-12-31T23:59:59-01:00", False),
    ],
)
def test_a_clock_that_was_never_set_or_has_gone_wild_is_refused(time, fits):
    body = json.dumps({"type": "customer", "event_id": "e", "customer_id": "c", "occurred_at": time}).encode()
    if fits:
        assert decode("customers", body).event_id == "e"
    else:
        with pytest.raises(Poison, match="occurred_at"):
            decode("customers", body)


@pytest.mark.parametrize(
    ("time", "nearest"),
    [
        ("0001-01-01T00:00:00+01:00", EARLIEST),
        ("1970-01-01T00:00:00Z", EARLIEST),
        ("9999-12-31T23:59:59-01:00", LATEST),
    ],
)
def test_who_asks_to_be_forgotten_is_not_refused_for_a_clock(time, nearest):
    body = json.dumps({"type": "forgotten", "event_id": "e", "customer_id": "c", "occurred_at": time}).encode()
    assert decode("customers", body).occurred_at == nearest
