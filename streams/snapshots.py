"""Snapshots of the learner in Redis: in pieces, signed, the one before kept."""

import secrets
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, NamedTuple

from models.league.snapshot import SnapshotRefused, freeze, thaw
from models.learning import Learning
from schemas.commit import TopicPlace
from streams.errors import Misconfigured
from streams.redis.keys import Keys
from streams.redis.saved import PARTITION, Saved, Taken
from streams.settings import Settings

SNAPSHOT: Final = "all"
PIECE: Final = 1_000_000
"""Bytes of a snapshot in one write: a larger one would hold up everybody else's."""
RESCUE: Final = (
    "Nothing is lost: examples are in Kafka. With another key, give back the one that it was signed with "
    "(STREAMSCORE_SNAPSHOT_KEY); else `streamscore models retrain NAME` learns all of them again, and "
    "`streamscore models promote --retrained NAME` lets that serve"
)


def snapshot_key(settings: Settings) -> bytes:
    """Return the key that signs snapshots: the setting's, or one drawn into the data folder (mode 0600)."""
    if settings.snapshot_key is not None:
        return settings.snapshot_key.get_secret_value().encode()
    settings.data.mkdir(parents=True, exist_ok=True)
    file = settings.data / "snapshot.key"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text().encode()


def pieces_of(name: str, body: bytes) -> dict[str, bytes]:
    """Cut a snapshot into pieces by their keys."""
    return {f"{name}:{n}": body[begin : begin + PIECE] for n, begin in enumerate(range(0, len(body), PIECE))}


class Cut(NamedTuple):
    """A snapshot that is to be written: as the hash will name it, and the bodies that are not in Redis yet, by key."""

    saved: Saved
    fresh: dict[str, bytes]


class Snapshots:
    """Reads and cuts the snapshots of one job's learner; the learner's commit names them."""

    def __init__(self, client: Any, settings: Settings) -> None:
        self.client, self.settings = client, settings
        self.keys, self.key = Keys(settings.prefix), snapshot_key(settings)

    async def read(self, saved: Saved) -> Learning:
        """Make the learner that a snapshot is of; a new one where there is none. Raises `SnapshotRefused`."""
        learning = Learning(self.settings.policy)
        parts = {name: thaw(await self._joined(kept), self.key) for name, kept in saved.parts.items()}
        if saved.pieces:
            learning.restore(thaw(await self._joined(saved.pieces), self.key), parts)
        return learning

    async def read_before(self, before: Saved, refused: SnapshotRefused) -> Learning:
        """Make the learner of the snapshot before one that is refused: what has come since is learned again.

        Raises
        ------
        Misconfigured
            There is none, or it is refused too.
        """
        if before.pieces:
            try:
                return await self.read(before)
            except SnapshotRefused as error:
                refused = error
        raise Misconfigured(
            f"the learner's snapshot is refused, and so is the one before it: {refused}. {RESCUE}"
        ) from None

    async def _joined(self, pieces: list[str]) -> bytes:
        bodies = await self.client.mget(pieces) if pieces else []
        if None in bodies:
            raise Misconfigured(f"a piece of the learner's snapshot is gone from Redis: {pieces}")
        return b"".join(bodies)

    def cut(self, learning: Learning, last: Saved, log: TopicPlace, taken: Mapping[str, Taken], by: str) -> Cut:
        """Cut what was learned up to `log`; parts that the `last` snapshot has are not written again.

        Waits for nothing: what is learned afterwards is the next snapshot's. `by` is the write's own name.
        """
        body, parts = freeze(learning.state(), self.key), learning.parts()
        name = f"{self.keys.snapshot(PARTITION, SNAPSHOT)}:{by}"
        pieces = pieces_of(name, body)
        fresh = {
            part: pieces_of(f"{name}:{part}", freeze(own, self.key))
            for part, own in parts.items()
            if part not in last.parts
        }
        kept = {part: some for part, some in last.parts.items() if part in parts}
        kept |= {part: list(some) for part, some in fresh.items()}
        written = dict(pieces)
        for some in fresh.values():
            written |= some
        return Cut(Saved(list(pieces), kept, log, deepcopy(dict(taken))), written)
