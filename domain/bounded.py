"""The in-memory store with a bound on the bytes that it holds.

Invariant: accounted memory is at most `max_memory`, but where keys get a ttl while the store is
full: that is how a full store gets room, so their deadlines may exceed the bound by a little
(`OVERDRAFT`). A text that is no longer than the one it replaces needs no room either.

One plan is made for all items of a request before any of them is stored: it adds up what they need
and, where that is too much, expires keys and removes what the policy says, never one of the items.
After that, storing cannot fail, so that many are stored all or none, in whatever order they are.

What counts, and what it was measured against, is in docs/decisions/0002-what-memory-counts.md.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import (
    Callable,
    Collection,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    TypeVar,
)

from domain.contents import MASK
from domain.deadlines import Slot
from domain.effects import Reason
from domain.errors import OutOfMemory
from domain.memory import STEP_DEADLINES, InMemoryStore
from domain.sizes import DEADLINE, cost, costs
from domain.store import Stats, Store

R = TypeVar("R")

MAX_EXPIRY_STEPS = 50
"""Steps in which keys are expired for one request: enough for the longest, unless more was restored
than fits."""

OVERDRAFT = 8
"""By one of so many parts of the bound, deadlines of keys that are there may exceed it."""


class BoundedStore(InMemoryStore):
    """Refuses with `OutOfMemory` what there is no room for; `max_memory` is in bytes."""

    _counting = True
    _touch: Optional[Callable[[int], None]] = None
    """Notes that the key with a hash was used, where that decides what is evicted."""

    def __init__(self, clock: Callable[[], float], max_memory: int) -> None:
        super().__init__(clock)
        self._max_memory = max_memory
        self._overdraft = max_memory // OVERDRAFT

    def stats(self) -> Stats:
        return replace(
            super().stats(),
            evicted=self._evicted,
            memory=self._memory(),
            max_memory=self._max_memory,
        )

    def _memory(self) -> int:
        """Accounted memory, in bytes."""
        return self._contents.memory + self._contents.deadlines.bytes

    def _write(self, key: str, text: bytes, due: Optional[float]) -> None:
        contents = self._contents
        if due is None and not self._noting:
            # The usual case, said again here: `_put` would look up and add up the same once more.
            hashed = hash(key)
            shard = self._shards[hashed & MASK]
            slot = shard.get(key)
            if type(slot) is not tuple:
                growth = len(text) - len(slot) if slot is not None else cost(key, text)
                if contents.memory + contents.deadlines.bytes + growth <= self._max_memory:
                    shard[key] = text
                    contents.memory += growth
                    if slot is not None and self._touch:
                        self._touch(hashed)
                    return
        growth = self._growth(key, text, due)
        if contents.memory + contents.deadlines.bytes + growth > self._max_memory:
            self._make_room({key: text}, due, growth)
        self._put(key, text, due)
        if self._effects:
            self._tell()
        if contents.deadlines.bytes:
            self._release_excess()

    def _write_many(self, items: Mapping[str, bytes], due: Optional[float]) -> None:
        slots = self._slots(items)
        growth = _growth_of(items, slots, due)
        if self._excess(growth) > 0:
            self._make_room(items, due, growth)
            slots = self._slots(items)
        self._put_many(items, due, slots)
        self._tell()
        self._release_excess()

    def atomically(self, work: Callable[[Store], R]) -> R:
        try:
            return super().atomically(work)
        finally:
            self._release_excess()

    # Accounting.

    def _put(self, key: str, text: bytes, due: Optional[float]) -> Optional[Slot]:
        before = super()._put(key, text, due)
        if before is None:
            self._contents.memory += cost(key, text)
        elif isinstance(before, bytes):
            self._contents.memory += len(text) - len(before)
        else:
            self._contents.memory += len(text) - len(before[0])
        return before

    def _put_many(
        self,
        items: Mapping[str, bytes],
        due: Optional[float],
        slots: Sequence[Optional[Slot]],
    ) -> None:
        self._contents.memory += _growth_of(items, slots, None)
        super()._put_many(items, due, slots)

    def _remove_many(
        self, keys: Collection[str], reason: Reason, now: float = -math.inf
    ) -> Dict[str, Slot]:
        slots = super()._remove_many(keys, reason, now)
        self._contents.memory -= costs(slots, texts_in(slots.values()))
        return slots

    def _pop(self, key: str, reason: Reason) -> Optional[Slot]:
        slot = super()._pop(key, reason)
        if slot is not None:
            text = slot if isinstance(slot, bytes) else slot[0]
            self._contents.memory -= cost(key, text)
        return slot

    # The plan.

    def _excess(self, growth: int) -> int:
        """By how many bytes the bound would be exceeded after such a growth."""
        return self._memory() + growth - self._max_memory

    def _growth(self, key: str, text: bytes, due: Optional[float]) -> int:
        """By how many bytes the store grows when a text is stored."""
        slot = self._shards[hash(key) & MASK].get(key)
        if isinstance(slot, tuple):
            return len(text) - len(slot[0])
        deadline = 0 if due is None else DEADLINE
        return deadline + (cost(key, text) if slot is None else len(text) - len(slot))

    def _make_room(self, items: Mapping[str, bytes], due: Optional[float], growth: int) -> None:
        """Makes room for `items`, which seem not to fit; raises `OutOfMemory` when they do not."""
        if self._contents.deadlines:
            growth = self._expire_for(items, due)
            if self._excess(growth) <= 0:
                return
        self._make_more_room(items, due, growth)

    def _expire_for(self, items: Mapping[str, bytes], due: Optional[float]) -> int:
        """Expires keys until `items` fit, or none is due; returns by how much they then grow."""
        now = self._clock()
        slots = self._slots(items)
        timed = [(key, slot) for key, slot in zip(items, slots) if isinstance(slot, tuple)]
        for key, slot in timed:  # so that expiry does not change by how much they grow
            if slot[1] <= now:
                self._expire_slot(key)
            elif slot[1] == math.inf:
                self._contents.deadlines.drop(hash(key) & MASK, key, slot)
        growth = _growth_of(items, self._slots(items) if timed else slots, due)
        for _ in range(MAX_EXPIRY_STEPS):
            if self._excess(growth) <= 0 or not self._expire(now, STEP_DEADLINES):
                break
        return growth

    def _make_more_room(
        self, items: Mapping[str, bytes], due: Optional[float], growth: int
    ) -> None:
        """Makes room when expiring due keys was not enough."""
        self._contents.deadlines.release(self._excess(growth))
        needed = growth
        if due is not None:
            needed -= DEADLINE * sum(isinstance(slot, bytes) for slot in self._slots(items))
        if growth <= 0:
            return
        if (needed > 0 and self._excess(needed) > 0) or self._excess(growth) > self._overdraft:
            self._refuse(f"{growth} bytes do not fit: {self._memory()} are in use")

    def _release_excess(self) -> None:
        """Frees stale deadlines when they exceed the bound."""
        excess = self._excess(0)
        if excess > 0:
            self._contents.deadlines.release(excess)

    def _refuse(self, why: str) -> None:
        self._tell()
        raise OutOfMemory(f"{why} (max_memory is {self._max_memory} bytes)")


def _growth_of(
    items: Mapping[str, bytes], slots: Sequence[Optional[Slot]], due: Optional[float]
) -> int:
    """By how many bytes a store grows when `items` are stored in place of `slots`."""
    there = texts_in(slots)
    new: Collection[str] = items
    if there:
        new = [key for key, slot in zip(items, slots) if slot is None]
    growth = costs(new, items.values()) - sum(map(len, there))
    if due is not None:
        growth += DEADLINE * (len(slots) - list(map(type, slots)).count(tuple))
    return growth


def texts_in(slots: Iterable[Optional[Slot]]) -> List[bytes]:
    """The texts in those slots that there are."""
    slots = list(slots)
    kinds = set(map(type, slots))
    if kinds == {type(None)}:
        return []
    if kinds == {bytes}:
        return slots  # type: ignore[return-value]
    return [slot[0] if isinstance(slot, tuple) else slot for slot in slots if slot is not None]
