"""Checks what a store in memory keeps beside its keys against the keys, added up anew."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Dict, List, Optional, Tuple

from domain.deadlines import STALE_SHARE, Shard
from domain.evicting import EvictingStore, Sieve
from domain.memory import InMemoryStore
from domain.sizes import DEADLINE, STALE, cost, key_size


def contents(store: InMemoryStore) -> Dict[str, Tuple[bytes, Optional[float]]]:
    """All texts with their deadlines, those that have passed included."""
    slots = {key: slot for shard in store._shards for key, slot in shard.items()}
    return {
        key: (slot, None)
        if isinstance(slot, bytes)
        else (slot[0], None if slot[1] == float("inf") else slot[1])
        for key, slot in slots.items()
    }


def memory(store: InMemoryStore) -> int:
    """What all that is held counts for."""
    texts = sum(cost(key, text) for key, (text, _) in contents(store).items())
    return texts + _check_deadlines(store)


def check(store: InMemoryStore) -> None:
    """Raises `AssertionError` for whatever does not fit together."""
    stats = store.stats()
    held = memory(store)
    assert stats.keys == len(contents(store))
    assert stats.memory in (None, held)
    if isinstance(store, EvictingStore):
        everything = Counter({id(key): 1 for shard in store._shards for key in shard})
        assert Counter(map(id, victims(store))) == everything
        own = {id(key) for key in store._shards[store._sieve._index]}
        assert own.issuperset(map(id, store._sieve._ahead))


def victims(store: EvictingStore) -> List[str]:
    """The keys in the order of their eviction, if nothing but eviction happened from now on, and
    one shard's after another's."""
    found = []
    for index, shard in enumerate(map(dict, store._shards)):
        if shard:
            sieve = copy.copy(store._sieve)
            sieve._marks = [bytearray(marks) for marks in sieve._marks]
            sieve._passed = list(sieve._passed)
            sieve._ahead = list(sieve._ahead) if index == sieve._index else []
            sieve._index = index
            for _ in range(3):  # rounds, after which no mark is left
                while keys := _next_victims(sieve, shard):
                    found += keys
                    for key in keys:
                        del shard[key]
    return found


def _next_victims(sieve: Sieve, shard: Shard) -> List[str]:
    keys: List[str] = []
    sieve._advance(shard, (), 1, keys)
    return keys


def _check_deadlines(store: InMemoryStore) -> int:
    """What the deadlines count for."""
    deadlines = store._contents.deadlines
    used = {index for index, shard in enumerate(store._shards) if shard}
    used |= set(deadlines._heaps) | set(deadlines._stale)
    assert deadlines.bytes == sum(_check_shard(store, index) for index in used)
    tops = [heap[0][0] for heap in deadlines._heaps.values()]
    assert deadlines._next <= min(tops, default=float("inf"))
    return deadlines.bytes


def _check_shard(store: InMemoryStore, index: int) -> int:
    deadlines, shard = store._contents.deadlines, store._shards[index]
    heap = deadlines._heaps.get(index, [])
    timed = {key: slot for key, slot in shard.items() if isinstance(slot, tuple)}
    in_heap = Counter(map(id, heap))
    for key, (_, due, entry) in timed.items():
        assert entry[1] is key
        assert entry[0] <= due
        assert in_heap[id(entry)] == 1
    current = {id(slot[2]) for slot in timed.values()}
    assert len(current) == len(timed)
    stale = sum(STALE + key_size(entry[1]) for entry in heap if id(entry) not in current)
    assert stale == deadlines._stale.get(index, 0)
    assert stale <= STALE_SHARE * len(heap)
    assert all(heap[(place - 1) // 2][0] <= heap[place][0] for place in range(1, len(heap)))
    assert heap or index not in deadlines._heaps
    return DEADLINE * len(timed) + stale
