"""What every store promises."""

from __future__ import annotations

import contextlib
import itertools
from functools import partial
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import memory
from domain.bounded import BoundedStore
from domain.contents import MASK
from domain.deadlines import Deadline
from domain.effects import Cleared, Effect, Listener, Observable, Put, PutMany, Reason, Removed
from domain.errors import BadRequest
from domain.evicting import EvictingStore
from domain.memory import InMemoryStore
from domain.store import Entry, Maintained, Store
from sqlite_store import SqliteStore
from tests.engines import EngineStore, on_engines
from tests.model import ModelStore
from tests.support import BlockingStore, Clock

NewStore = Callable[[Callable[[], float]], Store]
OBSERVABLE: List[NewStore] = [
    InMemoryStore,
    partial(BoundedStore, max_memory=1 << 30),
    partial(EvictingStore, max_memory=1 << 30),
]
STORES: List[NewStore] = [
    *OBSERVABLE,
    BlockingStore,
    ModelStore,
    partial(SqliteStore.open, ":memory:"),
    *on_engines(),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Store]:
    with closing(request.param(clock)) as made:
        yield made


@contextlib.contextmanager
def closing(store: Store) -> Iterator[Store]:
    """A store that is closed at the end, if it is one that can be."""
    try:
        yield store
    finally:
        if isinstance(store, (SqliteStore, EngineStore)):
            store.close()


def maintain(store: object) -> int:
    """Runs all maintenance there is; returns in how many steps that was done."""
    steps = 0
    while isinstance(store, Maintained) and store.run_maintenance():
        steps += 1
    return steps


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

    def test_a_key_that_was_set_has_its_value(self, store: Store) -> None:
        store.set("k", b"1")
        assert store.get("k") == b"1"

    def test_setting_a_key_again_replaces_its_value(self, store: Store) -> None:
        store.set("k", b"1")
        store.set("k", b"2")
        assert store.get("k") == b"2"

    def test_get_many_returns_a_text_or_none_for_each_key(self, store: Store) -> None:
        store.set_many({"a": b"1", "b": b"2"})
        assert store.get_many(["b", "x", "a", "b"]) == [b"2", None, b"1", b"2"]
        assert store.get_many([]) == []

    def test_setting_many_keys_keeps_the_others(self, store: Store) -> None:
        store.set("old", b"0")
        store.set_many({"a": b"1"})
        assert store.get_many(["old", "a"]) == [b"0", b"1"]

    def test_delete_returns_how_many_keys_were_there(self, store: Store) -> None:
        store.set_many({"a": b"null", "b": b"1", "c": b"2"})
        assert store.delete(["a", "c", "x", "a"]) == 2
        assert store.delete(["a"]) == 0
        assert store.get_many("abc") == [None, b"1", None]

    def test_clear_returns_how_many_keys_there_were(self, store: Store) -> None:
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
    def test_an_update_calls_the_change_with_the_current_entry(self, store: Store) -> None:
        put(store, "k", b"1", ttl=5)
        seen: List[Optional[Entry]] = []
        for key in ("k", "x"):
            store.update(key, seen.append)
        assert seen == [Entry(b"1", 5), None]

    def test_an_update_stores_what_the_change_returns(self, store: Store) -> None:
        before, after = store.update("k", lambda _: Entry(b"1"))
        assert (before, after, store.get("k")) == (None, Entry(b"1"), b"1")
        before, after = store.update("k", lambda _: None)
        assert (before, after, store.get("k")) == (Entry(b"1"), None, None)

    def test_an_update_that_returns_the_same_entry_changes_nothing(
        self, store: Store, clock: Clock
    ) -> None:
        put(store, "k", ttl=5)
        before, after = store.update("k", lambda before: before)
        assert after is before
        clock.now += 5
        assert store.get("k") is None

    def test_an_update_whose_change_raises_changes_nothing(self, store: Store) -> None:
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

    @pytest.mark.parametrize("maintained", [False, True])
    def test_an_expired_key_is_gone_for_every_method(
        self, store: Store, clock: Clock, maintained: bool
    ) -> None:
        store.set_many({"a": b"1", "b": b"2"}, ttl=1)
        store.set("c", b"3")
        clock.now += 1
        if maintained:
            maintain(store)
        assert store.get_many("abca") == [None, None, b"3", None]
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

    def test_setting_a_key_again_clears_its_ttl(self, store: Store, clock: Clock) -> None:
        put(store, "k", ttl=1)
        store.set("k", b"2")
        put(store, "many", ttl=1)
        store.set_many({"many": b"2"})
        clock.now += 2
        maintain(store)
        assert store.get_many(["k", "many"]) == [b"2", b"2"]

    def test_a_new_ttl_replaces_the_old_one(self, store: Store, clock: Clock) -> None:
        put(store, "k", ttl=1)
        put(store, "k", ttl=10)
        clock.now += 9
        maintain(store)
        assert store.get("k") == b"1"


