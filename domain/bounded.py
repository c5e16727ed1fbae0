"""The in-memory store with a bound on the bytes that it holds.

Rule: what is held never counts for more than the bound. A write that there is no room for is
refused, or room is made by removing keys that nobody used lately; reads and removals are always
served.

A key counts for the Python objects of the key and of its text, for `OVERHEAD`, which is its slot in
the dict, the allocator's rounding and what eviction keeps of it, and for `ALARM` if it has a ttl.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from sys import getsizeof
from typing import Callable, Collection, Deque, Dict, List, Mapping, Optional, Set

from domain.errors import OutOfMemory
from domain.memory import MASK, SHARDS, STEP, Held, InMemoryStore, Whole
from domain.store import Stats

OVERHEAD = 64
ALARM = 200
"""Bytes; what they are measured against is in docs/decisions/0002-what-memory-counts.md."""

WIDE_KEY = 80
"""Bytes of a key that is not ASCII, beside its characters."""

TOUCHED = 10_000
"""How many reads are remembered until they are looked at; older ones are forgotten."""


def cost(key: str, held: Optional[Held]) -> int:
    """The bytes that a key and what is held there count for."""
    if held is None:
        return 0
    if isinstance(held, bytes):
        return _key_size(key) + getsizeof(held) + OVERHEAD
    return _key_size(key) + getsizeof(held[0]) + OVERHEAD + ALARM


def _key_size(key: str) -> int:
    """The bytes of a key, at most. Python keeps the UTF-8 of one that is not ASCII beside it once
    somebody has asked for that, so `getsizeof` would tell more later than now."""
    if key.isascii():
        return getsizeof(key)
    return WIDE_KEY + 2 * len(key.encode("utf-8", "surrogatepass"))


class BoundedStore(InMemoryStore):
    """Refuses with `OutOfMemory` what there is no room for; `max_memory` is in bytes."""

    def __init__(self, clock: Callable[[], float], max_memory: int) -> None:
        super().__init__(clock)
        self._max_memory = max_memory
        self._memory: int
        self._evicted = 0

    def set(self, key: str, text: bytes) -> None:
        self._hold(key, text)

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        self._check_room(items, 0 if ttl is None else ALARM)
        if ttl is not None:
            super().set_many(items, ttl)
            return
        for key, text in items.items():
            self._hold(key, text)

    def stats(self) -> Stats:
        return replace(
            super().stats(),
            evicted=self._evicted,
            memory=self._memory,
            max_memory=self._max_memory,
        )

    def _hold(self, key: str, held: Held) -> None:
        size = cost(key, held)
        growth = size - self._cost_of(key)
        while growth > 0 and self._memory + growth > self._max_memory:
            self._make_room(size)
            growth = size - self._cost_of(key)
        super()._hold(key, held)
        self._memory += growth

    def _remove(self, key: str) -> Optional[Held]:
        held = super()._remove(key)
        self._memory -= cost(key, held)
        return held

    def _nothing(self) -> Whole:
        return {**super()._nothing(), "_memory": 0}

    def _cost_of(self, key: str) -> int:
        return cost(key, self._shards[hash(key) & MASK].get(key))

    def _check_room(self, items: Mapping[str, bytes], extra: int) -> None:
        """Many are stored all or none, so make room for all of them before the first.

        What `items` replace is added up anew only when it seems that there is room: keys that had
        to go may have been among them.
        """
        size = sum(cost(key, text) + extra for key, text in items.items())
        while self._memory + size - (replaced := sum(map(self._cost_of, items))) > self._max_memory:
            while self._memory + size - replaced > self._max_memory:
                self._make_room(size)

    def _make_room(self, size: int) -> None:
        """Remove something, or raise `OutOfMemory` if there is no making room for `size` bytes."""
        if not self.expire(STEP):
            raise OutOfMemory(f"{self._memory} of {self._max_memory} bytes are in use")


class EvictingStore(BoundedStore):
    """Makes room by removing keys that were not read lately, with SIEVE.

    Y. Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024. Each shard has its queue, in which keys
    stand in the order of their arrival, a hand that goes from the oldest to the newest and round
    again, and the set of those that were read since the hand last passed. Under the hand a key that
    was read is let off once; one that was not is removed.
    """

    def __init__(self, clock: Callable[[], float], max_memory: int) -> None:
        super().__init__(clock, max_memory)
        self._touched: Deque[str] = deque(maxlen=TOUCHED)
        self._touch = self._touched.append
        self._sieves: List[_Sieve]
        self._turn = 0

    def get(self, key: str) -> Optional[bytes]:
        held = self._shards[hash(key) & MASK].get(key)
        # Said again here, since one call more would double what eviction costs.
        if type(held) is bytes:
            self._hits += 1
            self._touch(key)
            return held
        text = super().get(key)
        if text is not None:
            self._touch(key)
        return text

    def get_many(self, keys: Collection[str]) -> Dict[str, bytes]:
        found = super().get_many(keys)
        self._touched.extend(found)
        return found

    def _hold(self, key: str, held: Held) -> None:
        index = hash(key) & MASK
        is_new = key not in self._shards[index]
        super()._hold(key, held)
        if is_new:
            self._sieves[index].add(key, self._shards[index])
        else:
            self._touch(key)

    def _nothing(self) -> Whole:
        return {**super()._nothing(), "_sieves": [_Sieve() for _ in range(SHARDS)]}

    def _make_room(self, size: int) -> None:
        if size > self._max_memory:
            raise OutOfMemory(f"{size} bytes are more than the bound of {self._max_memory}")
        for key in self._touched:
            self._sieves[hash(key) & MASK].read.add(key)
        self._touched.clear()
        while True:
            self._turn = (self._turn + 1) & MASK
            key_out = self._sieves[self._turn].next_out(self._shards[self._turn])
            if key_out is not None:
                break
        self._remove(key_out)
        self._evicted += 1


class _Sieve:
    """The queue of one shard: every key of the shard is in it, and some that are gone."""

    def __init__(self) -> None:
        self._queue: List[Optional[str]] = []
        self._hand = 0
        self.read: Set[Optional[str]] = set()

    def add(self, key: str, shard: Collection[str]) -> None:
        """Let a key that came into the shard stand in line."""
        self._queue.append(key)
        if len(self._queue) > 2 * len(shard) + 8:
            self._forget_others(shard)

    def next_out(self, shard: Collection[str]) -> Optional[str]:
        """The key that the hand finds to remove; None when it came to the end, and starts anew."""
        while self._hand < len(self._queue):
            at, self._hand = self._hand, self._hand + 1
            key = self._queue[at]
            if key in self.read:
                self.read.discard(key)
            elif key in shard:
                self._queue[at] = None
                return key
        self._forget_others(shard)
        self._hand = 0
        return None

    def _forget_others(self, shard: Collection[str]) -> None:
        passed = [key for key in self._queue[: self._hand] if key in shard]
        self._queue = list(
            dict.fromkeys([*passed, *(key for key in self._queue[self._hand :] if key in shard)])
        )
        self._hand = len(set(passed))
        self.read.intersection_update(shard)
