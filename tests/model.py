"""A store so simple that it is right by inspection; slow, and the measure of the others."""

from __future__ import annotations

import math
from typing import Callable, Collection, Dict, List, Mapping, Optional, Tuple, TypeVar

from domain.errors import BadRequest
from domain.store import Change, Entry, Page, Stats, Store, Traits

R = TypeVar("R")


class ModelStore:
    """Texts with the time that they last until, in one dict."""

    traits = Traits(blocks=False)

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._slots: Dict[str, Tuple[bytes, float]] = {}

    def _live(self) -> Dict[str, Tuple[bytes, float]]:
        now = self._clock()
        self._slots = {key: slot for key, slot in self._slots.items() if slot[1] > now}
        return self._slots

    def get(self, key: str) -> Optional[bytes]:
        return self._live()[key][0] if key in self._live() else None

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        return [self.get(key) for key in keys]

    def set(self, key: str, text: bytes) -> None:
        self._slots[key] = (text, math.inf)

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        for key, text in items.items():
            self._slots[key] = (text, math.inf if ttl is None else self._clock() + ttl)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        before = None
        if key in self._live():
            text, until = self._slots[key]
            before = Entry(text, None if until == math.inf else until - self._clock())
        after = change(before)
        if after is not before:
            self._slots.pop(key, None)
            if after:
                self.set_many({key: after.text}, after.ttl)
        return before, after

    def delete(self, keys: Collection[str]) -> int:
        return sum(self._live().pop(key, None) is not None for key in keys)

    def clear(self) -> int:
        count = self.count()
        self._slots = {}
        return count

    def count(self) -> int:
        return len(self._live())

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        if cursor is not None and not cursor.startswith("after "):
            raise BadRequest("`cursor` is not one that a scan returned")
        start = "" if cursor is None else cursor[len("after ") :] + "\0"
        keys = sorted(key for key in self._live() if key >= start and key.startswith(prefix))
        more = len(keys) > limit
        return Page(keys[:limit], f"after {keys[limit - 1]}" if more else None)

    def atomically(self, work: Callable[[Store], R]) -> R:
        before = dict(self._slots)
        try:
            return work(self)
        except BaseException:
            self._slots = before
            raise

    def stats(self) -> Stats:
        return Stats(keys=self.count(), hits=0, misses=0, expired=0)
