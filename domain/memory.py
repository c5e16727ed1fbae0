"""The store that keeps everything in this process's memory.

Rule: no method calls out or switches greenlets, so each is atomic without a lock; and none holds
the others up for long, however many keys there are: `clear` only detaches the contents, and
`run_maintenance` frees them in bounded steps.

Every change of a slot goes through `_put` and `_pop`, or `_put_many` and `_remove_many`, and one of
all slots through `_exchange`. They note it for undoing and for the listeners, and subclasses count
there. `set`, `set_many` and `delete` use the dicts themselves where nothing but a listener needs
to know: nothing to undo, nothing counted, no ttl.
"""

from __future__ import annotations

import math
import sys
from functools import partial
from itertools import islice
from operator import getitem
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from domain.contents import MASK, SHARDS, Contents
from domain.deadlines import Deadline, Shard, Slot, Timed
from domain.effects import Cleared, Effect, Listener, Put, PutMany, Reason, Removed
from domain.rollback import UndoLog
from domain.scanning import LEAST_HASH, cursor_at, first_by_hash, position_of
from domain.store import Change, Entry, Page, ShardCopy, Stats, Store, Traits

R = TypeVar("R")

STEP_DEADLINES = 1000
"""How many deadlines one call of `run_maintenance` deals with, a millisecond's worth."""

STEP_SECONDS = 0.001
"""How long one call of `run_maintenance` frees what was cleared."""

SCAN_STEP_KEYS = 4_000
"""How many keys a page of a scan looks at before it ends early, some milliseconds' worth."""

_get: Callable[[Shard, str], Optional[Slot]] = dict.get
_new_put: Callable[[Tuple[str, bytes, Optional[float]]], Put] = partial(tuple.__new__, Put)
"""A `Put` without a call of Python's."""


