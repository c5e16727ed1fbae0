"""The store that keeps everything in this process's memory.

Rule: no method calls out or switches greenlets, so each is atomic without a lock; and none holds
the others up for long, however many keys there are.

The keys are spread over many dicts by their hash. One big dict stops everyone while it grows (at
five million keys for most of a second); a small one grows in a few milliseconds. For the same
reason what was cleared is let go a dict at a time, in `tidy`.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence

SHARDS = 1024
"""How many dicts; a power of two, so that a mask picks one."""

_MASK = SHARDS - 1


def _empty() -> List[Dict[str, bytes]]:
    return [{} for _ in range(SHARDS)]


class InMemoryStore:
    """A `Store` in dicts; what it holds is gone with the process."""

    def __init__(self) -> None:
        self._shards = _empty()
        self._dropped: List[Dict[str, bytes]] = []

    def get(self, key: str) -> Optional[bytes]:
        return self._shards[hash(key) & _MASK].get(key)

    def get_many(self, keys: Sequence[str]) -> Dict[str, bytes]:
        shards = self._shards
        return {
            key: text for key in keys if (text := shards[hash(key) & _MASK].get(key)) is not None
        }

    def set(self, key: str, text: bytes) -> None:
        self._shards[hash(key) & _MASK][key] = text

    def set_many(self, items: Mapping[str, bytes]) -> None:
        shards = self._shards
        for key, text in items.items():
            shards[hash(key) & _MASK][key] = text

    def delete(self, key: str) -> bool:
        return self._shards[hash(key) & _MASK].pop(key, None) is not None

    def clear(self) -> int:
        dropped, self._shards = self._shards, _empty()
        self._dropped += filter(None, dropped)
        return sum(map(len, dropped))

    def tidy(self) -> bool:
        if self._dropped:
            self._dropped.pop().clear()
        return bool(self._dropped)
