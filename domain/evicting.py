"""The bounded store that makes room by removing keys that were not read lately, with SIEVE.

Y. Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024: keys stand in a queue in the order of their
arrival, and a hand goes from the oldest to the newest and round again. A key that was read since
the hand last passed is kept once more; another one is removed.

Rule: each shard's dict is its queue, since a dict keeps its keys in the order of their arrival. So
every key stands in its queue exactly once, a removed key in none, and no key is kept for it. What
was read is remembered by hash.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import compress, islice
from typing import (
    Callable,
    Collection,
    Container,
    Deque,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
)

from domain.bounded import BoundedStore, texts_in
from domain.contents import MASK, SHARDS, Contents
from domain.deadlines import Shard, Slot
from domain.effects import Reason
from domain.sizes import DEADLINE, cost, costs

MAX_TOUCHED = 10_000
"""How many reads are remembered until they are looked at; older ones are forgotten."""

MARKS = 8
"""Bytes of marks for each key, at least: an unread key is taken for a read one in one of so many
cases, at the most, and is then kept for one more round."""

SHARDS_AT_ONCE = 200
"""From how many keys are removed together: fewer than there are, since a hand comes back to a shard
only when what it found there is removed."""

FIT_BYTES = 64 * 1024
"""What is removed at once of that which was restored beyond the bound, some milliseconds' worth."""

BATCH = 16
"""One of so many keys of a shard is looked at before the next shard's turn."""


class EvictingStore(BoundedStore):
    """Removes keys to make room; refuses with `OutOfMemory` what exceeds the bound by itself."""

    def __init__(self, clock: Callable[[], float], max_memory: int) -> None:
        super().__init__(clock, max_memory)
        self._touched: Deque[int] = deque(maxlen=MAX_TOUCHED)
        self._touch: Callable[[int], None] = self._touched.append

    def get(self, key: str) -> Optional[bytes]:
        hashed = hash(key)
        slot = self._shards[hashed & MASK].get(key)
        # Said again here, since one call more would double what eviction costs.
        if type(slot) is bytes:
            self._hits += 1
            self._touch(hashed)
            return slot
        text = super().get(key)
        if text is not None:
            self._touch(hashed)
        return text

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        texts = super().get_many(keys)
        self._touched.extend(compress(map(hash, keys), texts))
        return texts

    def _put(self, key: str, text: bytes, due: Optional[float]) -> Optional[Slot]:
        before = super()._put(key, text, due)
        if before is not None:
            self._touch(hash(key))
            if due is not None:
                self._sieve.forget(hash(key) & MASK)
        return before

    def _put_many(
        self,
        items: Mapping[str, bytes],
        due: Optional[float],
        slots: Sequence[Optional[Slot]],
    ) -> None:
        super()._put_many(items, due, slots)
        self._touched.extend(hash(key) for key, slot in zip(items, slots) if slot is not None)
        if due is not None:
            self._sieve.forget_all()

    def _remove_many(
        self, keys: Collection[str], reason: Reason, now: float = -math.inf
    ) -> Dict[str, Slot]:
        if reason is not Reason.EVICTED:
            self._sieve.forget_all()
        return super()._remove_many(keys, reason, now)

    def _pop(self, key: str, reason: Reason) -> Optional[Slot]:
        if reason is not Reason.EVICTED:
            self._sieve.forget(hash(key) & MASK)
        return super()._pop(key, reason)

    def _install(self, contents: Contents) -> None:
        super()._install(contents)
        self._sieve = Sieve()

    def _make_more_room(
        self, items: Mapping[str, bytes], due: Optional[float], growth: int
    ) -> None:
        most = costs(items, items.values()) + DEADLINE * len(items)
        if most > self._max_memory and (alone := growth + self._cost_at(items)) > self._max_memory:
            self._refuse(f"{alone} bytes do not fit")
        if self._touched:
            self._sieve.mark(self._touched, self._shards)
            self._touched.clear()
        while (excess := self._excess(growth)) > 0:
            self._evict(excess, items)

    def fit(self) -> bool:
        excess = self._excess(0)
        if excess <= 0:
            return False
        self._evict(min(excess, FIT_BYTES), ())
        self._tell()
        return self._excess(0) > 0

    def _evict(self, size: int, spared: Collection[str]) -> None:
        """Removes some keys, but none of those that are spared, and none after those that free
        `size` bytes."""
        victims = self._sieve.next_victims(self._shards, spared, size)
        if victims:
            if len(victims) == 1:
                self._remove(victims[0], Reason.EVICTED)
            else:
                self._remove_many(victims, Reason.EVICTED)
            self._evicted += len(victims)
        elif not self._contents.deadlines.release(size):
            raise RuntimeError("no key is left to evict, and memory is still in use")

    def _cost_at(self, keys: Collection[str]) -> int:
        """What those of `keys` that are there count for."""
        slots = {key: slot for key, slot in zip(keys, self._slots(keys)) if slot is not None}
        timed = DEADLINE * sum(isinstance(slot, tuple) for slot in slots.values())
        return timed + costs(slots, texts_in(slots.values()))


