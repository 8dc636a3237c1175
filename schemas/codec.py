"""One decoder a topic, built once. What cannot be read is `Poison`, and nothing else is ever raised."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from schemas.events import (
    TYPE_OF,
    CustomerEvent,
    EngagementEvent,
    Event,
    Feedback,
    Forgotten,
    Observation,
    Sale,
    TransactionEvent,
)

InputTopic = Literal["customers", "transactions", "engagements", "feedback", "observations"]
INPUT_TOPICS: Final[tuple[InputTopic, ...]] = ("customers", "engagements", "feedback", "observations", "transactions")
"""In the order in which ties of time are broken."""
MAX_BYTES: Final = 1_000_000
"""A larger event is refused, in bytes."""
EARLIEST: Final = datetime(1970, 1, 2, tzinfo=UTC)
"""An earlier event is refused: a clock that was never set begins at 1970-01-01, or with the year 1."""
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""A later event is refused: a year from there to 9999 is a mistake, and beyond 9999 no date follows from it."""
MAX_TOTAL: Final = 1e11
"""A sale of more, in its currency, is refused: sums of amounts must stay within 64 bits."""

_UNIONS: Final[dict[InputTopic, Any]] = {
    "customers": CustomerEvent,
    "engagements": EngagementEvent,
    "feedback": Feedback,
    "observations": Observation,
    "transactions": TransactionEvent,
}
_ALONE: Final[dict[InputTopic, type]] = {"feedback": Feedback, "observations": Observation}
"""Topics of one type. A decoder of that type alone would not miss `type`."""
_DECODERS: Final = {
    topic: msgspec.json.Decoder(Feedback | Observation if topic in _ALONE else union)
    for topic, union in _UNIONS.items()
}
_ANY: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_ENCODER: Final = msgspec.json.Encoder()
TOPIC_OF_TYPE: Final[dict[str, InputTopic]] = {
    kind.__struct_config__.tag: topic
    for topic, union in _UNIONS.items()
    for kind in getattr(union, "__args__", (union,))
}


class Poison(ValueError):
    """A record that can never be read: one dead letter, inside the commit.

    Attributes
    ----------
    reason
        A short label for metrics: `undecodable`, `invalid`, `too_large`, ...
    detail
        For people; names the field where there is one.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def _read(decoder: msgspec.json.Decoder[Any], body: bytes | None) -> Any:
    if body is None:
        raise Poison("undecodable", "the record has no value")
    if len(body) > MAX_BYTES:
        raise Poison("too_large", f"{len(body)} bytes, of {MAX_BYTES} allowed")
    try:
        if not body.isascii():
            body.decode()  # the decoder does not look into what it ignores
        found = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Poison("invalid", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Poison("undecodable", str(error)) from None
    except RecursionError:
        raise Poison("undecodable", "nested too deeply") from None
    if not EARLIEST <= found.occurred_at < LATEST:
        nearest = EARLIEST if found.occurred_at < EARLIEST else LATEST
        if isinstance(found, Forgotten):  # whoever asks for it is forgotten, whatever the clock says
            return msgspec.structs.replace(found, occurred_at=nearest)
        raise Poison("invalid", f"Expected a time from {EARLIEST:%F} and before {LATEST:%F} - at `$.occurred_at`")
    if isinstance(found, Sale):
        total = sum(line.quantity * line.unit_price for line in found.lines)
        if total > MAX_TOTAL:
            raise Poison("invalid", f"Expected lines of at most {MAX_TOTAL:g} in all, got {total:g} - at `$.lines`")
    return found


def decode(topic: InputTopic, body: bytes | None) -> Event:
    """The event in one record of an input topic.

    Raises
    ------
    Poison
        Whatever the bytes are, this is the only error.

    Examples
    --------
    >>> decode("customers", b'{"type": "customer"}')
    Traceback (most recent call last):
    schemas.codec.Poison: invalid: Object missing required field `event_id`
    """
    event: Event = _read(_DECODERS[topic], body)
    if topic in _ALONE and not isinstance(event, _ALONE[topic]):
        raise Poison("invalid", f"Invalid value {TYPE_OF[type(event)]!r} - at `$.type`")
    return event


def decode_any(body: bytes) -> Event:
    """The event in one line of an event file, of whatever topic. Raises `Poison`."""
    event: Event = _read(_ANY, body)
    return event


def encode(event: Event) -> bytes:
    """JSON, UTF-8, one object."""
    return _ENCODER.encode(event)


def topic_of(event: Event) -> InputTopic:
    """The input topic that an event belongs to."""
    return TOPIC_OF_TYPE[event.__struct_config__.tag]  # type: ignore[index]


def key_of(event: Event) -> bytes:
    """The record's key: the customer, or where none is named the event itself."""
    return (event.customer_id or event.event_id).encode()


def json_schemas() -> dict[str, Any]:
    """JSON Schema of each input topic's events."""
    return {topic: msgspec.json.schema(union) for topic, union in _UNIONS.items()}
