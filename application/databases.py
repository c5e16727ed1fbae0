"""Several databases in one store: those above 0 are the keys with a prefix.

Rule: a key of database 0 is itself. What bounds, saves and counts the keys of a store does so for
those of all databases; what lists or removes the keys of one leaves the others alone. In steps, a
count is that of one moment; keys are removed some at a time, each with all that it was until then.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Generator, Iterable, Iterator, List, Optional, Sequence, Set

from application.budget import Budget
from application.snapshot_read import STEP_KEYS, SteppedStore
from domain.effects import Cleared, Effect, Put, PutMany
from domain.store import Change, Entry, Page, Store

DATABASES = 16

MARK = "\0db"
"""Begins the keys of databases other than 0, and no others that should be listed."""

PAGE_KEYS = 1000

LOOK_BYTES = 16
"""What a look at a key counts for, of the bytes that a transaction works on."""


def prefix_of(database: int) -> str:
    """What the keys of a database begin with, for the others to be told apart."""
    return f"{MARK}{database}\0" if database else ""


def database_number(prefix: str) -> int:
    """The database whose keys begin with a prefix."""
    return int(prefix[len(MARK) : -1]) if prefix else 0


def page_of(store: Store, prefix: str, cursor: Optional[str], begins: str, limit: int) -> Page:
    """A page of the keys that begin with `begins` in the database of a prefix, as the store has
    them."""
    keys, cursor = store.scan(cursor, prefix + begins, limit)
    return Page(keys if prefix else visible(keys), cursor)


def visible(keys: List[str]) -> List[str]:
    """The keys of database 0 among those of all."""
    return [key for key in keys if not key.startswith(MARK)]


def pages_of(store: Store, prefix: str, begins: str = "") -> Iterator[List[str]]:
    """All the keys of a database that begin with `begins`, as the store has them, some at a time:
    others may use the store between two pages."""
    cursor: Optional[str] = None
    while True:
        keys, cursor = page_of(store, prefix, cursor, begins, PAGE_KEYS)
        yield keys
        if cursor is None:
            return


def keys_of(store: Store, prefix: str) -> Iterator[str]:
    """The keys on all those pages."""
    return chain.from_iterable(pages_of(store, prefix))


class Databases:
    """Which databases there may be keys in. `are_restored` when the store may have some from before
    the start: that is looked at once."""

    def __init__(self, are_restored: bool) -> None:
        self._are_restored = are_restored
        self._are_used = False

    def use(self, database: int) -> str:
        """A client uses a database: returns what its keys begin with."""
        prefix = prefix_of(database)
        self.expect(prefix)
        return prefix

    def expect(self, key: str) -> None:
        """There may be a key, or some that begin so."""
        self._are_used = self._are_used or key.startswith(MARK)

    def count(self, store: Store, prefix: str, budget: Budget) -> int:
        """How many keys there are in a database."""
        if self._is_whole(prefix):
            return store.count()
        _charge_for_a_look_at_each(store, budget)
        if prefix:
            return sum(1 for _ in keys_of(store, prefix))
        return store.count() - len(self._keys_of_others(store))

    def count_in_steps(self, store: SteppedStore, prefix: str) -> Generator[None, None, int]:
        """What `count` returns, in steps."""
        if self._is_whole(prefix):
            return store.count()
        found = FoundKeys(prefix or MARK)
        n_keys = yield from found.read(store)
        count = len(found) if prefix else n_keys - len(found)
        self._are_restored = self._are_restored and (bool(prefix) or len(found) > 0)
        yield from found.free()
        return count

    def clear(self, store: Store, prefix: str, budget: Budget) -> int:
        """Removes every key of a database; returns how many there were. A store that blocks is an
        engine, where others may have put keys into any database."""
        if store.traits.blocks:
            return sum(store.delete(keys) for keys in pages_of(store, prefix) if keys)
        if self._is_whole(prefix):
            return store.clear()
        _charge_for_a_look_at_each(store, budget)
        if prefix:
            return store.delete(list(keys_of(store, prefix)))
        others = self._keys_of_others(store)
        n_keys = store.count() - len(others)
        if len(others) < n_keys:
            store.atomically(partial(_clear_but, others))
        else:
            store.delete(list(keys_of(store, prefix)))
        return n_keys

    def clear_in_steps(
        self, store: SteppedStore, prefix: str, budget: Budget
    ) -> Generator[None, None, int]:
        """What `clear` does, in steps; in one where the other databases have few keys."""
        if self._is_whole(prefix):
            return store.clear()
        if not prefix:
            others = FoundKeys(MARK)
            yield from others.read(store)
            if len(others) <= STEP_KEYS:
                return self.clear(store, prefix, budget)
            yield from others.free()
        n_keys = 0
        for keys in pages_of(store, prefix):
            n_keys += store.delete(keys)
            yield
        return n_keys

    def _is_whole(self, prefix: str) -> bool:
        """Whether a database has all the keys of the store."""
        return not (prefix or self._are_used or self._are_restored)

    def _keys_of_others(self, store: Store) -> List[str]:
        keys = list(keys_of(store, MARK))
        self._are_restored = bool(keys)
        return keys


class FoundKeys:
    """The keys that begin with a prefix, found in steps and kept up to date from there on. They are
    in many sets, none of which takes long to grow."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._keys: List[Set[str]] = [set() for _ in range(_SETS)]

    def __len__(self) -> int:
        return sum(map(len, self._keys))

    def read(self, store: SteppedStore) -> Generator[None, None, int]:
        """Finds the keys; after it they are those of this moment. Returns how many the store has
        then, of all databases."""
        unsubscribe = store.subscribe(self._listen)
        try:
            for keys in pages_of(store, self._prefix):
                self._add(keys)
                yield
            while store.expire_due(STEP_KEYS) == STEP_KEYS:
                yield
            return store.count()
        finally:
            unsubscribe()

    def free(self) -> Generator[None, None, None]:
        """Frees them in steps."""
        while self._keys:
            del self._keys[-_SETS_A_STEP:]
            yield

    def _listen(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Cleared):
                self._keys = [set() for _ in range(_SETS)]
            elif isinstance(effect, PutMany):
                self._add(effect.items)
            elif isinstance(effect, Put):
                self._add((effect.key,))
            elif effect.key.startswith(self._prefix):
                self._set_of(effect.key).discard(effect.key)

    def _add(self, keys: Iterable[str]) -> None:
        """Adds those of `keys` that begin with the prefix."""
        for key in keys:
            if key.startswith(self._prefix):
                self._set_of(key).add(key)

    def _set_of(self, key: str) -> Set[str]:
        return self._keys[hash(key) % _SETS]


_SETS, _SETS_A_STEP = 1024, 16


def _clear_but(keys: List[str], store: Store) -> None:
    """Removes all but some keys, which is quick where these are few."""
    kept = [(key, store.update(key, lambda before: before)[1]) for key in keys]
    store.clear()
    for key, entry in kept:
        store.update(key, _always(entry))


def _charge_for_a_look_at_each(store: Store, budget: Budget) -> None:
    """Charges for a look at every key."""
    budget.convert(LOOK_BYTES * store.stats().keys)


def _always(entry: Optional[Entry]) -> Change:
    """The change to an entry."""
    return lambda _: entry