class Sieve:
    """The hands and the marks of all shards."""

    def __init__(self) -> None:
        self._marks = [bytearray(MARKS) for _ in range(SHARDS)]
        self._passed = [0] * SHARDS
        """How many keys of a shard's dict its hand has passed."""
        self._index = 0
        self._ahead: List[str] = []
        """Keys of that shard which the hand comes to, the next one last."""
        self.visited = 0
        """How many keys the hands ever came to."""

    def mark(self, hashes: Iterable[int], shards: List[Shard]) -> None:
        """Keys with these hashes were read."""
        for hashed in hashes:
            marks = self._marks[hashed & MASK]
            while len(marks) < MARKS * len(shards[hashed & MASK]):
                marks.extend(bytes(marks))  # a mark is then in both places where it may be
            marks[(hashed >> 10) & (len(marks) - 1)] = 1

    def forget(self, index: int) -> None:
        """A shard replaces a key object: drop references to the old one."""
        if index == self._index:
            self._ahead.clear()

    def forget_all(self) -> None:
        """Shards replace key objects: drop references to the old ones."""
        self._ahead.clear()

    def next_victims(self, shards: List[Shard], spared: Container[str], size: int) -> List[str]:
        """Some keys to remove, none of those that are spared, and none after those that free `size`
        bytes; none when there is no other key.

        A hand that comes to the end of its shard starts anew, so after three rounds it has passed
        every key twice, and no mark is left.
        """
        victims: List[str] = []
        for visit in range(3 * SHARDS):
            if not self._ahead:
                self._index = (self._index + 1) & MASK
            size = self._advance(shards[self._index], spared, size, victims)
            if victims and (size <= 0 or visit >= SHARDS_AT_ONCE):
                break
        return victims

    def _advance(self, shard: Shard, spared: Container[str], size: int, victims: List[str]) -> int:
        """Adds the next keys of a shard to remove, if there are any, to `victims`, up to those that
        free `size` bytes; returns how many bytes are left to free."""
        marks = self._marks[self._index]
        passed = self._passed[self._index]
        mask, found = len(marks) - 1, False
        while self._ahead or (not found and self._look_ahead(shard, passed)):
            self.visited += 1
            key = self._ahead.pop()
            place = (hash(key) >> 10) & mask
            if marks[place] or key in spared:
                marks[place] = 0
                passed += 1
                continue
            found = True
            victims.append(key)  # the next one will be where it was
            slot = shard[key]
            size -= cost(key, slot if isinstance(slot, bytes) else slot[0])
            if size <= 0:
                break
        self._passed[self._index] = passed if self._ahead or found else 0
        return size

    def _look_ahead(self, shard: Shard, passed: int) -> bool:
        """Looks up the next keys of a shard; returns whether there are any."""
        self._ahead = list(islice(shard, passed, passed + len(shard) // BATCH + 1))
        self._ahead.reverse()
        return bool(self._ahead)
