"""What every store promises."""

from __future__ import annotations

from functools import partial
from typing import Callable, List, Optional, Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import memory
from domain.bounded import BoundedStore, EvictingStore
from domain.errors import BadRequest
from domain.memory import InMemoryStore
from domain.store import Entry, Store
from tests.model import ModelStore
from tests.support import BlockingStore, Clock

STORES = [
    InMemoryStore,
    BlockingStore,
    ModelStore,
    partial(BoundedStore, max_memory=1 << 30),
    partial(EvictingStore, max_memory=1 << 30),
]
NewStore = Callable[[Callable[[], float]], Store]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, clock: Clock) -> Store:
    made: Store = request.param(clock)
    return made


def put(store: Store, key: str, text: bytes = b"1", ttl: Optional[float] = None) -> None:
    store.update(key, lambda _: Entry(text, ttl))


def all_keys(store: Store, prefix: str = "", limit: int = 10) -> List[str]:
    page = store.scan(None, prefix, limit)
    keys = page.keys
    while page.cursor is not None:
        page = store.scan(page.cursor, prefix, limit)
        assert len(page.keys) <= limit
        keys = keys + page.keys
    return keys


class TestTexts:
    def test_a_key_never_set_is_missing(self, store: Store) -> None:
        assert store.get("k") is None

    def test_what_was_set_is_there(self, store: Store) -> None:
        store.set("k", b"1")
        assert store.get("k") == b"1"

    def test_setting_again_replaces(self, store: Store) -> None:
        store.set("k", b"1")
        store.set("k", b"2")
        assert store.get("k") == b"2"

    def test_many_are_given_in_the_order_asked_without_those_missing(self, store: Store) -> None:
        store.set_many({"a": b"1", "b": b"2"})
        found = store.get_many(["b", "x", "a", "b"])
        assert list(found.items()) == [("b", b"2"), ("a", b"1")]

    def test_setting_many_keeps_the_others(self, store: Store) -> None:
        store.set("old", b"0")
        store.set_many({"a": b"1"})
        assert store.get_many(["old", "a"]) == {"old": b"0", "a": b"1"}

    def test_deleting_tells_how_many_keys_were_there(self, store: Store) -> None:
        store.set_many({"a": b"null", "b": b"1", "c": b"2"})
        assert store.delete(["a", "c", "x", "a"]) == 2
        assert store.delete(["a"]) == 0
        assert store.get_many("abc") == {"b": b"1"}

    def test_clearing_tells_how_many_keys_there_were(self, store: Store) -> None:
        store.set_many({str(number): b"0" for number in range(5000)})
        assert store.count() == store.clear() == 5000
        assert store.count() == store.clear() == 0
        assert store.get("1") is None

    def test_the_empty_key_and_any_unicode_are_keys(self, store: Store) -> None:
        keys = ["", "\x00", "ключ", "🗝️", "a b\n", "1:2"]
        for key in keys:
            store.set(key, b"1")
            assert store.get(key) == b"1"
        assert sorted(all_keys(store, limit=1)) == sorted(keys)


