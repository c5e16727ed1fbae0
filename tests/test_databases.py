"""Several databases in one store: what is counted and removed, and when others are looked for."""

from __future__ import annotations

from typing import Any, Generator, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application import databases as module
from application.budget import Budget
from application.commands import strings
from application.databases import Databases, prefix_of
from application.executor import LocalExecutor
from application.limits import DEFAULTS
from domain.memory import InMemoryStore
from domain.store import Page
from tests.support import BlockingStore, Clock

BUDGET = Budget(DEFAULTS)


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


def test_in_an_engine_others_may_have_used_any_database() -> None:
    store = BlockingStore(Clock())
    databases = Databases(are_restored=True)
    others = {f"{prefix_of(3)}{number}": b"1" for number in range(5)}
    own = {f"k{number}": b"0" for number in range(2500)}
    for n_others in (0, 5):
        store.set_many({**own, **dict(list(others.items())[:n_others])})
        assert databases.clear(store, "", BUDGET) == 2500
        assert store.count() == n_others
        assert databases.clear(store, "", BUDGET) == 0
    assert databases.count(store, "", BUDGET) == 0
    assert databases.clear(store, prefix_of(3), BUDGET) == 5


@pytest.mark.parametrize(("own", "others"), [(5, 2), (2, 5), (3, 0), (0, 3)])
def test_each_database_is_counted_and_cleared_by_itself(own: int, others: int) -> None:
    databases = Databases(are_restored=False)
    databases.use(1)
    store = filled(own, others)
    assert databases.count(store, "", BUDGET) == own
    assert databases.count(store, prefix_of(1), BUDGET) == others
    assert databases.clear(store, "", BUDGET) == own
    assert store.count() == others
    for number in range(others):
        _, entry = store.update(f"{prefix_of(1)}o{number}", lambda before: before)
        assert entry == (b"1", 100.0)
    assert databases.clear(store, prefix_of(1), BUDGET) == others
    assert store.count() == 0


def test_keys_of_others_are_looked_for_once_after_a_restart_without_any() -> None:
    databases = Databases(are_restored=True)
    store = filled(3, 0)
    for _ in range(3):
        assert databases.count(store, "", BUDGET) == 3
    assert len(store.prefixes) == 1


def test_a_database_that_was_used_once_is_never_left_out() -> None:
    databases = Databases(are_restored=True)
    databases.use(1)
    assert databases.count(filled(3, 0), "", BUDGET) == 3
    assert databases.count(filled(3, 2), "", BUDGET) == 3


def test_a_database_that_a_key_is_copied_to_is_looked_for_from_then_on() -> None:
    databases = Databases(are_restored=False)
    store = filled(1, 0)
    missing, copy = (strings.Copy(key, f"{prefix_of(1)}k", databases) for key in ("k1", "k0"))
    assert not missing.run(store, BUDGET)
    assert databases.count(store, "", BUDGET) == 1
    assert not store.prefixes
    assert copy.run(store, BUDGET)
    assert databases.count(store, "", BUDGET) == 1
    assert store.prefixes


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_KEYS", 3)
    monkeypatch.setattr(module, "STEP_KEYS", 3)


def finished(steps: Generator[None, None, Any], between: Any = None) -> Tuple[Any, int]:
    """The result, and how many steps it took; `between` is called after each."""
    n_steps = 1
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, n_steps
        n_steps += 1
        if between:
            between()


KEYS = [f"{prefix_of(database)}k{number}" for database in (0, 1, 2) for number in range(12)]
changes = st.lists(st.sampled_from(KEYS) | st.sampled_from(["clear", "later"]), max_size=60)


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("database", [0, 1])
def test_a_database_is_counted_in_steps_as_it_is_at_one_moment(database: int) -> None:
    @settings(max_examples=25)
    @given(changes)
    def check(changes: List[str]) -> None:
        clock = Clock()
        store = InMemoryStore(clock)
        store.set_many(dict.fromkeys(KEYS[::2], b"0"))
        store.set_many(dict.fromkeys(KEYS[1::4], b"0"), ttl=5.0)
        databases = Databases(are_restored=False)
        databases.use(1)
        left = iter(changes)

        counts: List[int] = []

        def between() -> None:
            for key in [next(left, ""), next(left, "")]:
                if key == "clear":
                    store.clear()
                elif key == "later":
                    clock.now += 3.0
                elif key and not store.delete([key]):
                    store.set(key, b"1")
            counts.append(databases.count(store, prefix_of(database), BUDGET))

        counts.append(databases.count(store, prefix_of(database), BUDGET))
        command = strings.CountKeys(prefix_of(database), databases)
        steps = LocalExecutor(store).execute_in_steps(command)
        count, n_steps = finished(steps, between)
        assert count in counts
        assert n_steps > 64  # those that free what was found are among them

    check()


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize(("own", "others"), [(30, 2), (30, 20), (2, 30), (0, 30)])
@pytest.mark.parametrize("database", [0, 1])
def test_a_database_is_cleared_in_steps_of_some_keys(own: int, others: int, database: int) -> None:
    databases = Databases(are_restored=False)
    databases.use(1)
    store = filled(own, others)
    steps = LocalExecutor(store).execute_in_steps(strings.ClearKeys(prefix_of(database), databases))
    removed = others if database else own
    counts: List[int] = [store.count()]
    result, _ = finished(steps, lambda: counts.append(store.count()))
    counts.append(store.count())
    assert result == removed
    assert store.count() == own + others - removed
    if others > 3:
        assert max(before - after for before, after in zip(counts, counts[1:])) <= 3
