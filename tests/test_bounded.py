"""The bound on memory: nothing is ever held beyond it, and what is counted is what is used."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from functools import partial
from typing import Callable, Dict, List, Optional, Tuple, Type

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import bounded
from domain.bounded import BoundedStore, EvictingStore, cost
from domain.errors import OutOfMemory
from domain.store import Entry, Store
from tests.support import ROOT, TIMEOUT, Clock

TEXT = b'"%020d"' % 0
SIZE = cost("key:00", TEXT)
KINDS = [BoundedStore, EvictingStore]


def counted(store: BoundedStore) -> int:
    """What the keys that are there count for, added up anew."""
    return sum(cost(key, held) for shard in store._shards for key, held in shard.items())


def fill(store: Store, count: int) -> None:
    for number in range(count):
        store.set(f"key:{number:02}", TEXT)


@pytest.mark.parametrize("kind", KINDS)
def test_undoing_a_clear_looks_at_none_of_the_keys(
    kind: Type[BoundedStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = kind(Clock(), 100 * SIZE)
    fill(store, 10)

    def clear_and_fail(view: Store) -> None:
        assert view.clear() == 10
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(bounded, "cost", None)
        with pytest.raises(ZeroDivisionError):
            store.atomically(clear_and_fail)
    assert store.stats().memory == counted(store) == 10 * SIZE


class TestRefusing:
    @pytest.fixture
    def store(self) -> BoundedStore:
        store = BoundedStore(Clock(), 10 * SIZE)
        fill(store, 10)
        return store

    def test_a_write_without_room_is_refused_and_changes_nothing(self, store: BoundedStore) -> None:
        writes: List[Callable[[], object]] = [
            lambda: store.set("key:10", TEXT),
            lambda: store.set("key:00", TEXT * 2),
            lambda: store.set_many({"key:00": b"1", "key:10": TEXT, "key:11": TEXT}),
            lambda: store.update("key:10", lambda _: Entry(TEXT)),
            lambda: store.update("key:00", lambda _: Entry(TEXT, 5)),
        ]
        for write in writes:
            with pytest.raises(OutOfMemory):
                write()
        assert store.count() == 10
        assert store.get("key:00") == TEXT

    def test_reads_and_removals_are_served_and_make_room(self, store: BoundedStore) -> None:
        assert store.get("key:03") == TEXT
        assert store.delete(["key:03"]) == 1
        store.set("key:10", TEXT)
        store.set("key:10", TEXT[:-1])
        assert store.clear() == 10
        fill(store, 10)

    def test_keys_whose_time_is_up_make_room(self) -> None:
        clock = Clock()
        store = BoundedStore(clock, 10_000)
        store.set_many({f"brief:{number:02}": TEXT for number in range(20)}, ttl=1)
        with pytest.raises(OutOfMemory):
            fill(store, 50)
        clock.now += 1
        fill(store, 50)

    @pytest.mark.parametrize("kind", KINDS)
    def test_many_are_stored_all_or_none_though_some_room_can_be_made(
        self, kind: Type[BoundedStore]
    ) -> None:
        clock = Clock()
        store = kind(clock, 10 * SIZE)
        store.update("brief:", lambda _: Entry(TEXT, 1))
        fill(store, 5)
        clock.now += 1
        with pytest.raises(OutOfMemory):
            store.set_many({f"new:{number:02}": TEXT for number in range(20)})
        assert all(store.get(f"new:{number:02}") is None for number in range(20))

    def test_an_undone_batch_leaves_the_count_as_it_was(self, store: BoundedStore) -> None:
        def work(view: Store) -> None:
            view.delete(["key:00", "key:01"])
            view.clear()
            view.set("other", TEXT)
            view.set("key:20", TEXT * 100)

        with pytest.raises(OutOfMemory):
            store.atomically(work)
        assert store.stats().memory == counted(store) == 10 * SIZE


class TestEvicting:
    def test_what_was_read_stays_and_what_was_not_goes(self) -> None:
        store = EvictingStore(Clock(), 1000 * SIZE)
        for number in range(100_000):
            store.set(f"{number:06}", TEXT)
            if number >= 100:
                assert store.get("000042") == TEXT
        assert store.get("000043") is None
        stats = store.stats()
        assert stats.evicted == 100_000 - stats.keys
        assert stats.keys >= 990

    def test_a_value_beyond_the_bound_is_refused(self) -> None:
        store = EvictingStore(Clock(), 10 * SIZE)
        fill(store, 10)
        with pytest.raises(OutOfMemory):
            store.set("key:00", TEXT * 100)
        with pytest.raises(OutOfMemory):
            store.set_many({f"other:{number}": TEXT for number in range(11)})
        assert store.count() == 10


@pytest.mark.parametrize("kind", KINDS)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["set", "timed", "delete", "get", "clear", "undo", "wait", "many"]),
            st.text(alphabet="abcdef", max_size=2),
            st.integers(0, 300),
        ),
        max_size=60,
    )
)
def test_the_bound_holds_whatever_is_done(
    kind: Type[BoundedStore], steps: List[Tuple[str, str, int]]
) -> None:
    clock = Clock()
    store = kind(clock, 2000)

    def undone(view: Store) -> None:
        view.clear()
        view.set("new", b"1")
        raise KeyboardInterrupt

    def replaced(text: bytes, before: Optional[Entry]) -> Entry:
        return Entry(text, 2)

    for name, key, size in steps:
        text = b"0" * size
        act: Dict[str, Callable[[], object]] = {
            "set": partial(store.set, key, text),
            "timed": partial(store.update, key, partial(replaced, text)),
            "many": partial(store.set_many, {key: text, "x": text, "y": text}),
            "delete": partial(store.delete, [key]),
            "get": partial(store.get, key),
            "clear": store.clear,
            "undo": partial(store.atomically, undone),
            "wait": partial(setattr, clock, "now", clock.now + 1),
        }
        with contextlib.suppress(OutOfMemory, KeyboardInterrupt):
            act[name]()
        memory: Optional[int] = store.stats().memory
        assert memory == counted(store)
        assert memory is not None
        assert memory <= 2000
        store.tidy()


MEASURE = """
import gc, sys, time
from adapters.process import resident_memory
from domain.bounded import BoundedStore, EvictingStore
kind, length = {"refuse": BoundedStore, "evict": EvictingStore}[sys.argv[1]], int(sys.argv[2])
store = kind(time.monotonic, 1 << 40)
before = resident_memory()
for number in range(20_000_000 // (length + 100)):
    store.set(f"key:{number:012}", b'"' + b"x" * length + b'"')
print((resident_memory() - before) / store.stats().memory)
"""


@pytest.mark.parametrize("policy", ["refuse", "evict"])
@pytest.mark.parametrize("length", [20, 100, 1000])
def test_what_is_counted_is_what_the_process_grows_by(policy: str, length: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, policy, str(length)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=TIMEOUT,
        check=True,
    )
    assert 0.8 < float(done.stdout) < 1.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_counts_for_the_same_however_it_was_used(kind: Type[BoundedStore]) -> None:
    store = kind(Clock(), 1_000_000)
    keys = ["ключ" * 100 + str(number) for number in range(100)]
    for key in keys:
        store.set(key, b"1")
    for key in store.scan(None, "", 1000).keys:
        msgspec.json.encode(key)  # from now on Python keeps its UTF-8 with it
    store.delete(keys)
    assert store.stats().memory == 0
