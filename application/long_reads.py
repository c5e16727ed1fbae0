"""Reads of many keys that let others have turns in between, and still see one moment.

Rule: what such a read gives was there at its last step. What others change in the meantime is
noted, by a view of the store that they are given while a read goes on, and read again; so whoever
writes pays nothing as long as nobody reads much. A key that the store itself lets go meanwhile,
since its time is up or to make room, was there when it was read.

The store must not block: a command that waits half-way would be noted before it has taken effect.
"""

from __future__ import annotations

from typing import Callable, Collection, Dict, Iterator, List, Sequence, Set, TypeVar

from domain.store import Store
from domain.view import View

R = TypeVar("R")

PART = 1000
"""How many keys are dealt with in a step, a millisecond's worth."""

ROUNDS = 4
"""How many times what was changed is read again in steps; what is changed yet once more, by
writers who never rest, is read in the last step."""


class Reading:
    """The read of some keys, which goes on while others use the store."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self._read_once: Set[str] = set()
        self._changed: Set[str] = set()
        self.texts: Dict[str, bytes] = {}
        """When all steps are done: the texts of those of the keys that are there."""

    def steps(self, store: Store) -> Iterator[None]:
        """Read a part of the keys in each step."""
        keys = self._keys
        for _ in range(ROUNDS):
            for start in range(0, len(keys), PART):
                self._read(store, keys[start : start + PART])
                yield
            keys = list(self._changed)
            self._changed.clear()
            if len(keys) <= PART:
                break
        self._read(store, keys)

    def note(self, keys: Collection[str]) -> None:
        """What is at `keys` is about to change."""
        self._changed |= self._read_once.intersection(keys)

    def note_all(self) -> None:
        """What is at every key is about to change."""
        self._changed |= self._read_once

    def _read(self, store: Store, keys: Sequence[str]) -> None:
        found = store.get_many(keys)
        if len(found) < len(keys):
            for missing in set(keys).difference(found):
                self.texts.pop(missing, None)
        self.texts.update(found)
        self._read_once.update(keys)


class Watched(View):
    """A view of a store through which `readings` hear of what changes."""

    def __init__(self, store: Store, readings: List[Reading]) -> None:
        super().__init__(store)
        self._readings = readings

    def clear(self) -> int:
        for reading in self._readings:
            reading.note_all()
        return self._store.clear()

    def atomically(self, work: Callable[[Store], R]) -> R:
        return self._store.atomically(lambda view: work(Watched(view, self._readings)))

    def _changing(self, keys: Collection[str]) -> None:
        for reading in self._readings:
            reading.note(keys)
