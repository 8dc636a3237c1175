"""Which partition a key belongs to: as Kafka's Java client and kafka-python put it."""

from functools import lru_cache
from struct import unpack_from

_MASK = 0xFFFFFFFF
_M = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """MurmurHash2 (Appleby) with Kafka's seed, as an unsigned 32-bit number.

    >>> murmur2(b"foobar") - 2**32
    -790332482
    """
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for word in unpack_from(f"<{whole >> 2}I", data):
        k = word * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole != length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=65_536)  # a customer's records come again
def partition_of(key: bytes, n: int) -> int:
    """Partition of a key among `n`.

    >>> partition_of(b"12347", 4)
    3
    """
    return (murmur2(key) & 0x7FFFFFFF) % n