class TestScans:
    def test_the_pages_of_a_scan_hold_every_key_once(self, store: Store) -> None:
        keys = [f"key:{number}" for number in range(500)]
        store.set_many(dict.fromkeys(keys, b"1"))
        store.set("other", b"1")
        for limit in (1, 7, 1000):
            assert sorted(all_keys(store, "key:", limit)) == sorted(keys)
        assert all_keys(store, "nothing") == []

    @pytest.mark.parametrize("cursor", ["", "x", "-1", f"{1 << 64}", "1" * 5000, "²"])
    def test_a_cursor_that_no_scan_returned_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(BadRequest, match="cursor"):
            store.scan(cursor, "", 10)

    @pytest.mark.parametrize("new_store", STORES)
    @given(
        kept=st.sets(st.text(max_size=3), max_size=30),
        others=st.lists(st.text(max_size=2), max_size=30),
        limit=st.integers(1, 10),
    )
    def test_a_scan_returns_a_key_that_stays_though_others_come_and_go(
        self, new_store: NewStore, kept: Set[str], others: List[str], limit: int
    ) -> None:
        with closing(new_store(Clock())) as store:
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
    def test_atomic_work_that_returns_has_its_effect(self, store: Store) -> None:
        store.set("a", b"0")

        def work(view: Store) -> int:
            view.set("a", b"1")
            view.set_many({"b": b"2"})
            return view.clear() + view.count()

        assert store.atomically(work) == 2
        assert store.count() == 0

    def test_atomic_work_that_raises_is_undone_with_its_ttls(
        self, store: Store, clock: Clock
    ) -> None:
        store.set_many({"a": b"1", "b": b"2"})
        store.set_many({"brief": b"3", "timed": b"4"}, ttl=5)

        def work(view: Store) -> None:
            view.set("a", b'"changed"')
            view.set_many({"brief": b'"changed"', "new": b'"new"'}, ttl=100)
            view.update("timed", lambda _: Entry(b'"kept"'))
            view.delete(["b", "brief"])
            view.clear()
            view.set("after", b"1")
            view.atomically(lambda inner: inner.set("inner", b"1"))
            assert view.get_many(["a", "after"]) == [None, b"1"]
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.atomically(work)
        maintain(store)
        everything = ["a", "b", "brief", "timed", "new", "after", "inner"]
        assert store.get_many(everything) == [b"1", b"2", b"3", b"4", None, None, None]
        clock.now += 5
        maintain(store)
        assert store.get_many(everything) == [b"1", b"2", *[None] * 5]
        assert store.count() == 2


