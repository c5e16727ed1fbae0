"""The bound on memory: it is never exceeded, and the accounted bytes are the bytes used."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from typing import Callable, List, Optional, Type

import msgspec
import pytest

from domain import bounded, evicting
from domain.bounded import BoundedStore
from domain.contents import MASK
from domain.errors import OutOfMemory
from domain.evicting import EvictingStore
from domain.memory import STEP_DEADLINES
from domain.sizes import DEADLINE, cost
from domain.store import Entry, Store
from tests import audit
from tests.support import ROOT, TIMEOUT, Clock

TEXT = b'"%020d"' % 0
SIZE = cost("key:00", TEXT)
KINDS = [BoundedStore, EvictingStore]


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
    assert store.stats().memory == audit.memory(store) == 10 * SIZE


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
            lambda: store.update("key:00", lambda _: Entry(TEXT + b" ", 5)),
            lambda: store.set_many({"key:00": TEXT, "key:10": TEXT}, 5),
            lambda: store.update("key:00", lambda _: Entry(TEXT + b" ")),
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

    def test_a_ttl_on_an_existing_key_needs_no_room(self) -> None:
        store = BoundedStore(Clock(), 40 * SIZE)
        fill(store, 40)
        ttls: List[Optional[float]] = [5, 7, 3, None, 9]
        for ttl in ttls:
            _, after = store.update("key:00", lambda _, ttl=ttl: Entry(TEXT, ttl))  # type: ignore[misc]
            assert after == Entry(TEXT, ttl)
        store.set_many({"key:01": TEXT, "key:02": TEXT[1:]}, ttl=5)
        assert store.stats().memory == audit.memory(store) == 40 * SIZE - 1 + 3 * DEADLINE
        with pytest.raises(OutOfMemory, match="max_memory is"):
            store.set("key:40", b"1")
        store.set("key:03", TEXT)

    def test_ttls_in_a_full_store_exceed_the_bound_by_no_more_than_an_eighth(self) -> None:
        store = BoundedStore(Clock(), 1000 * SIZE)
        store.set_many({f"k:{number:04}": TEXT for number in range(1000)})
        for number in range(1000):
            try:
                store.update(f"k:{number:04}", lambda before: before and Entry(before.text, 5))
            except OutOfMemory:
                break
        memory = store.stats().memory
        assert memory is not None
        assert 1125 * SIZE - DEADLINE < memory <= 1125 * SIZE
        store.set("k:0999", TEXT[1:])
        assert store.delete(["k:0999"]) == 1

    def test_many_keys_are_stored_in_any_order_when_they_fit_together(self) -> None:
        store = BoundedStore(Clock(), 12_000)
        texts = {"one": b"1", "two": b"t" * 4000, "big": b"small"}
        for names in itertools.permutations(texts):
            for ttl in (None, 100):
                store.clear()
                store.set_many({"big": b"b" * 8000, "fill": b"f" * 3000})
                store.set_many({name: texts[name] for name in names}, ttl)
                assert store.get_many(texts) == list(texts.values())

    def test_expired_keys_make_room(self) -> None:
        clock = Clock()
        store = BoundedStore(clock, 10_000)
        store.set_many({f"brief:{number:02}": TEXT for number in range(20)}, ttl=1)
        with pytest.raises(OutOfMemory):
            fill(store, 50)
        clock.now += 1
        fill(store, 50)

    @pytest.mark.parametrize("kind", KINDS)
    def test_many_keys_are_all_stored_or_none_when_only_some_fit(
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

    def test_an_item_that_is_due_itself_does_not_count_as_replaced(self) -> None:
        clock = Clock()
        store = BoundedStore(clock, 20 * SIZE)
        fill(store, 17)
        store.set_many({"key:17": TEXT}, ttl=1)
        clock.now += 1
        memory = store.stats().memory
        assert memory is not None
        with pytest.raises(OutOfMemory):
            store.set("key:17", TEXT + b" " * (20 * SIZE - memory + DEADLINE + 1))
        assert store.stats().expired == 1
        store.set("key:17", TEXT + b" " * (20 * SIZE - memory + DEADLINE))
        assert store.stats().memory == 20 * SIZE

    def test_an_undone_ttl_leaves_the_count_as_it_was(self) -> None:
        store = BoundedStore(Clock(), 20 * SIZE)
        fill(store, 10)

        def work(view: Store) -> None:
            view.update("key:00", lambda _: Entry(TEXT, 5))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store.atomically(work)
        assert store.stats().memory == audit.memory(store) == 10 * SIZE

    def test_an_undone_batch_leaves_the_count_as_it_was(self, store: BoundedStore) -> None:
        def work(view: Store) -> None:
            view.delete(["key:00", "key:01"])
            view.clear()
            view.set("other", TEXT)
            view.set("key:20", TEXT * 100)

        with pytest.raises(OutOfMemory):
            store.atomically(work)
        assert store.stats().memory == audit.memory(store) == 10 * SIZE

    def test_a_write_to_a_store_with_more_than_fits_expires_a_bounded_number_of_keys(self) -> None:
        clock = Clock()
        store = BoundedStore(clock, 10 * SIZE)
        store.restore({f"p:{number}": TEXT for number in range(1000)})
        count = bounded.MAX_EXPIRY_STEPS * STEP_DEADLINES
        store.restore({f"t:{number}": b"1" for number in range(count + 1)}, due=5)
        clock.now = 5
        with pytest.raises(OutOfMemory):
            store.set("k", TEXT)
        assert store.stats().expired == count


class TestEvicting:
    def test_what_was_restored_beyond_the_bound_is_removed_in_steps(self) -> None:
        store = EvictingStore(Clock(), 100 * SIZE)
        store.restore({f"key:{number:05}": TEXT for number in range(5000)})
        sizes, more = [store._memory()], True
        while more:
            more = store.fit()
            sizes.append(store._memory())
        steps = [before - after for before, after in zip(sizes, sizes[1:])]
        assert len(steps) > 5
        assert max(steps) <= evicting.FIT_BYTES + SIZE
        assert sizes[-1] <= 100 * SIZE < sizes[-1] + 2 * SIZE
        assert store.stats().evicted == 5000 - store.count()
        assert not store.fit()
        audit.check(store)

    def test_keys_that_are_stored_again_with_longer_texts_can_still_be_evicted(self) -> None:
        for seed in range(3):
            draw = random.Random(seed)
            store = EvictingStore(Clock(), 1 << 20)
            for _ in range(5000):
                store.set(f"k{draw.randrange(30)}", b"v" * draw.randrange(1000, 150_000))
            audit.check(store)

    def test_work_is_in_proportion_to_the_keys_of_a_request(self) -> None:
        for count in (1000, 2000, 4000):
            items = {f"{number:08}": TEXT for number in range(count)}
            store = EvictingStore(Clock(), count * (SIZE + 4))
            store.set_many(items)
            number = 0
            while not store.stats().evicted:
                store.set(f"other:{number}", TEXT)
                number += 1
            before = store._sieve.visited
            store.set_many(dict.fromkeys(items, TEXT + b"1"))
            assert store.get_many(items) == [TEXT + b"1"] * len(items)
            assert store._sieve.visited - before < 4 * count

    def test_items_are_never_evicted_for_one_another(self) -> None:
        store = EvictingStore(Clock(), 10 * SIZE)
        fill(store, 10)
        store.set_many({f"key:{number:02}": TEXT + b"12345" for number in range(9)})
        assert store.stats().evicted == 1
        assert store.get("key:09") is None

    def test_a_refused_batch_has_no_effect_on_the_keys_of_others(self) -> None:
        store = EvictingStore(Clock(), 1000 * SIZE)
        store.set_many({f"k:{number:04}": TEXT for number in range(1000)})
        before = audit.contents(store)

        def work(view: Store) -> None:
            view.set_many({f"new:{number:03}": TEXT for number in range(300)}, ttl=5)
            assert view.count() < 1000
            view.set("too long", b"x" * 1000 * SIZE)

        with pytest.raises(OutOfMemory):
            store.atomically(work)
        assert audit.contents(store) == before
        assert store.stats().evicted == 0
        audit.check(store)

    def test_a_ttl_on_an_existing_key_evicts_others(self) -> None:
        store = EvictingStore(Clock(), 10 * SIZE)
        fill(store, 10)
        store.update("key:03", lambda before: before and Entry(before.text, 5))
        assert store.get("key:03") == TEXT
        memory = store.stats().memory
        assert memory is not None
        assert memory <= 10 * SIZE
        assert store.stats().evicted == -(-DEADLINE // SIZE)

    @pytest.mark.parametrize(
        "change",
        [
            lambda store, key: store.delete([key]),
            lambda store, key: store.set_many({key: TEXT}, ttl=5),
            lambda store, key: store.clear(),
        ],
    )
    def test_the_hand_keeps_no_key_object_that_its_shard_gave_up(
        self, change: Callable[[Store, str], object]
    ) -> None:
        names = (f"{number:06}" for number in itertools.count())
        crowd = list(itertools.islice((name for name in names if hash(name) & MASK == 7), 100))
        store = EvictingStore(Clock(), 90 * SIZE)
        for name in crowd:
            store.set(name, TEXT)
        assert store._sieve._ahead
        store._max_memory *= 2
        for ahead in list(store._sieve._ahead):
            change(store, "".join(list(ahead)))
            audit.check(store)

    def test_items_that_had_a_ttl_once_need_room_for_their_new_one(self) -> None:
        clock = Clock()
        store = EvictingStore(clock, 20 * SIZE + 5 * DEADLINE)
        fill(store, 20)
        items = {f"key:{number:02}": TEXT for number in range(5)}
        store.set_many(items, ttl=1)
        store.set_many(items)
        clock.now += 2
        assert store.stats().memory == store.stats().max_memory
        store.set_many({**items, "key:20": TEXT}, ttl=5)
        memory = store.stats().memory
        assert memory == audit.memory(store)
        assert memory <= 20 * SIZE + 5 * DEADLINE

    def test_reads_keep_no_key_objects(self) -> None:
        store = EvictingStore(Clock(), 1 << 20)
        store.set("k" * 10_000, TEXT)
        wanted = "k" * 9_999 + "k"
        before = sys.getrefcount(wanted)
        assert store.get(wanted) == TEXT
        assert store.get_many([wanted]) == [TEXT]
        store.set(wanted, TEXT)
        assert sys.getrefcount(wanted) == before

    def test_running_out_of_keys_to_evict_is_reported_as_a_bug(self) -> None:
        store = EvictingStore(Clock(), 10 * SIZE)
        store._contents.memory = 10 * SIZE
        with pytest.raises(RuntimeError, match="no key is left"):
            store.set("k", TEXT)

    def test_a_read_key_stays_and_an_unread_key_is_evicted(self) -> None:
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


MEASURE = """
import gc, sys, time
from adapters.process import resident_memory
from domain.bounded import BoundedStore
from domain.evicting import EvictingStore
kind, length = {"refuse": BoundedStore, "evict": EvictingStore}[sys.argv[1]], int(sys.argv[2])
store = kind(time.monotonic, 1 << 40)
before = resident_memory()
for number in range(20_000_000 // (length + 100)):
    store.set(f"key:{number:012}", b'"' + b"x" * length + b'"')
print((resident_memory() - before) / store.stats().memory)
"""


@pytest.mark.parametrize("policy", ["refuse", "evict"])
@pytest.mark.parametrize("length", [20, 100, 1000])
def test_accounted_memory_is_what_the_process_grows_by(policy: str, length: int) -> None:
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
