"""The store that keeps everything in this process's memory.

Rule: no method calls out or switches greenlets, so each is atomic without a lock; and none holds
the others up for long, however many keys there are.

The keys are spread over many dicts by their hash. One big dict stops everyone while it grows (at
five million keys for most of a second); a small one grows in a few milliseconds. For the same
reason what was cleared is let go a little at a time, in `tidy`.

A key without a ttl has its text in its dict, and pays nothing for the ttls of others. One with a
ttl has a pair of text and alarm there, and the alarm also waits in a heap beside the dict. An alarm
that is not the one in the dict means nothing. It is skipped when its time comes, and a heap in
which such alarms outnumber the keys is made anew, so that setting a key over and over leaves
nothing behind.
"""

from __future__ import annotations

import sys
from functools import partial
from heapq import heapify, heappop, heappush
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    TypeVar,
    Union,
)

from domain.errors import BadRequest
from domain.store import Change, Entry, Page, Stats, Store
from domain.view import View

R = TypeVar("R")

Alarm = Tuple[float, str]
"""When a key's time is up, by the store's clock, and the key."""

Held = Union[bytes, Tuple[bytes, Alarm]]
Shard = Dict[str, Held]
Alarms = Dict[int, List[Alarm]]
"""The heaps of the shards that have any."""

Whole = Dict[str, Any]
"""All that a store holds, and what it knows of that: by the names of its attributes."""

SHARDS = 1024
"""How many dicts; a power of two, so that a mask picks one."""

STEP = 1000
"""How many alarms one call of `tidy` deals with, a millisecond's worth."""

STEP_SECONDS = 0.001
"""How long one call of `tidy` frees what was cleared."""

SCANNED = 4_000
"""How many keys a page of a scan looks at before it ends early, some milliseconds' worth."""

MASK = SHARDS - 1


