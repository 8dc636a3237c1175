"""Every kind of bad record, and the reason that its dead letter must give."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chaos.records import Record

Breaker = Callable[[random.Random, "Record", float, int], "Record"]
HUGE = 1_050_000


def _value(reason: str, change: Callable[[bytes], bytes | None]) -> Breaker:
    def make(rng: random.Random, record: Record, at: float, partitions: int) -> Record:
        return replace(
            record,
            value=change(record.value or b""),
            reason=reason,
            headers=(*record.headers, ("n", b"\xff\x00"), ("none", None)),
        )

    return make


def _field(reason: str, **fields: Any) -> Breaker:
    """Replace fields of the event; `...` removes one."""

    def change(body: bytes) -> bytes:
        event = json.loads(body)
        if event.get("customer_id") is not None:  # else the id is the key
            event["event_id"] = f"broken-{event['event_id']}"
        for name, value in fields.items():
            if value is ...:
                event.pop(name, None)
            else:
                event[name] = value
        return json.dumps(event).encode()

    return _value(reason, change)


def _raw(reason: str, name: str, json_text: bytes) -> Breaker:
    """Put a field whose JSON nobody's encoder would write."""
    return _value(reason, lambda body: b'{"' + name.encode() + b'":' + json_text + b"," + body[1:])


def _purchase(reason: str, quantity: bytes) -> Breaker:
    """A sale of a quantity that is none."""

    def make(rng: random.Random, record: Record, at: float, partitions: int) -> Record:
        value = (
            b'{"type":"purchase","event_id":"odd","customer_id":"' + (record.key or b"") + b'","currency":"GBP",'
            b'"channel":"web","occurred_at":"2025-02-03T10:00:00Z","lines":[{"product_id":"p","unit_price":1,'
            b'"quantity":' + quantity + b"}]}"
        )
        return replace(record, topic="transactions", value=value, reason=reason)

    return make


def _wrong_partition(rng: random.Random, record: Record, at: float, partitions: int) -> Record:
    return replace(record, partition=(record.partition + 1) % partitions, reason="wrong_partition")


def _key(key: bytes | None) -> Breaker:
    def make(rng: random.Random, record: Record, at: float, partitions: int) -> Record:
        return replace(record, key=key, reason="wrong_key")

    return make


BROKEN: dict[str, Breaker] = {
    "not JSON": _value("undecodable", lambda body: body[: len(body) // 2]),
    "empty": _value("undecodable", lambda body: b""),
    "no value": _value("undecodable", lambda body: None),
    "not UTF-8": _value("undecodable", lambda body: b'{"event_id":"\xff\xfe",' + body[1:]),
    "not UTF-8 where nobody looks": _value("undecodable", lambda body: body[:-1] + b',"note":"\xe9t\xe9"}'),
    "binary": _value("undecodable", lambda body: bytes(range(256))),
    "rubbish after it": _value("undecodable", lambda body: body + b"}"),
    "an array": _value("invalid", lambda body: b"[" + body + b"]"),
    "a number": _value("invalid", lambda body: b"17"),
    "null": _value("invalid", lambda body: b"null"),
    "huge": _value("too_large", lambda body: body[:-1] + b',"pad":"' + b"x" * HUGE + b'"}'),
    "nested": _value("undecodable", lambda body: body[:-1] + b',"deep":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
    "NaN": _raw("undecodable", "odd", b"NaN"),
    "infinity": _raw("undecodable", "odd", b"-Infinity"),
    "beyond any float": _purchase("invalid", b"1e999"),
    "too much": _purchase("invalid", b"1e300"),
    "nothing": _purchase("invalid", b"0"),
    "less than nothing": _purchase("invalid", b"-3"),
    "quantity in words": _purchase("invalid", b'"three"'),
    "a very long number": _purchase("invalid", b"9" * 400),
    "no id": _field("invalid", event_id=...),
    "no time": _field("invalid", occurred_at=...),
    "no type": _field("invalid", type=...),
    "unknown type": _field("invalid", type="bought"),
    "another topic's type": _field("invalid", type="basket"),
    "wrong type": _field("invalid", event_id=12),
    "empty id": _field("invalid", event_id=""),
    "long id": _field("invalid", event_id="x" * 600),
    "naive time": _field("invalid", occurred_at="2025-02-03T10:00:00"),
    "no such day": _field("invalid", occurred_at="2025-02-30T10:00:00Z"),
    "year 10000": _field("invalid", occurred_at="10000-01-01T00:00:00Z"),
    "time as number": _field("invalid", occurred_at=1738576800),
    "year 1": _field("invalid", occurred_at="0001-01-01T00:00:00+01:00"),
    "clock never set": _field("invalid", occurred_at="1970-01-01T00:00:00Z"),
    "far future": _field("future", occurred_at="2199-01-01T00:00:00Z"),
    "last day of all": _field("invalid", occurred_at="9999-12-31T23:59:59.999999-12:00"),
    "time jump": _field("time_jump", occurred_at="2026-11-01T00:00:00+00:00"),
    "wrong partition": _wrong_partition,
    "no key": _key(None),
    "empty key": _key(b""),
    "other's key": _key(b"somebody else"),
}
