"""Several databases in one store: those above 0 are the keys with a prefix.

Rule: a key of database 0 is itself. What bounds, saves and counts the keys of a store does so for
those of all databases; what lists or removes the keys of one leaves the others alone.
"""

from __future__ import annotations

from typing import Iterator, List, Optional

from domain.store import Page, Store

DATABASES = 16

MARK = "\0db"
"""Begins the keys of databases other than 0, and no others that should be listed."""

PAGE = 1000


def prefix_of(database: int) -> str:
    """What the keys of a database begin with, for the others to be told apart."""
    return f"{MARK}{database}\0" if database else ""


def page_of(store: Store, prefix: str, cursor: Optional[str], begins: str, limit: int) -> Page:
    """A page of the keys that begin with `begins` in the database of a prefix, as the store has
    them."""
    keys, cursor = store.scan(cursor, prefix + begins, limit)
    return Page(keys if prefix else visible(keys), cursor)


def visible(keys: List[str]) -> List[str]:
    """The keys of database 0 among those of all."""
    return [key for key in keys if not key.startswith(MARK)]


def keys_of(store: Store, prefix: str, begins: str = "") -> Iterator[str]:
    """All the keys of a database that begin with `begins`, as the store has them."""
    cursor: Optional[str] = None
    while True:
        keys, cursor = page_of(store, prefix, cursor, begins, PAGE)
        yield from keys
        if cursor is None:
            return


def count(store: Store, prefix: str) -> int:
    """How many keys there are in a database."""
    if prefix:
        return sum(1 for _ in keys_of(store, prefix))
    return store.count() - sum(1 for _ in _others(store))


def clear(store: Store, prefix: str) -> int:
    """Removes every key of a database; returns how many there were."""
    if prefix:
        return store.delete(list(keys_of(store, prefix)))
    if next(_others(store), None) is None:
        return store.clear()
    return store.delete(list(keys_of(store, prefix)))


def _others(store: Store) -> Iterator[str]:
    """The keys of the databases other than 0."""
    cursor: Optional[str] = None
    while True:
        keys, cursor = store.scan(cursor, MARK, PAGE)
        yield from keys
        if cursor is None:
            return
