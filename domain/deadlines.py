"""When keys expire: a heap of deadlines for each shard that has any.

Rule: each key with a ttl has one entry of its shard's heap in its slot, which comes up no later
than the key is due. Storing such a key again keeps the entry, unless the key is due sooner than
that: when the entry comes up, the key's own time decides, and a later one makes a new entry. So a
key that is stored repeatedly leaves no stale entries.

An entry that is in no slot is stale. Its bytes are counted, it is skipped when it comes up, and a
heap is rebuilt when its stale entries take more than `STALE_SHARE` bytes for each entry.

An entry holds the key object that the shard holds, never an equal one.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from math import inf
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from domain.sizes import DEADLINE, STALE, key_size

Deadline = Tuple[float, str]
"""An entry of a heap: a time by the store's clock, and the key."""

Timed = Tuple[bytes, float, Deadline]
"""A text, the time when it is due (`inf` if the ttl was taken from the key), the heap's entry."""

Slot = Union[bytes, Timed]
Shard = Dict[str, Slot]

STALE_SHARE = 128
"""How many bytes of stale entries a heap may hold for each of its entries. One takes more than
that, so a rebuilt heap has less than two entries for each that became stale."""


class Deadlines:
    """The heaps of all shards; true while there is any entry."""

    def __init__(self, shards: List[Shard]) -> None:
        self._shards = shards
        self._heaps: Dict[int, List[Deadline]] = {}
        self._stale: Dict[int, int] = {}
        self._next = inf
        self.bytes = 0
        """What the deadlines of keys count for, and the stale entries."""
        self.visited = 0
        """How many entries were ever looked at, in order to expire keys or to rebuild heaps."""

    def __bool__(self) -> bool:
        return bool(self._heaps)

    def put(
        self, index: int, key: str, text: bytes, due: Optional[float], before: Optional[Slot]
    ) -> None:
        """Stores a text that is due at a time, or one in place of a text that was."""
        shard = self._shards[index]
        if isinstance(before, tuple):
            entry = before[2]
            due = inf if due is None else due
            if due < entry[0]:
                shard[key] = (text, due, self._push(index, due, entry[1]))
                self._discard(index, entry)
                self._limit_stale(index)
            else:
                shard[key] = (text, due, entry)
            return
        if before is not None:
            del shard[key]  # so that the shard takes the key object that the entry has
        assert due is not None
        shard[key] = (text, due, self._push(index, due, key))
        self.bytes += DEADLINE

    def put_many(
        self, items: Mapping[str, bytes], due: Optional[float], slots: Iterable[Optional[Slot]]
    ) -> None:
        """The same for many texts, in place of what was in the slots of their keys."""
        mask, shards, heaps = len(self._shards) - 1, self._shards, self._heaps
        new = 0
        for (key, text), slot in zip(items.items(), slots):
            index = hash(key) & mask
            shard = shards[index]
            if type(slot) is tuple:
                if due is not None and due >= slot[2][0]:
                    shard[key] = (text, due, slot[2])
                else:
                    self.put(index, key, text, due, slot)
            elif due is None:
                shard[key] = text
            else:
                if slot is not None:
                    del shard[key]  # as above
                entry = (due, key)
                shard[key] = (text, due, entry)
                heap = heaps.get(index)
                if heap is None:
                    heaps[index] = [entry]
                else:
                    heappush(heap, entry)
                new += 1
        if due is not None and new:
            self.bytes += new * DEADLINE
            self._next = min(self._next, due)

    def drop(self, index: int, key: str, slot: Timed) -> None:
        """Leaves the text alone in the slot of a key whose ttl was taken from it."""
        self._shards[index][key] = slot[0]
        self.removed(index, slot)

    def removed(self, index: int, slot: Timed) -> None:
        """A shard does not hold `slot` any more."""
        self.bytes -= DEADLINE
        self._discard(index, slot[2])
        self._limit_stale(index)

    def removed_many(self, slots: Iterable[Slot]) -> None:
        """Shards do not hold any of `slots` any more."""
        mask, indexes = len(self._shards) - 1, set()
        for slot in slots:
            if type(slot) is tuple:
                index = hash(slot[2][1]) & mask
                self.bytes -= DEADLINE
                self._discard(index, slot[2])
                indexes.add(index)
        for index in indexes:  # a heap that is rebuilt has entries of none of them
            self._limit_stale(index)

    def expire_due(self, now: float, limit: int, expired: Callable[[str], object]) -> int:
        """Deals with up to `limit` entries that have come up, and calls `expired` with the keys
        that are due, to remove them; returns how many entries there were."""
        if now < self._next:
            return 0
        done = 0
        for index, heap in list(self._heaps.items()):
            if heap[0][0] <= now:
                done += self._expire_shard(index, now, limit - done, expired)
                if done == limit:
                    return done
        self._next = min((heap[0][0] for heap in self._heaps.values()), default=inf)
        return done

    def release(self, size: int) -> int:
        """Rebuilds heaps until `size` bytes of stale entries are freed, or all; returns how many
        were."""
        before = self.bytes
        while self._stale and before - self.bytes < size:
            self._rebuild(next(iter(self._stale)))
        return before - self.bytes

    def heaps(self) -> List[List[Deadline]]:
        """The heaps, for freeing them."""
        return list(self._heaps.values())

    def _push(self, index: int, due: float, key: str) -> Deadline:
        entry = (due, key)
        heappush(self._heaps.setdefault(index, []), entry)
        if due < self._next:
            self._next = due
        return entry

    def _expire_shard(
        self, index: int, now: float, limit: int, expired: Callable[[str], object]
    ) -> int:
        heap, done = self._heaps[index], 0
        while heap and heap[0][0] <= now and done < limit:
            done += 1
            self._come_up(index, heappop(heap), now, expired)
        if heap:
            self._limit_stale(index)
        else:
            del self._heaps[index]
        return done

    def _come_up(
        self, index: int, entry: Deadline, now: float, expired: Callable[[str], object]
    ) -> None:
        self.visited += 1
        key, shard = entry[1], self._shards[index]
        slot = shard.get(key)
        if not (isinstance(slot, tuple) and slot[2] is entry):
            self._forget(index, STALE + key_size(key))
            return
        text, due, _ = slot
        if now < due < inf:
            shard[key] = (text, due, self._push(index, due, key))
            return
        self.bytes -= DEADLINE
        if due == inf:
            shard[key] = text
        else:
            expired(key)

    def _discard(self, index: int, entry: Deadline) -> None:
        """An entry has become stale."""
        size = STALE + key_size(entry[1])
        self.bytes += size
        self._stale[index] = self._stale.get(index, 0) + size

    def _limit_stale(self, index: int) -> None:
        if self._stale.get(index, 0) > STALE_SHARE * len(self._heaps[index]):
            self._rebuild(index)

    def _forget(self, index: int, size: int) -> None:
        """Subtracts the bytes of removed stale entries."""
        self.bytes -= size
        left = self._stale.pop(index) - size
        if left:
            self._stale[index] = left

    def _rebuild(self, index: int) -> None:
        heap, shard = self._heaps[index], self._shards[index]
        self.visited += len(heap)
        heap[:] = [
            entry
            for entry in heap
            if isinstance(slot := shard.get(entry[1]), tuple) and slot[2] is entry
        ]
        if heap:
            heapify(heap)
        else:
            del self._heaps[index]
        self._forget(index, self._stale[index])
