"""The heart: (shard, chunk, serving models, now) -> commit. Pure: no I/O, no clock, no chance."""

from models.shard.chunk import Chunk, Shop
from models.shard.handle import handle

__all__ = ["Chunk", "Shop", "handle"]