class TestUpdates:
    def test_the_change_is_given_what_is_there(self, store: Store) -> None:
        put(store, "k", b"1", ttl=5)
        seen: List[Optional[Entry]] = []
        for key in ("k", "x"):
            store.update(key, seen.append)
        assert seen == [Entry(b"1", 5), None]

    def test_what_it_gives_takes_its_place(self, store: Store) -> None:
        before, after = store.update("k", lambda _: Entry(b"1"))
        assert (before, after, store.get("k")) == (None, Entry(b"1"), b"1")
        before, after = store.update("k", lambda _: None)
        assert (before, after, store.get("k")) == (Entry(b"1"), None, None)

    def test_the_same_object_changes_nothing(self, store: Store, clock: Clock) -> None:
        put(store, "k", ttl=5)
        before, after = store.update("k", lambda before: before)
        assert after is before
        clock.now += 5
        assert store.get("k") is None

    def test_if_it_raises_nothing_has_changed(self, store: Store) -> None:
        store.set("k", b"1")
        with pytest.raises(ZeroDivisionError):
            store.update("k", lambda _: Entry(b"%d" % (1 // 0)))
        assert store.get("k") == b"1"


class TestTime:
    def test_a_key_lives_up_to_its_time(self, store: Store, clock: Clock) -> None:
        put(store, "k", ttl=1.5)
        clock.now += 1.4
        assert store.get("k") == b"1"
        clock.now += 0.1
        assert store.get("k") is None

    @pytest.mark.parametrize("tidied", [False, True])
    def test_a_key_whose_time_is_up_is_gone_for_every_method(
        self, store: Store, clock: Clock, tidied: bool
    ) -> None:
        store.set_many({"a": b"1", "b": b"2"}, ttl=1)
        store.set("c", b"3")
        clock.now += 1
        while tidied and store.tidy():
            pass
        assert store.get_many("abc") == {"c": b"3"}
        assert store.count() == 1
        assert all_keys(store) == ["c"]
        put(store, "b", ttl=1)
        clock.now += 1
        assert store.update("b", lambda before: before) == (None, None)
        put(store, "b", ttl=1)
        clock.now += 1
        assert store.delete(["b", "c"]) == 1
        put(store, "b", ttl=1)
        clock.now += 1
        assert store.clear() == 0

    def test_setting_again_clears_the_time(self, store: Store, clock: Clock) -> None:
        put(store, "k", ttl=1)
        store.set("k", b"2")
        put(store, "many", ttl=1)
        store.set_many({"many": b"2"})
        clock.now += 2
        while store.tidy():
            pass
        assert store.get_many(["k", "many"]) == {"k": b"2", "many": b"2"}

    def test_a_later_time_takes_the_place_of_the_earlier(self, store: Store, clock: Clock) -> None:
        put(store, "k", ttl=1)
        put(store, "k", ttl=10)
        clock.now += 9
        while store.tidy():
            pass
        assert store.get("k") == b"1"


class TestScans:
    def test_pages_make_up_the_whole(self, store: Store) -> None:
        keys = [f"key:{number}" for number in range(500)]
        store.set_many(dict.fromkeys(keys, b"1"))
        store.set("other", b"1")
        for limit in (1, 7, 1000):
            assert sorted(all_keys(store, "key:", limit)) == sorted(keys)
        assert all_keys(store, "nothing") == []

    @pytest.mark.parametrize("cursor", ["", "x", "-1", "9999999", "1" * 5000, "²"])
    def test_a_cursor_that_no_page_gave_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(BadRequest, match="cursor"):
            store.scan(cursor, "", 10)

    @pytest.mark.parametrize("new_store", STORES)
    @given(
        kept=st.sets(st.text(max_size=3), max_size=30),
        others=st.lists(st.text(max_size=2), max_size=30),
        limit=st.integers(1, 10),
    )
    def test_a_key_that_stays_is_seen_though_others_come_and_go(
        self, new_store: NewStore, kept: Set[str], others: List[str], limit: int
    ) -> None:
        store = new_store(Clock())
        store.set_many(dict.fromkeys(kept, b"1"))
        page = store.scan(None, "", limit)
        seen = set(page.keys)
        while page.cursor is not None:
            for other in [other for other in others if other not in kept]:
                if not store.delete([other]):
                    store.set(other, b"1")
            page = store.scan(page.cursor, "", limit)
            seen |= set(page.keys)
        assert kept <= seen


class TestAtomically:
    def test_what_was_done_stays(self, store: Store) -> None:
        store.set("a", b"0")

        def work(view: Store) -> int:
            view.set("a", b"1")
            view.set_many({"b": b"2"})
            return view.clear() + view.count()

        assert store.atomically(work) == 2
        assert store.count() == 0

    def test_if_it_raises_all_is_undone_times_included(self, store: Store, clock: Clock) -> None:
        store.set_many({"a": b"1", "b": b"2"})
        store.set_many({"brief": b"3", "timed": b"4"}, ttl=5)

        def work(view: Store) -> None:
            view.set("a", b"changed")
            view.set_many({"brief": b"changed", "new": b"new"}, ttl=100)
            view.update("timed", lambda _: Entry(b"for good"))
            view.delete(["b", "brief"])
            view.clear()
            view.set("after", b"1")
            view.atomically(lambda inner: inner.set("inner", b"1"))
            assert view.get_many(["a", "after"]) == {"after": b"1"}
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.atomically(work)
        while store.tidy():
            pass
        everything = ["a", "b", "brief", "timed", "new", "after", "inner"]
        assert store.get_many(everything) == {"a": b"1", "b": b"2", "brief": b"3", "timed": b"4"}
        clock.now += 5
        while store.tidy():
            pass
        assert store.get_many(everything) == {"a": b"1", "b": b"2"}
        assert store.count() == 2


class TestTidying:
    def test_comes_to_an_end_and_changes_nothing_that_is_seen(self, store: Store) -> None:
        store.set_many({str(number): b"0" for number in range(5000)})
        store.clear()
        store.set("kept", b"1")
        steps = 0
        while store.tidy():
            steps += 1
        assert steps < 5000
        assert store.tidy() is False
        assert store.get("kept") == b"1"


class TestInMemory:
    """What is promised of memory and of pauses, where it can be counted."""

    def test_keys_whose_time_is_up_are_let_go_without_anyone_touching_them(
        self, clock: Clock
    ) -> None:
        store = InMemoryStore(clock)
        store.set_many({str(number): b"0" for number in range(10_000)}, ttl=1)
        clock.now += 1
        assert store.stats().keys == 10_000
        steps = 0
        while store.tidy():
            steps += 1
        assert store.stats().keys == 0
        assert store.stats().expired == 10_000
        assert steps >= 10_000 // memory.STEP
        assert not store._alarms

    def test_they_are_let_go_a_few_at_a_time(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        store.set_many({str(number): b"0" for number in range(10)}, 1.0)
        store.set("stays", b"0")
        clock.now += 1.0
        assert [store.expire(4) for _ in range(4)] == [4, 4, 2, 0]
        assert store.stats().expired == 10
        assert store.stats().keys == 1

    def test_a_hot_key_set_over_and_over_leaves_no_debris(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        for _ in range(100_000):
            put(store, "hot", ttl=1000)
        assert sum(map(len, store._alarms.values())) <= 10

    def test_after_an_undone_batch_a_key_is_still_let_go_at_its_time(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        put(store, "k", ttl=10)

        def work(view: Store) -> None:
            for _ in range(100):
                view.update("k", lambda _: Entry(b"2", 1000))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.atomically(work)
        clock.now += 10
        while store.tidy():
            pass
        assert store.stats().keys == 0

    def test_batches_undone_over_and_over_leave_no_debris(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        put(store, "k", ttl=1000)

        def work(view: Store) -> None:
            view.delete(["k"])
            raise KeyboardInterrupt

        for _ in range(1000):
            with pytest.raises(KeyboardInterrupt):
                store.atomically(work)
        assert sum(map(len, store._alarms.values())) <= 10
        clock.now += 1000
        while store.tidy():
            pass
        assert store.stats().keys == 0

    def test_a_page_that_finds_nothing_ends_early(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        store.set_many({str(number): b"0" for number in range(100_000)})
        page = store.scan(None, "nothing", 10)
        assert page.keys == []
        assert page.cursor is not None
        assert all_keys(store, "nothing") == []

    def test_reads_are_counted(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        store.set("k", b"1")
        put(store, "timed", ttl=1)
        store.get("k")
        store.get("timed")
        store.get("x")
        store.get_many(["k", "x", "y"])
        clock.now += 1
        store.get_many(["timed", "k"])
        stats = store.stats()
        assert (stats.hits, stats.misses, stats.expired) == (4, 4, 1)