class InMemoryStore:
    """A `Store` in dicts, `Maintained`, `Observable` and `Restorable`; its keys are gone with the
    process.

    `clock` returns seconds that never go back, such as `time.monotonic`.
    """

    traits = Traits(blocks=False)
    _counting = False

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._contents: Contents
        self._shards: List[Shard]
        self._undo: Optional[UndoLog] = None
        self._listeners: Dict[object, Listener] = {}
        self._effects: List[Effect] = []
        self._noting: bool
        """Whether changes are noted, for undoing or for listeners."""
        self._direct: bool
        """Whether a change of a slot without a ttl needs nothing but the dict."""
        self._plain: bool
        """The same, while no slot has a ttl."""
        self._only_told: Sequence[Listener] = ()
        """The listeners, where such a change is to be told and needs nothing else."""
        self._detached: List[Union[Shard, List[Deadline]]] = []
        self._hits = self._misses = self._expired = self._evicted = 0
        self._install(Contents())

    def get(self, key: str) -> Optional[bytes]:
        slot = self._shards[hash(key) & MASK].get(key)
        if type(slot) is bytes:
            self._hits += 1
            return slot
        text = None if slot is None else self._live_text(key, slot, self._clock())
        if text is None:
            self._misses += 1
        else:
            self._hits += 1
        return text

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        texts: List[Any] = self._slots(keys)
        if not self._plain and self._contents.deadlines:
            texts = self._live_texts(keys, texts)
        missed = 0 if all(texts) else texts.count(None)
        self._misses += missed
        self._hits += len(texts) - missed
        return texts

    def set(self, key: str, text: bytes) -> None:
        shard = self._shards[hash(key) & MASK]
        if self._plain or (self._direct and type(shard.get(key)) is not tuple):
            shard[key] = text
        elif self._only_told and type(shard.get(key)) is not tuple:
            shard[key] = text
            effects = (_new_put((key, text, None)),)
            for listener in self._only_told:
                listener(effects)
        else:
            self._write(key, text, None)

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        told = self._only_told
        if ttl is None and (self._plain or (told and not self._contents.deadlines)):
            shards = self._shards
            for key, text in items.items():
                shards[hash(key) & MASK][key] = text
            if told and items:
                effects = (PutMany(items),)
                for listener in told:
                    listener(effects)
        else:
            self._write_many(items, None if ttl is None else self._clock() + ttl)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        now = self._clock()
        slot = self._shards[hash(key) & MASK].get(key)
        before = None if slot is None else self._entry(key, slot, now)
        try:
            after = change(before)
            if after is not before:
                self._replace(key, slot, before, after, now)
        finally:
            self._tell()
        return before, after

    def delete(self, keys: Collection[str]) -> int:
        if len(keys) == 1:
            (key,) = keys
            return self._delete(key)
        now = self._clock()
        has_deadlines = bool(self._contents.deadlines)
        slots = self._remove_many(keys, Reason.DELETED, now)
        expired = 0
        if has_deadlines:
            expired = sum([_is_due(slot, now) for slot in slots.values()])
            self._expired += expired
        self._tell()
        return len(slots) - expired

    def clear(self) -> int:
        count = self.count()
        cleared = self._exchange(Contents())
        if self._undo is None:
            self._detach(cleared)
        else:
            self._undo.note_contents(cleared)
        if self._listeners:
            self._effects.append(Cleared())
            self._tell()
        return count

    def count(self) -> int:
        self.expire_due(sys.maxsize)
        return sum(map(len, self._shards))

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        start, least = position_of(cursor)
        now = self._clock()
        keys: List[str] = []
        scanned = 0
        for index in range(start, SHARDS):
            shard = self._shards[index]
            scanned += len(shard) + 1
            live = _live_keys(shard, prefix, now)
            found, following = first_by_hash(live, least, limit - len(keys))
            keys += found
            if following is not None:
                return Page(keys, cursor_at(following))
            least = LEAST_HASH
            if scanned > SCAN_STEP_KEYS and index + 1 < SHARDS:
                return Page(keys, cursor_at(least + index + 1))
        return Page(keys, None)

    def atomically(self, work: Callable[[Store], R]) -> R:
        if self._undo is not None:
            return work(self)
        log = self._undo = UndoLog()
        counted = self._expired, self._evicted
        self._choose_path()
        try:
            result = work(self)
        except BaseException:
            self._undo = None
            log.undo(self._restore, self._exchange)
            self._expired, self._evicted = counted
            self._effects.clear()
            self._choose_path()
            raise
        self._undo = None
        self._choose_path()
        for contents in log.cleared():
            self._detach(contents)
        self._tell()
        return result

    def stats(self) -> Stats:
        return Stats(
            keys=sum(map(len, self._shards)),
            hits=self._hits,
            misses=self._misses,
            expired=self._expired,
        )

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        subscription = object()
        self._listeners[subscription] = listener
        self._choose_path()

        def unsubscribe() -> None:
            self._listeners.pop(subscription, None)
            self._choose_path()

        return unsubscribe

    def expire_due(self, limit: int) -> int:
        done = self._expire(self._clock(), limit)
        self._tell()
        return done

    def run_maintenance(self) -> bool:
        if self._detached:
            self._free_until(self._clock() + STEP_SECONDS)
            return True
        return self.expire_due(STEP_DEADLINES) == STEP_DEADLINES

    # Saving and restoring.

    def restore(self, items: Mapping[str, bytes], due: Optional[float] = None) -> None:
        InMemoryStore._write_many(self, items, due)

    def fit(self) -> bool:
        return False

    def copy_shard(self, index: int) -> Optional[ShardCopy]:
        if index >= SHARDS:
            return None
        shard = self._shards[index]
        if not self._contents.deadlines:
            return ShardCopy(dict(shard), {})  # type: ignore[arg-type]  # all slots are texts
        now = self._clock()
        copy = ShardCopy({}, {})
        for key, slot in shard.items():
            if isinstance(slot, bytes):
                copy.texts[key] = slot
            elif slot[1] == math.inf:
                copy.texts[key] = slot[0]
            elif slot[1] > now:
                copy.timed[key] = slot[0], slot[1]
        return copy

    # Writing, in subclasses within a bound.

    def _write(self, key: str, text: bytes, due: Optional[float]) -> None:
        self._put(key, text, due)
        self._tell()

    def _write_many(self, items: Mapping[str, bytes], due: Optional[float]) -> None:
        self._put_many(items, due, self._slots(items))
        self._tell()

    def _replace(
        self,
        key: str,
        slot: Optional[Slot],
        before: Optional[Entry],
        after: Optional[Entry],
        now: float,
    ) -> None:
        """Stores the entry `after` in place of the entry `before`, which `slot` held."""
        if after is None:
            self._remove(key, Reason.DELETED)
        elif after.ttl is None:
            self._write(key, after.text, None)
        elif before and isinstance(slot, tuple) and after.ttl == before.ttl:
            self._write(key, after.text, slot[1])  # the same instant, without rounding
        else:
            self._write(key, after.text, now + after.ttl)

    # The ways in which slots change.

    def _put(self, key: str, text: bytes, due: Optional[float]) -> Optional[Slot]:
        """Stores a text; returns the slot that was there."""
        index = hash(key) & MASK
        shard = self._shards[index]
        before = shard.get(key)
        if self._noting:
            if self._undo is not None:
                self._undo.note_slot(key, before)
            if self._listeners:
                self._effects.append(Put(key, text, due))
        if due is None and type(before) is not tuple:
            shard[key] = text
        else:
            self._plain = False
            self._contents.deadlines.put(index, key, text, due, before)
        return before

    def _put_many(
        self,
        items: Mapping[str, bytes],
        due: Optional[float],
        slots: Sequence[Optional[Slot]],
    ) -> None:
        """Stores many texts in place of `slots`, what there is at their keys."""
        shards = self._shards
        if self._noting:
            if self._undo is not None:
                self._undo.note_slots(zip(items, slots))
            if self._listeners and items:
                self._effects.append(PutMany(items, due))
        if due is None and tuple not in set(map(type, slots)):
            for key, text in items.items():
                shards[hash(key) & MASK][key] = text
        else:
            self._plain = False
            self._contents.deadlines.put_many(items, due, slots)

    def _remove_many(
        self, keys: Collection[str], reason: Reason, now: float = -math.inf
    ) -> Dict[str, Slot]:
        """Removes those of `keys` that are there, which expired if they are due; returns what was
        in their slots."""
        shards = self._shards
        slots = {
            key: slot
            for key in keys
            if (slot := shards[hash(key) & MASK].pop(key, None)) is not None
        }
        if self._noting:
            if self._undo is not None:
                self._undo.note_slots(slots.items())
            if self._listeners:
                self._effects += [
                    Removed(key, Reason.EXPIRED if _is_due(slot, now) else reason)
                    for key, slot in slots.items()
                ]
        if self._contents.deadlines:
            self._contents.deadlines.removed_many(slots.values())
        return slots

    def _pop(self, key: str, reason: Reason) -> Optional[Slot]:
        """Takes a slot out, whose deadline, if it has one, is still in the heap."""
        slot = self._shards[hash(key) & MASK].pop(key, None)
        if self._noting and slot is not None:
            if self._undo is not None:
                self._undo.note_slot(key, slot)
            if self._listeners:
                self._effects.append(Removed(key, reason))
        return slot

    def _exchange(self, contents: Contents) -> Contents:
        """Holds `contents` from now on; returns what it held."""
        before = self._contents
        self._install(contents)
        return before

    def _install(self, contents: Contents) -> None:
        self._contents = contents
        self._shards = contents.shards
        self._choose_path()

    # What is made of them.

    def _delete(self, key: str) -> int:
        shard = self._shards[hash(key) & MASK]
        slot = shard.get(key)
        if slot is None:
            return 0
        if self._direct and type(slot) is bytes:
            del shard[key]
            return 1
        is_due = _is_due(slot, self._clock())
        self._remove(key, Reason.EXPIRED if is_due else Reason.DELETED)
        self._expired += is_due
        self._tell()
        return 1 - is_due

    def _remove(self, key: str, reason: Reason) -> None:
        slot = self._pop(key, reason)
        if isinstance(slot, tuple):
            self._contents.deadlines.removed(hash(key) & MASK, slot)

    def _expire_slot(self, key: str) -> None:
        """A key was found that is due."""
        self._remove(key, Reason.EXPIRED)
        self._expired += 1

    def _expire(self, now: float, limit: int) -> int:
        deadlines = self._contents.deadlines
        done = deadlines.expire_due(now, limit, self._expire_popped)
        if not deadlines:
            self._choose_path()
        return done

    def _expire_popped(self, key: str) -> None:
        """A key is due, whose deadline has been taken from the heap."""
        self._pop(key, Reason.EXPIRED)
        self._expired += 1

    def _restore(self, slots: Mapping[str, Optional[Slot]]) -> None:
        """Puts back what was in slots; one with a text alone takes nothing over from a ttl."""
        texts: Dict[str, bytes] = {}
        timed: Dict[str, Timed] = {}
        for key, slot in slots.items():
            if isinstance(slot, bytes):
                texts[key] = slot
            elif isinstance(slot, tuple):
                if slot[1] == math.inf:
                    texts[key] = slot[0]
                else:
                    timed[key] = slot
        self._remove_many(slots.keys() - timed.keys(), Reason.DELETED)
        self._put_many(texts, None, self._slots(texts))
        for key, (text, due, _) in timed.items():
            self._put(key, text, due)

    def _choose_path(self) -> None:
        """What a change needs beside the dict, after that may have changed."""
        self._noting = bool(self._listeners) or self._undo is not None
        self._direct = not (self._noting or self._counting)
        needs_more = self._counting or self._undo is not None
        self._only_told = () if needs_more else tuple(self._listeners.values())
        self._plain = self._direct and not self._contents.deadlines

    def _tell(self) -> None:
        """Tells the listeners what a request did; within `atomically`, that is not known yet."""
        if self._effects and self._undo is None:
            effects, self._effects = self._effects, []
            for listener in tuple(self._listeners.values()):
                listener(effects)

    # Reading.

    def _slots(self, keys: Collection[str]) -> List[Optional[Slot]]:
        """What there is at each of `keys`. They are looked up in a loop without Python's own steps,
        so that the processor waits for the memory of several at once."""
        shards = self._shards
        places = [shards[hash(key) & MASK] for key in keys]
        slots: List[Optional[Slot]] = []
        try:
            slots.extend(map(getitem, places, keys))
        except KeyError:  # those before the first that is missing are there
            found = len(slots)
            slots.extend(map(_get, places[found:], islice(keys, found, None)))
        return slots

    def _entry(self, key: str, slot: Slot, now: float) -> Optional[Entry]:
        if isinstance(slot, bytes):
            return Entry(slot)
        text, due, _ = slot
        if due <= now:
            self._expire_slot(key)
            return None
        return Entry(text, None if due == math.inf else due - now)

    def _live_text(self, key: str, slot: Slot, now: float) -> Optional[bytes]:
        if isinstance(slot, bytes):
            return slot
        if slot[1] > now:
            return slot[0]
        self._expire_slot(key)
        self._tell()
        return None

    def _live_texts(
        self, keys: Iterable[str], slots: Sequence[Optional[Slot]]
    ) -> List[Optional[bytes]]:
        """The texts of those slots that are not due; the keys of those that are expire."""
        now = self._clock()
        due = [key for key, slot in zip(keys, slots) if _is_due(slot, now)]
        for key in dict.fromkeys(due):
            self._expire_slot(key)
        self._tell()
        return [_text_after(slot, now) for slot in slots]

    # Freeing.

    def _detach(self, contents: Contents) -> None:
        """Leaves contents that were cleared to `run_maintenance`."""
        self._detached += filter(None, contents.shards)
        self._detached += contents.deadlines.heaps()

    def _free_until(self, end: float) -> None:
        """Frees what was detached, a few keys at a time: the last of them free whole arenas."""
        while self._detached and self._clock() < end:
            last = self._detached[-1]
            free_one = last.popitem if isinstance(last, dict) else last.pop
            for _ in range(min(50, len(last))):
                free_one()
            if not last:
                self._detached.pop()


def _text_after(slot: Optional[Slot], now: float) -> Optional[bytes]:
    """The text of a slot, unless it is due."""
    if isinstance(slot, tuple):
        return slot[0] if slot[1] > now else None
    return slot


def _is_due(slot: Optional[Slot], now: float) -> bool:
    return isinstance(slot, tuple) and slot[1] <= now


def _live_keys(shard: Shard, prefix: str, now: float) -> List[str]:
    return [
        key
        for key, slot in shard.items()
        if key.startswith(prefix) and (isinstance(slot, bytes) or slot[1] > now)
    ]
