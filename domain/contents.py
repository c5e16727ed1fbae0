"""All that an in-memory store holds, as one object: `clear` puts an empty one in its place.

The keys are spread over many dicts by their hash. One big dict stops all clients while it grows (at
five million keys for most of a second); a small one grows in a few milliseconds.
"""

from __future__ import annotations

from typing import List

from domain.deadlines import Deadlines, Shard

SHARDS = 1024
"""How many dicts; a power of two, so that a mask picks one."""

MASK = SHARDS - 1


class Contents:
    """Keys, their texts and their deadlines."""

    __slots__ = ("deadlines", "memory", "shards")

    def __init__(self) -> None:
        self.shards: List[Shard] = [{} for _ in range(SHARDS)]
        self.deadlines = Deadlines(self.shards)
        self.memory = 0
        """Bytes of keys and texts, where a store counts them."""
