"""What the learner's hash in Redis says of its snapshot, and which examples that has learned."""

from collections.abc import Mapping
from typing import Final, Self

import msgspec

from schemas.commit import TopicPlace
from streams.redis.ledger import Lineage

PARTITION: Final = 0
"""`examples` has one partition: one learner for all tasks."""


class Taken(msgspec.Struct):
    """The last entry taken of one shard and task."""

    head: int = 0
    part: int = -1


class Saved(msgspec.Struct):
    """A snapshot as the learner's hash names it: its pieces and parts in Redis, and up to where it had learned."""

    pieces: list[str] = []
    parts: dict[str, list[str]] = {}
    log: TopicPlace = msgspec.field(default_factory=TopicPlace)
    taken: dict[str, Taken] = {}

    @classmethod
    def of(cls, fields: Mapping[str, bytes] | Mapping[str, str]) -> Self:
        """Read the hash."""
        return msgspec.convert({name: msgspec.json.decode(fields[name]) for name in _SAVED if name in fields}, cls)

    def fields(self) -> list[str | bytes]:
        """Names and values by turns."""
        return [part for name in _SAVED for part in (name, msgspec.json.encode(getattr(self, name)))]

    @property
    def keys(self) -> set[str]:
        """All that it is made of."""
        return {*self.pieces, *(one for some in self.parts.values() for one in some)}


_SAVED: Final = Saved.__struct_fields__


def is_new(taken: Taken, head: int, part: int, lineage: Lineage) -> bool:
    """Whether an entry of the outbox is to be learned: not yet taken, and not rolled back."""
    if (head, part) <= (taken.head, taken.part) or head > lineage.head:
        return False
    return not any(low < head < high for low, high in lineage.gaps)
