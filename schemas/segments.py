"""What clusters are compiled to, and shards assign customers with: plain numbers and names as JSON."""

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct


class Segments(Struct, frozen=True, kw_only=True):
    """Centres of segments. `ids` go with `centres`, `names` and `sizes`; without any, places are ids.

    An id that has ended never comes back. A customer stays in a segment while no other is `hold` times
    closer, in squared distance.

    `features` is the order of columns; values are log1p of days, counts and currency units. A value
    is standardised by `(x - mean) / scale`, and `centres` are in that unit: k rows of d numbers.
    `sizes` counts the customers they were fitted on. `best` is the id of the highest spend.
    """

    version: str
    features: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[Annotated[float, Meta(gt=0)], ...]
    centres: Annotated[tuple[tuple[float, ...], ...], Meta(min_length=1)]
    names: tuple[str, ...]
    sizes: tuple[Annotated[int, Meta(ge=0)], ...]
    best: Annotated[int, Meta(ge=0)]
    ids: tuple[Annotated[int, Meta(ge=0)], ...] = ()
    hold: Annotated[float, Meta(ge=1)] = 1.0

    def __post_init__(self) -> None:
        """Refuse parts that do not fit together, and numbers that JSON cannot carry."""
        width, count = len(self.features), len(self.centres)
        if {len(self.mean), len(self.scale), *map(len, self.centres)} != {width}:
            raise ValueError(f"mean, scale and each centre must have {width} numbers, one a feature")
        if not len(self.names) == len(self.sizes) == count:
            raise ValueError(f"names and sizes must have {count} entries, one a segment")
        if self.ids and len(set(self.ids)) != count:
            raise ValueError(f"ids must be {count} different numbers, one a segment")
        if self.best not in self.numbers:
            raise ValueError(f"best is {self.best}, of {count} segments")
        rows = (self.mean, self.scale, *self.centres)
        if not all(math.isfinite(value) for row in rows for value in row):
            raise ValueError("every number of the segments must be finite")

    @property
    def numbers(self) -> tuple[int, ...]:
        """Ids in the order of the centres."""
        return self.ids or tuple(range(len(self.centres)))

    def named(self) -> dict[int, str]:
        """Names by id."""
        return dict(zip(self.numbers, self.names, strict=True))


_DECODER: Final = msgspec.json.Decoder(Segments)
_ENCODER: Final = msgspec.json.Encoder()


def encode_segments(segments: Segments) -> bytes:
    """JSON, UTF-8, one object. Floats come back to the bit."""
    return _ENCODER.encode(segments)


def decode_segments(body: bytes) -> Segments:
    """Read what `encode_segments` wrote.

    Raises
    ------
    msgspec.DecodeError
        The bytes are no segments; `msgspec.ValidationError` names the field.
    """
    return _DECODER.decode(body)
