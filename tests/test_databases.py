"""Several databases in one store: what is counted and removed, and when others are looked for."""

from __future__ import annotations

from typing import List

import pytest

from application.databases import Databases, prefix_of
from domain.memory import InMemoryStore
from domain.store import Page
from tests.support import Clock


class Scanned(InMemoryStore):
    """A store that notes what is scanned for."""

    def __init__(self) -> None:
        super().__init__(Clock())
        self.prefixes: List[str] = []

    def scan(self, cursor: object, prefix: str, limit: int) -> Page:
        self.prefixes.append(prefix)
        return super().scan(cursor, prefix, limit)  # type: ignore[arg-type]


def filled(own: int, others: int) -> Scanned:
    store = Scanned()
    for number in range(own):
        store.set(f"k{number}", b"0")
    for number in range(others):
        store.set_many({f"{prefix_of(1)}o{number}": b"1"}, ttl=100.0)
    return store


@pytest.mark.parametrize(("own", "others"), [(5, 2), (2, 5), (3, 0), (0, 3)])
def test_each_database_is_counted_and_cleared_by_itself(own: int, others: int) -> None:
    databases = Databases(are_restored=False)
    databases.use(1)
    store = filled(own, others)
    assert databases.count(store, "") == own
    assert databases.count(store, prefix_of(1)) == others
    assert databases.clear(store, "") == own
    assert store.count() == others
    for number in range(others):
        _, entry = store.update(f"{prefix_of(1)}o{number}", lambda before: before)
        assert entry == (b"1", 100.0)
    assert databases.clear(store, prefix_of(1)) == others
    assert store.count() == 0


def test_keys_of_others_are_looked_for_once_after_a_restart_without_any() -> None:
    databases = Databases(are_restored=True)
    store = filled(3, 0)
    assert databases.has_others
    assert databases.count(store, "") == 3
    assert not databases.has_others
    assert databases.count(store, "") == 3
    assert len(store.prefixes) == 1


def test_a_database_that_was_used_once_is_never_left_out() -> None:
    databases = Databases(are_restored=True)
    databases.use(1)
    assert databases.count(filled(3, 0), "") == 3
    assert databases.has_others