class TestMaintenance:
    def test_maintenance_ends_and_changes_no_result(self, store: Store) -> None:
        store.set_many({str(number): b"0" for number in range(5000)})
        store.clear()
        store.set("kept", b"1")
        assert maintain(store) < 5000
        assert maintain(store) == 0
        assert store.get("kept") == b"1"

    def test_what_a_call_does_not_report_as_due_is_gone(self, clock: Clock, store: Store) -> None:
        if not isinstance(store, Maintained):
            pytest.skip("this store expires nothing in the background")
        store.set_many({str(number): b"0" for number in range(10)}, ttl=1)
        clock.now += 1
        removed: List[Effect] = []
        if isinstance(store, Observable):
            store.subscribe(removed.extend)
        assert [store.expire_due(4) for _ in range(4)] == [4, 4, 2, 0]
        assert len(removed) == (10 if isinstance(store, Observable) else 0)
        assert store.stats().keys == 0


class Replay:
    """The contents that the effects of a store tell, request by request."""

    def __init__(self, store: Store) -> None:
        assert isinstance(store, Observable)
        self.requests: List[List[Effect]] = []
        self.texts: Dict[str, bytes] = {}
        self.end = store.subscribe(self._listen)

    def _listen(self, effects: Sequence[Effect]) -> None:
        self.requests.append(list(effects))
        for effect in effects:
            if isinstance(effect, Put):
                self.texts[effect.key] = effect.text
            elif isinstance(effect, PutMany):
                self.texts.update(effect.items)
            elif isinstance(effect, Removed):
                del self.texts[effect.key]
            else:
                self.texts.clear()

    def told(self) -> List[List[Effect]]:
        """What was told since this was last asked, request by request."""
        told, self.requests = self.requests, []
        return told


