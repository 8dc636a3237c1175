"""States take half the bytes once a shard has learned what its customers have in common.

A body is MessagePack, or its dictionary's number and a Zstandard frame made with that dictionary. MessagePack of
a state begins with a byte that no number reaches, so both may stand beside each other. Customers change, and of a
shard that has just begun all are new: it learns again, ever more rarely, and keeps a dictionary that is clearly
better. What was written with another is read with that one until it is written again.

A dictionary outlives the customers it was learned from, so it must tell nothing of any one of them: of each sample
only those bytes are learned from that lie in a piece which several customers share.
"""

import asyncio
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

PIECE: Final = 5
"""Bytes of the shortest piece that is looked at: a name of four letters."""
SHARED_BY: Final = 20
"""Customers who must have a piece in common."""
SAMPLES: Final = 500
"""Customers to learn from, at least."""
MOST: Final = 2_000
"""Customers to learn from, at most: 4 times as many take 6 % fewer bytes."""
LEARN_AFTER: Final = 5_000
"""States written before a dictionary is learned, so that it is of customers who have done something."""
AGAIN: Final = 4
"""So many times more are written before the next."""
BETTER: Final = 0.97
"""The part of the bytes that a new dictionary may take, to be kept."""
KEPT: Final = 12
"""Dictionaries of a shard; the last serves for good."""
SIZE: Final = 16_384
_LEARNS: Final = ThreadPoolExecutor(1, "packing")
_FIELD: Final = "words"
_BETWEEN: Final = b"\xc1"
_FORMAT: Final = zstandard.FORMAT_ZSTD1_MAGICLESS
_SEARCH: Final = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_GREEDY,
    window_log=15,
    hash_log=14,
    chain_log=14,
    search_log=4,
    min_match=4,
    target_length=8,
    format=_FORMAT,
    write_dict_id=False,
)
"""Looks at 16 places for each match: 9 microseconds a state. Level 3 takes 5 % more bytes and 5.5 microseconds."""


class Packing:
    """How one shard's states are written and read.

    Parameters
    ----------
    fields
        What the shard's hash holds, its dictionaries among it. Without any the first is learned from what is written.
    """

    def __init__(self, fields: Mapping[bytes, bytes] | None = None) -> None:
        self.unsaved: list[str | bytes] = []
        """Name and body of a dictionary just learned: it must be written with the states that need it."""
        self._words: list[bytes] = []
        self._readers: dict[int, zstandard.ZstdDecompressor] = {}
        self._writer: zstandard.ZstdCompressor | None = None
        self._samples: dict[str, bytes] = {}
        self._written = 0
        while (words := (fields or {}).get(_field(len(self._words) + 1).encode())) is not None:
            self._words.append(words)
        self._after = LEARN_AFTER * AGAIN ** len(self._words)
        if self._words:
            self._writer = _writer(self._words[-1])

    def pack(self, states: Iterable[tuple[str, bytes]]) -> list[str | bytes]:
        """Return names and bodies by turns, as they are stored."""
        number, writer = bytes([len(self._words)]), self._writer
        flat: list[str | bytes] = []
        seen = self._written
        for customer, body in states:
            seen += 1
            if seen > self._after - 2 * MOST:
                self._see(customer, body)
            flat += (customer, body if writer is None else number + writer.compress(body))
        self._written = seen
        return flat

    def unpack(self, body: bytes) -> bytes:
        """Return what was packed. Raises `ValueError` without the dictionary."""
        number = body[0]
        if number > KEPT or not number:
            return body
        if number > len(self._words):
            raise ValueError(f"a state is packed with dictionary {number}, which its shard does not have")
        reader = self._readers.get(number)
        if reader is None:
            dictionary = zstandard.ZstdCompressionDict(self._words[number - 1])
            reader = self._readers[number] = zstandard.ZstdDecompressor(dict_data=dictionary, format=_FORMAT)
        return reader.decompress(body[1:])

    @property
    def is_due(self) -> bool:
        """Whether enough was written since the last dictionary, by customers enough."""
        return self._written >= self._after and len(self._samples) >= SAMPLES

    async def learn(self) -> None:
        """Learn a dictionary, and take it if it is better.

        A thread does it: nobody but the shard waits. One thread for all shards: learning takes 100 times the memory of
        what is learned from, and what many threads have taken at the same time is not given back.
        """
        samples = list(self._samples.values())
        self._samples.clear()
        self._written, self._after = 0, AGAIN * self._after
        if len(self._words) < KEPT:
            words, writer = await asyncio.get_running_loop().run_in_executor(_LEARNS, self._better, samples)
            if writer is not None:
                self._words.append(words)
                self._writer = writer
                self.unsaved = [_field(len(self._words)), words]

    def _better(self, samples: list[bytes]) -> tuple[bytes, zstandard.ZstdCompressor | None]:
        words = learn(samples)
        writer = _writer(words) if words else None
        if writer is None or self._writer is None:
            return words, writer
        better = _bytes(writer, samples) < BETTER * _bytes(self._writer, samples)
        return words, writer if better else None

    def _see(self, customer: str, body: bytes) -> None:
        if customer in self._samples or len(self._samples) < MOST:
            self._samples[customer] = body


