"""A store seen through another object, which hears of each change before it is made.

Rule: reads go straight to the store, so that only what changes something costs more.
"""

from __future__ import annotations

from typing import Collection, Mapping, Optional, Tuple

from domain.store import Change, Entry, Store


class View:
    """Most of a `Store` that is another; subclasses say what happens before keys change, and what
    `clear` and `atomically` are."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.get = store.get
        self.get_many = store.get_many
        self.count = store.count
        self.scan = store.scan
        self.stats = store.stats
        self.expire = store.expire
        self.tidy = store.tidy

    def set(self, key: str, text: bytes) -> None:
        self._changing((key,))
        self._store.set(key, text)

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        self._changing(items)
        self._store.set_many(items, ttl)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        self._changing((key,))
        return self._store.update(key, change)

    def delete(self, keys: Collection[str]) -> int:
        self._changing(keys)
        return self._store.delete(keys)

    def _changing(self, keys: Collection[str]) -> None:
        """What is at `keys` may be about to change."""
        raise NotImplementedError
