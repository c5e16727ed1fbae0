"""The engine that docs/add-an-engine.md shows: what it promises beyond the contract of stores."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator

import pytest

from domain.errors import Unavailable
from domain.store import Entry, Maintained, Store
from sqlite_store import STEP, SqliteStore
from tests.support import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kv.db"


@pytest.fixture
def store(path: Path, clock: Clock) -> Iterator[SqliteStore]:
    with contextlib.closing(SqliteStore.open(path, clock)) as opened:
        yield opened


def test_keys_texts_and_deadlines_are_there_when_the_file_is_opened_again(
    path: Path, clock: Clock
) -> None:
    keys = ["", "\x00", "ключ", "\ud800"]
    with contextlib.closing(SqliteStore.open(path, clock)) as store:
        store.set_many(dict.fromkeys(keys, b'"\xc3\xa9"'))
        store.set_many({"brief": b"1"}, ttl=5)
    clock.now += 4.5
    with contextlib.closing(SqliteStore.open(path, clock)) as store:
        assert store.get_many(keys) == [b'"\xc3\xa9"'] * len(keys)
        assert store.update("brief", lambda before: before)[0] == Entry(b"1", 0.5)
        clock.now += 0.5
        assert store.get("brief") is None


def test_a_file_that_is_open_cannot_be_opened_by_another(store: SqliteStore, path: Path) -> None:
    store.set("k", b"1")
    with pytest.raises(Unavailable, match="database cannot be used: database is locked"):
        SqliteStore.open(path, Clock())
    assert store.get("k") == b"1"


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match="not a database"):
        SqliteStore.open(path, Clock())


def test_errors_of_the_database_are_unavailable(path: Path) -> None:
    store = SqliteStore.open(path, Clock())
    store.close()
    for use in (lambda: store.get("k"), lambda: store.set_many({"k": b"1"}), store.count):
        with pytest.raises(Unavailable):
            use()


def test_keys_are_scanned_in_their_order_from_the_prefix_to_its_end(store: SqliteStore) -> None:
    keys = ["a", "a\x00", "a\x7f", "aé", "a\uffff", "a\U0010ffff"]
    store.set_many(dict.fromkeys(["", "A", *reversed(keys), "b"], b"1"))
    assert store.scan(None, "a", 10).keys == keys
    page = store.scan(None, "a", 2)
    assert page.keys == keys[:2]
    assert store.scan(page.cursor, "a", 10).keys == keys[2:]
    assert store.scan("after:b", "a", 10).keys == []


def test_an_update_that_keeps_the_ttl_keeps_the_very_instant(
    store: SqliteStore, clock: Clock
) -> None:
    clock.now = 1000.1
    store.set_many({"k": b"1"}, ttl=0.7)
    due = clock.now + 0.7
    for _ in range(100):
        clock.now += 0.001
        store.update("k", lambda before: before and Entry(b"2", before.ttl))
    clock.now = due - 1e-9
    assert store.get("k") == b"2"
    clock.now = due
    assert store.get("k") is None


def test_due_rows_are_removed_a_few_at_a_time(store: SqliteStore, clock: Clock) -> None:
    assert isinstance(store, Maintained)
    store.set_many({str(number): b"0" for number in range(2 * STEP + 1)}, ttl=1)
    store.set("stays", b"0")
    clock.now += 1
    assert store.stats().keys == 2 * STEP + 2
    assert [store.run_maintenance() for _ in range(3)] == [True, True, False]
    assert (store.stats().keys, store.stats().expired) == (1, 2 * STEP + 1)


def test_what_expired_in_work_that_is_undone_is_counted_once(
    store: SqliteStore, clock: Clock
) -> None:
    store.set_many({"k": b"1"}, ttl=1)
    clock.now += 1

    def work(view: Store) -> None:
        assert view.count() == 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.atomically(work)
    assert (store.count(), store.stats().expired) == (0, 1)


def test_a_method_that_fails_within_work_is_undone_by_itself(store: SqliteStore) -> None:
    def work(view: Store) -> None:
        view.set("before", b"1")
        with pytest.raises(Unavailable):
            view.set_many({"a": b"2", "b": None})  # type: ignore[dict-item]

    store.atomically(work)
    assert store.get_many(["before", "a", "b"]) == [b"1", None, None]