class InMemoryStore:
    """A `Store` in dicts; what it holds is gone with the process.

    `clock` gives seconds that never go back, such as `time.monotonic`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shards: List[Shard]
        self._alarms: Alarms
        self._take(self._nothing())
        self._dropped: List[Union[Shard, List[Alarm]]] = []
        self._hits = self._misses = self._expired = 0

    def get(self, key: str) -> Optional[bytes]:
        held = self._shards[hash(key) & MASK].get(key)
        if type(held) is bytes:
            self._hits += 1
            return held
        entry = self._entry(key, held, self._clock()) if held else None
        if entry:
            self._hits += 1
            return entry.text
        self._misses += 1
        return None

    def get_many(self, keys: Collection[str]) -> Dict[str, bytes]:
        shards = self._shards
        found = {
            key: held for key in keys if (held := shards[hash(key) & MASK].get(key)) is not None
        }
        texts = self._texts(found) if self._alarms else found
        self._hits += len(texts)
        self._misses += len(keys) - len(texts)
        return texts  # type: ignore[return-value]  # without alarms, all that is held is texts

    def set(self, key: str, text: bytes) -> None:
        self._shards[hash(key) & MASK][key] = text

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        if ttl is not None:
            due = self._clock() + ttl
            for key, text in items.items():
                self._set_until(key, text, due)
            return
        shards = self._shards
        for key, text in items.items():
            shards[hash(key) & MASK][key] = text

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        now = self._clock()
        held = self._shards[hash(key) & MASK].get(key)
        before = self._entry(key, held, now) if held else None
        after = change(before)
        if after is before:
            pass
        elif after is None:
            self._remove(key)
        elif after.ttl is None:
            self.set(key, after.text)
        else:
            self._set_until(key, after.text, now + after.ttl)
        return before, after

    def delete(self, keys: Collection[str]) -> int:
        count = 0
        for key in keys:
            held = self._remove(key)
            count += held is not None and not self._is_due(held)
        return count

    def clear(self) -> int:
        count = self.count()
        self._drop(self._swap(self._nothing()))
        return count

    def count(self) -> int:
        if self._alarms:
            self.expire(sys.maxsize)
        return sum(map(len, self._shards))

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        start, last = _position(cursor)
        now = self._clock()
        keys: List[str] = []
        scanned = 0
        for index in range(start, SHARDS):
            shard = self._shards[index]
            scanned += len(shard) + 1
            for key in sorted(self._live_keys(shard, prefix, last, now)):
                if len(keys) == limit:
                    return Page(keys, _cursor(index, last))
                keys.append(key)
                last = key
            last = None
            if scanned > SCANNED and index + 1 < SHARDS:
                return Page(keys, _cursor(index + 1, None))
        return Page(keys, None)

    def atomically(self, work: Callable[[Store], R]) -> R:
        view = _Rollback(self)
        try:
            result = work(view)
        except BaseException:
            view.undo()
            raise
        view.keep()
        return result

    def stats(self) -> Stats:
        return Stats(
            keys=sum(map(len, self._shards)),
            hits=self._hits,
            misses=self._misses,
            expired=self._expired,
        )

    def expire(self, limit: int) -> int:
        now = self._clock()
        done = 0
        for index in list(self._alarms):
            heap, shard = self._alarms[index], self._shards[index]
            while heap and heap[0][0] <= now and done < limit:
                alarm = heappop(heap)
                done += 1
                if self._is_set(shard, alarm):
                    self._remove(alarm[1])
                    self._expired += 1
            if not heap:
                del self._alarms[index]
            if done == limit:
                break
        return done

    def tidy(self) -> bool:
        if self._dropped:
            self._let_go_until(self._clock() + STEP_SECONDS)
            return True
        return bool(self._alarms) and self.expire(STEP) == STEP

    # What is held at a key, and when its time is up.

    def _is_due(self, held: Held) -> bool:
        return type(held) is tuple and held[1][0] <= self._clock()

    def _entry(self, key: str, held: Held, now: float) -> Optional[Entry]:
        if isinstance(held, bytes):
            return Entry(held)
        text, (due, _) = held
        if due > now:
            return Entry(text, due - now)
        self._remove(key)
        self._expired += 1
        return None

    def _texts(self, found: Mapping[str, Held]) -> Dict[str, Held]:
        now = self._clock()
        entries = ((key, self._entry(key, held, now)) for key, held in found.items())
        return {key: entry.text for key, entry in entries if entry}

    def _live_keys(
        self, shard: Shard, prefix: str, after: Optional[str], now: float
    ) -> Iterator[str]:
        for key, held in shard.items():
            if (
                key.startswith(prefix)
                and (after is None or key > after)
                and (isinstance(held, bytes) or held[1][0] > now)
            ):
                yield key

    def _hold(self, key: str, held: Held) -> None:
        self._shards[hash(key) & MASK][key] = held

    def _remove(self, key: str) -> Optional[Held]:
        return self._shards[hash(key) & MASK].pop(key, None)

    def _put(self, key: str, held: Optional[Held]) -> None:
        """Put back what was held at a key."""
        if held is None:
            self._remove(key)
        else:
            self._hold(key, held)
            if isinstance(held, tuple):
                self._await(hash(key) & MASK, held[1])

    # Alarms.

    def _set_until(self, key: str, text: bytes, due: float) -> None:
        alarm = (due, key)
        self._hold(key, (text, alarm))
        self._await(hash(key) & MASK, alarm)

    def _await(self, index: int, alarm: Alarm) -> None:
        """Let an alarm wait in its shard's heap, which is made anew when it holds too many."""
        shard = self._shards[index]
        heap = self._alarms.setdefault(index, [])
        heappush(heap, alarm)
        if len(heap) > 2 * len(shard) + 8:
            heap[:] = [held[1] for held in shard.values() if isinstance(held, tuple)]
            heapify(heap)

    def _is_set(self, shard: Shard, alarm: Alarm) -> bool:
        held = shard.get(alarm[1])
        return type(held) is tuple and held[1] is alarm

    # The whole of it.

    def _nothing(self) -> Whole:
        return {"_shards": [{} for _ in range(SHARDS)], "_alarms": {}}

    def _take(self, whole: Whole) -> None:
        for name, part in whole.items():
            setattr(self, name, part)

    def _swap(self, whole: Whole) -> Whole:
        """Hold this instead; gives what was held."""
        held = {name: getattr(self, name) for name in whole}
        self._take(whole)
        return held

    def _drop(self, whole: Whole) -> None:
        """Let go of this, in `tidy`."""
        self._dropped += filter(None, whole["_shards"])
        self._dropped += whole["_alarms"].values()

    def _let_go_until(self, end: float) -> None:
        """Free what was dropped, a few keys at a time: the last of them free whole arenas."""
        while self._dropped and self._clock() < end:
            last = self._dropped[-1]
            let_go = last.popitem if isinstance(last, dict) else last.pop
            for _ in range(min(50, len(last))):
                let_go()
            if not last:
                self._dropped.pop()


def _cursor(index: int, last: Optional[str]) -> str:
    """Points into a shard, behind the key `last` in the order of its keys."""
    return str(index) if last is None else f"{index}:{last}"


def _position(cursor: Optional[str]) -> Tuple[int, Optional[str]]:
    """Where a cursor points."""
    index, colon, last = ("0" if cursor is None else cursor).partition(":")
    if not (index.isascii() and index.isdigit() and len(index) < 5 and int(index) < SHARDS):
        raise BadRequest("`cursor` is none that a scan gave")
    return int(index), last if colon else None


class _Rollback(View):
    """A view of a store that remembers how to undo what is done through it."""

    def __init__(self, store: InMemoryStore) -> None:
        super().__init__(store)
        self._memory = store
        self._undo: List[Callable[[], object]] = []
        self._cleared: List[Whole] = []

    def clear(self) -> int:
        count = self._memory.count()
        held = self._memory._swap(self._memory._nothing())
        self._cleared.append(held)
        self._undo.append(partial(self._memory._swap, held))
        return count

    def atomically(self, work: Callable[[Store], R]) -> R:
        return work(self)

    def undo(self) -> None:
        """Make it as if nothing had been done."""
        while self._undo:
            self._undo.pop()()

    def keep(self) -> None:
        """Let go of what was held for undoing."""
        for held in self._cleared:
            self._memory._drop(held)

    def _changing(self, keys: Collection[str]) -> None:
        for key in keys:
            held = self._memory._shards[hash(key) & MASK].get(key)
            self._undo.append(partial(self._memory._put, key, held))