def _field(number: int) -> str:
    """Where the shard's hash has a dictionary; the first was once the only one."""
    return _FIELD if number == 1 else f"{_FIELD}:{number}"


def _writer(words: bytes) -> zstandard.ZstdCompressor:
    dictionary = zstandard.ZstdCompressionDict(words)
    dictionary.precompute_compress(compression_params=_SEARCH)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=_SEARCH)


def _bytes(writer: zstandard.ZstdCompressor, samples: list[bytes]) -> int:
    return sum(len(writer.compress(body)) for body in samples)


def learn(samples: list[bytes]) -> bytes:
    """Return a dictionary of the pieces that at least `SHARED_BY` samples have, each of another customer.

    It is empty where they have too little in common for one.
    """
    try:
        return zstandard.train_dictionary(SIZE, list(shared(samples))).as_bytes()
    except zstandard.ZstdError:
        return b""


def shared(samples: list[bytes]) -> list[bytes]:
    """Return each sample's stretches all of whose pieces are shared, a byte that MessagePack lacks between them."""
    sizes = np.array([len(body) for body in samples])
    letters = np.frombuffer(b"".join(samples), dtype=np.uint8)
    owners = np.repeat(np.arange(len(samples)), sizes)
    pieces = _pieces(letters)
    inside = owners[: len(pieces)] == owners[len(owners) - len(pieces) :]  # of one sample, from begin to end
    many = len(samples)
    each = np.sort(pieces[inside] * many + owners[: len(pieces)][inside])
    each = each[np.diff(each, prepend=-1) != 0] // many  # once a sample; sorting is much faster than np.unique
    begins = np.flatnonzero(np.diff(each, prepend=-1))
    common = each[begins][np.diff(begins, append=len(each)) >= SHARED_BY]
    if not len(common):
        return [b""] * many
    places = np.minimum(np.searchsorted(common, pieces), len(common) - 1)
    kept = inside & (common[places] == pieces)
    edges = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0))
    text = letters.tobytes()
    stretches: list[list[bytes]] = [[] for _ in samples]
    for begin, end, owner in zip(edges[::2].tolist(), edges[1::2].tolist(), owners[edges[::2]].tolist(), strict=True):
        stretches[owner].append(text[begin : end + PIECE - 1])
    return [_BETWEEN.join(some) for some in stretches]


def _pieces(letters: NDArray[np.uint8]) -> NDArray[Any]:
    """Return each place's piece as a number; none where there are fewer letters."""
    count = max(len(letters) - PIECE + 1, 0)
    pieces = np.zeros(count, dtype=np.int64)
    for place in range(PIECE):
        pieces = pieces * 256 + letters[place : place + count]
    return pieces