class TestEffects:
    @pytest.fixture
    def store(self, clock: Clock, request: pytest.FixtureRequest) -> Store:
        made: Store = request.param(clock)
        return made

    @pytest.fixture
    def replay(self, store: Store) -> Replay:
        return Replay(store)

    pytestmark = pytest.mark.parametrize("store", OBSERVABLE, indirect=True)

    def test_each_request_tells_what_it_did(
        self, store: Store, replay: Replay, clock: Clock
    ) -> None:
        requests: List[Tuple[Callable[[], object], List[Effect]]] = [
            (lambda: store.set("a", b"1"), [Put("a", b"1")]),
            (
                lambda: store.set_many({"a": b"2", "b": b"3"}, 5),
                [PutMany({"a": b"2", "b": b"3"}, clock.now + 5)],
            ),
            (lambda: store.set_many({"d": b"5"}), [PutMany({"d": b"5"})]),
            (lambda: put(store, "c", b"4", 7), [Put("c", b"4", clock.now + 7)]),
            (lambda: put(store, "c", b"4"), [Put("c", b"4")]),
            (lambda: store.delete(["c", "x", "c"]), [Removed("c", Reason.DELETED)]),
            (lambda: store.update("b", lambda _: None), [Removed("b", Reason.DELETED)]),
            (lambda: store.clear(), [Cleared()]),
        ]
        for act, effects in requests:
            act()
            assert replay.told() == [effects]

    def test_what_changes_nothing_tells_nothing(self, store: Store, replay: Replay) -> None:
        store.get("x")
        store.get_many(["x"])
        store.update("x", lambda before: before)
        store.delete(["x"])
        store.set_many({})
        store.scan(None, "", 10)
        store.count()
        maintain(store)
        assert store.atomically(lambda view: view.get("x")) is None
        assert replay.told() == []

    @pytest.mark.parametrize(
        "notice",
        [
            lambda store: store.get("k"),
            lambda store: store.get_many(["k", "x"]),
            lambda store: store.update("k", lambda before: before),
            lambda store: store.delete(["k"]),
            lambda store: store.count(),
            lambda store: store.expire_due(10),
            lambda store: store.run_maintenance(),
        ],
    )
    def test_expiry_is_told_by_the_request_that_notices_it(
        self, store: Store, replay: Replay, clock: Clock, notice: Callable[[Store], object]
    ) -> None:
        put(store, "k", ttl=1)
        clock.now += 1
        replay.told()
        notice(store)
        assert replay.told() == [[Removed("k", Reason.EXPIRED)]]
        maintain(store)
        assert replay.told() == []

    def test_a_refused_change_tells_the_expiry_that_it_noticed(
        self, store: Store, replay: Replay, clock: Clock
    ) -> None:
        put(store, "k", ttl=1)
        clock.now += 1
        replay.told()
        with pytest.raises(ZeroDivisionError):
            store.update("k", lambda _: Entry(b"%d" % (1 // 0)))
        assert replay.told() == [[Removed("k", Reason.EXPIRED)]]

    def test_all_effects_of_atomic_work_are_told_together(
        self, store: Store, replay: Replay
    ) -> None:
        def work(view: Store) -> None:
            view.set("a", b"1")
            view.atomically(lambda inner: inner.set("b", b"2"))
            view.clear()
            view.set("c", b"3")
            assert replay.requests == []

        store.atomically(work)
        assert replay.told() == [
            [Put("a", b"1"), Put("b", b"2"), Cleared(), Put("c", b"3")],
        ]

    def test_undone_work_has_no_effects(self, store: Store, replay: Replay, clock: Clock) -> None:
        store.set_many({"a": b"1", "brief": b"2"}, ttl=1)
        replay.told()

        def work(view: Store) -> None:
            view.set("a", b"9")
            view.set("b", b"9")
            clock.now += 1
            assert view.get("brief") is None
            view.clear()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.atomically(work)
        assert replay.told() == []
        assert store.count() == 0
        assert replay.texts == {}

    def test_a_listener_that_unsubscribed_hears_nothing(self, store: Store) -> None:
        first, second = Replay(store), Replay(store)
        first.end()
        first.end()
        store.set("k", b"1")
        assert (first.told(), second.told()) == ([], [[Put("k", b"1")]])
        second.end()
        store.set("k", b"2")
        assert second.told() == []

    @pytest.mark.parametrize("other", [True, False])
    def test_one_listener_may_be_subscribed_twice(self, store: Store, other: bool) -> None:
        told: List[Effect] = []
        listener: Listener = told.extend
        ends = [store.subscribe(listener) for _ in range(2)]  # type: ignore[attr-defined]
        ends[other]()
        ends[other]()
        store.set("k", b"1")
        assert told == [Put("k", b"1")]


class TestInMemory:
    """What is promised of memory and of pauses, where it can be counted."""

    def test_expired_keys_are_freed_though_no_command_names_them(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        store.set_many({str(number): b"0" for number in range(10_000)}, ttl=1)
        clock.now += 1
        assert store.stats().keys == 10_000
        assert maintain(store) >= 10_000 // memory.STEP_DEADLINES
        assert store.stats().keys == 0
        assert store.stats().expired == 10_000
        assert entries(store) == []

    def test_expired_keys_are_freed_a_few_at_a_time(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        store.set_many({str(number): b"0" for number in range(10)}, 1.0)
        store.set("stays", b"0")
        clock.now += 1.0
        assert [store.expire_due(4) for _ in range(4)] == [4, 4, 2, 0]
        assert store.stats().expired == 10
        assert store.stats().keys == 1

    @pytest.mark.parametrize("ttl", [lambda turn: 1000.0, lambda turn: 1e6 - turn])
    def test_a_key_stored_over_and_over_leaves_no_deadlines(
        self, clock: Clock, ttl: Callable[[int], float]
    ) -> None:
        store = InMemoryStore(clock)
        for turn in range(100_000):
            put(store, "hot", ttl=ttl(turn))
        assert len(entries(store)) <= 20

    def test_a_key_that_is_deleted_or_stored_without_a_ttl_is_not_kept_by_its_deadline(
        self, clock: Clock
    ) -> None:
        store = InMemoryStore(clock)
        for number in range(3000):
            long_key = f"{number}{'x' * 10_000}"
            put(store, long_key, ttl=1e6)
            if number % 2:
                store.set(long_key, b"1")
            store.delete([long_key])
        assert sum(len(key) for _, key in entries(store)) < 3_000_000

    def test_deadlines_of_deleted_keys_do_not_outlive_the_others_of_their_shard(
        self, clock: Clock
    ) -> None:
        store = InMemoryStore(clock)
        names = (str(number) for number in itertools.count())
        crowd = list(itertools.islice((name for name in names if hash(name) & MASK == 0), 40))
        store.set_many(dict.fromkeys(crowd[:30], b"1"), ttl=1)
        store.set_many(dict.fromkeys(crowd[30:], b"1"), ttl=1000)
        store.delete(crowd[30:])
        clock.now += 1
        maintain(store)
        assert entries(store) == []

    def test_a_deadline_holds_the_key_object_of_the_shard(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        for ttl in (None, 5, None, 7, 3, 9, None, 2):
            put(store, "".join(["a", " key"]), ttl=ttl)
        (kept,) = [key for shard in store._shards for key in shard]
        assert {id(key) for _, key in entries(store)} == {id(kept)}

    def test_a_key_that_was_stored_again_expires_at_its_new_time(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        for first in (1, 9):
            for second in (2, 8):
                put(store, "k", ttl=first)
                store.set("k", b"1")
                put(store, "k", ttl=second)
                clock.now += second - 0.5
                maintain(store)
                assert store.get("k") == b"1"
                clock.now += 0.5
                maintain(store)
                assert store.stats().keys == 0

    def test_an_update_that_keeps_the_ttl_keeps_the_very_instant(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        clock.now = 1000.1
        put(store, "k", ttl=0.7)
        due = clock.now + 0.7
        for _ in range(1000):
            clock.now += 0.0001
            store.update("k", lambda before: before and Entry(b"2", before.ttl))
        clock.now = due - 1e-9
        assert store.get("k") == b"2"
        assert len(entries(store)) == 1
        clock.now = due
        assert store.get("k") is None

    def test_after_an_undone_batch_a_key_still_expires_at_its_time(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        put(store, "k", ttl=10)

        def work(view: Store) -> None:
            for _ in range(100):
                view.update("k", lambda _: Entry(b"2", 1000))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.atomically(work)
        clock.now += 10
        maintain(store)
        assert store.stats().keys == 0

    def test_batches_undone_over_and_over_leave_no_deadlines(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        put(store, "k", ttl=1000)

        def work(view: Store) -> None:
            view.delete(["k"])
            raise KeyboardInterrupt

        for _ in range(1000):
            with pytest.raises(KeyboardInterrupt):
                store.atomically(work)
        assert len(entries(store)) <= 20
        clock.now += 1000
        maintain(store)
        assert store.stats().keys == 0

    def test_a_page_that_finds_nothing_ends_early(self, clock: Clock) -> None:
        store = InMemoryStore(clock)
        store.set_many({str(number): b"0" for number in range(100_000)})
        page = store.scan(None, "nothing", 10)
        assert page.keys == []
        assert page.cursor is not None
        assert all_keys(store, "nothing") == []

    @pytest.mark.parametrize("new_store", OBSERVABLE)
    def test_hits_and_misses_count_the_keys_asked_for(
        self, clock: Clock, new_store: NewStore
    ) -> None:
        store = new_store(clock)
        store.set("k", b"1")
        put(store, "timed", ttl=1)
        store.get("k")
        store.get("timed")
        store.get("x")
        store.get_many(["k", "x", "y", "k", "x"])
        clock.now += 1
        store.get_many(["timed", "k", "timed"])
        stats = store.stats()
        assert (stats.hits, stats.misses, stats.expired) == (5, 6, 1)


def entries(store: InMemoryStore) -> List[Deadline]:
    """What all heaps hold."""
    return [entry for heap in store._contents.deadlines.heaps() for entry in heap]
