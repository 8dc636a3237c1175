"""Attributes of customers and offers as features, without configuration.

Each attribute keeps its identity: 16 bits made of its name, or of name and value where the value is a
string or a bool. A number is compressed by a signed `log1p`; a string is one-hot; null and what is not
given are missing, which is not zero. The learner scales numbers and keeps the most active keys. Kept
with a pending example, a one-hot key takes two bytes and a number six.

References
----------
Weinberger et al. (2009), Feature hashing for large scale multitask learning, ICML.
"""

import math
from collections.abc import Mapping
from functools import lru_cache
from struct import pack, unpack_from
from typing import Final, NamedTuple
from zlib import crc32

from msgspec import msgpack

from schemas.events import Value
from schemas.serving import OFFER, ONE_HOT
from schemas.state import Attribute

_ENCODER: Final = msgpack.Encoder(enc_hook=float)  # of numpy
_DECODER: Final = msgpack.Decoder(dict[str, Value])
HASHES: Final = 0xFFFF >> 2
MAX_ATTRIBUTES: Final = 32
"""Of a customer, and of an offer; further names are ignored, and counted."""
MAX_TEXT: Final = 64
NOTHING: Final[Mapping[str, Value]] = {}


class Pair(NamedTuple):
    """One attribute as a feature. `label` says it in words; a one-hot value is 1."""

    key: int
    value: float
    label: str


Pairs = tuple[Pair, ...]


def customer_pairs(attributes: Mapping[str, Attribute]) -> Pairs:
    """Pairs of a customer's state, by key. Two attributes with one key: the first by name stays."""
    return _known_pairs(_ENCODER.encode(attributes), 0)


def of_customer(attributes: Mapping[str, Value]) -> Pairs:
    """Pairs of attributes as an event brings them."""
    return _pairs(attributes, 0)


def offer_pairs(attributes: Mapping[str, Value]) -> Pairs:
    """Pairs of an offer, by key; the first `MAX_ATTRIBUTES` names count."""
    return _known_pairs(_ENCODER.encode(_bounded(attributes)), OFFER)


def contact_pairs(campaign_id: str, channel: str, attributes: Mapping[str, Value] = NOTHING) -> Pairs:
    """Pairs of a contact: of its offer, and of its campaign and channel, unless the offer has attributes so named."""
    about = {"campaign_id": campaign_id, "channel": channel, **_bounded(attributes)}
    return _known_pairs(_ENCODER.encode(about), OFFER)


def _bounded(attributes: Mapping[str, Value]) -> Mapping[str, Value]:
    if len(attributes) <= MAX_ATTRIBUTES:
        return attributes
    return dict(sorted(attributes.items())[:MAX_ATTRIBUTES])


@lru_cache(maxsize=16_384)
def _known_pairs(body: bytes, kind: int) -> Pairs:
    """Pairs of packed attributes. Packed, True is not 1.0, and -0.0 not 0.0."""
    return _pairs(_DECODER.decode(body), kind)


def _pairs(attributes: Mapping[str, Value], kind: int) -> Pairs:
    found: dict[int, Pair] = {}
    for name, value in sorted(attributes.items()):
        pair = _pair(name, value, kind)
        if pair is not None:
            found.setdefault(pair.key, pair)
    return tuple(found[key] for key in sorted(found))


def _pair(name: str, value: Value, kind: int) -> Pair | None:
    if value is None:
        return None
    if isinstance(value, bool | str):
        return _one_hot(name, str(value).lower() if isinstance(value, bool) else value, kind)
    if not math.isfinite(value):
        return None
    compressed = math.copysign(math.log1p(abs(value)), value)
    return Pair(_number_key(name, kind), float(unpack_from("<f", pack("<f", compressed))[0]), _said(name, kind))


@lru_cache(maxsize=16_384)
def _one_hot(name: str, value: str, kind: int) -> Pair:
    text = f"{name}={value[:MAX_TEXT]}"
    return Pair(_hash(text) << 2 | kind | ONE_HOT, 1.0, _said(text, kind))


@lru_cache(maxsize=4_096)
def _number_key(name: str, kind: int) -> int:
    return _hash(name) << 2 | kind


def _hash(text: str) -> int:
    """From 1 to `HASHES`: 0 stands for rare values together. Not Python's `hash`, which changes."""
    return crc32(text.encode("utf-8", "surrogatepass")) % HASHES + 1


def _said(text: str, kind: int) -> str:
    return f"offer {text}" if kind & OFFER else text


def pack_pairs(pairs: Pairs) -> bytes:
    """Pairs as a pending example keeps them: the number of one-hot keys, these, then keys with values."""
    if not pairs:
        return b""
    ones = [pair.key for pair in pairs if pair.key & ONE_HOT]
    numbers = [pair for pair in pairs if not pair.key & ONE_HOT]
    body = pack(f"<B{len(ones)}H", len(ones), *ones)
    return body + b"".join(pack("<Hf", pair.key, pair.value) for pair in numbers)


def unpack_pairs(body: bytes) -> dict[int, float]:
    """Keys to values of packed pairs: the customer's, then the offer's, each by key, as they are scored."""
    if not body:
        return {}
    count = body[0]
    found = dict.fromkeys(unpack_from(f"<{count}H", body, 1), 1.0)
    for place in range(1 + 2 * count, len(body), 6):
        key, value = unpack_from("<Hf", body, place)
        found[key] = value
    return dict(sorted(found.items(), key=lambda pair: (pair[0] & OFFER, pair[0])))
