"""An MGET in steps, between which others use the store, sees one moment all the same."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Union

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from application import snapshot_read
from application.commands import (
    Batch,
    Command,
    Delete,
    Expire,
    Flush,
    Get,
    GetDel,
    Incr,
    MDelete,
    MGet,
    MSet,
    Set,
)
from application.executor import LocalExecutor
from domain.bounded import BoundedStore
from domain.errors import KvError, NotANumber
from domain.evicting import EvictingStore
from domain.memory import InMemoryStore
from domain.store import Store
from tests.support import BlockingStore, Clock, new_session

KEYS = [f"key:{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_read, "STEP_KEYS", 3)


def filled(store: Optional[Store] = None) -> LocalExecutor:
    executor = LocalExecutor(store or InMemoryStore(Clock()))
    executor.execute(MSet({key: Raw(b"0") for key in KEYS[::2]}))
    return executor


class Read:
    """An MGET that is executed in steps."""

    def __init__(self, executor: LocalExecutor, keys: List[str]) -> None:
        self.steps = executor.execute_in_steps(MGet(keys))
        self.result: Optional[Dict[str, bytes]] = None

    def step(self) -> bool:
        """Takes one; returns whether it was not the last."""
        try:
            next(self.steps)
        except StopIteration as end:
            self.result = end.value
            return False
        return True

    def outcome(self) -> Dict[str, bytes]:
        """Its result if the store is not used any more."""
        while self.result is None:
            self.step()
        return self.result


Wait = float
"""Seconds that pass between two commands."""

NEW_STORES: Dict[str, Callable[[Clock], InMemoryStore]] = {
    "unbounded": InMemoryStore,
    "refuse": partial(BoundedStore, max_memory=3000),
    "evict": partial(EvictingStore, max_memory=3000),
}
key = st.sampled_from(KEYS)
value = st.sampled_from([Raw(b"1"), Raw(b'"%s"' % (b"x" * 200))])
change: st.SearchStrategy[Command[Any]] = st.one_of(
    st.builds(Set, key, value, ttl=st.sampled_from([1, 2, 60.0])),
    st.builds(Set, key, value),
    st.builds(Incr, key),
    st.builds(Delete, key),
    st.builds(GetDel, key),
    st.builds(Get, key),
    st.builds(Expire, key, st.sampled_from([1, 2, 60.0])),
    st.builds(Flush),
    st.builds(MDelete, st.lists(key)),
    st.builds(MSet, st.dictionaries(key, value), ttl=st.sampled_from([1, 2])),
    st.builds(MSet, st.dictionaries(key, value)),
)
acts: st.SearchStrategy[Union[Wait, Command[Any]]] = st.one_of(
    change, st.builds(Batch, st.lists(change)), st.sampled_from([0.5, 1.0])
)


@pytest.mark.parametrize("new_store", NEW_STORES.values(), ids=NEW_STORES)
@pytest.mark.usefixtures("small_parts")
@given(
    keys=st.lists(key, min_size=6, max_size=20),
    turns=st.lists(st.lists(acts, min_size=1, max_size=6), min_size=8, max_size=12),
    others=st.booleans(),
)
def test_the_result_is_the_state_at_the_last_step(
    new_store: Callable[[Clock], InMemoryStore],
    keys: List[str],
    turns: List[List[Union[Wait, Command[Any]]]],
    others: bool,
) -> None:
    clock = Clock()
    executor = filled(new_store(clock))
    read, another = Read(executor, keys), Read(executor, KEYS)
    for turn in turns:
        if others:
            another.step()
        if not read.step():
            break
        for act in turn:
            if isinstance(act, float):
                clock.now += act
            else:
                outcome(executor, act)
    result = read.outcome()
    expected = executor.execute(MGet(keys))
    assert list(result.items()) == list(expected.items())


def outcome(executor: LocalExecutor, command: Command[Any]) -> None:
    with contextlib.suppress(KvError):
        executor.execute(command)


def test_a_pair_with_one_ttl_is_read_whole_or_not_at_all() -> None:
    clock = Clock()
    executor = LocalExecutor(InMemoryStore(clock))
    pair = {"first": Raw(b"1"), "last": Raw(b"1")}
    for elapsed in range(8):
        executor.execute(MSet(pair, ttl=0.5))
        read = Read(executor, ["first", *KEYS, "last"])
        steps = 0
        while read.step():
            steps += 1
            if steps == elapsed:
                clock.now += 0.5
        assert set(read.outcome()) in (set(), set(pair))


def test_keys_due_at_the_end_are_expired_in_steps() -> None:
    clock = Clock()
    store = InMemoryStore(clock)
    executor = LocalExecutor(store)
    executor.execute(MSet({str(number): Raw(b"1") for number in range(30)}, ttl=1))
    executor.execute(MSet({"brief": Raw(b"1"), "lasting": Raw(b"1")}, ttl=2))
    read = Read(executor, ["brief", "lasting", "29"])
    read.step()
    clock.now += 1
    steps = 0
    while read.step():
        steps += 1
        if steps == 5:
            executor.execute(Expire("lasting", 100))
            clock.now += 1
    assert steps >= 10
    assert read.outcome() == {"lasting": b"1"}


@pytest.mark.parametrize(("count", "stepped"), [(10_000, 0), (12, 0)])
def test_a_store_that_waits_is_read_in_one_step_and_never_shows_half_of_an_mset(
    count: int, stepped: int
) -> None:
    executor = LocalExecutor(BlockingStore(Clock()))
    keys = [str(number) for number in range(count)]
    done = False

    def write() -> None:
        for turn in range(50):
            executor.execute(MSet(dict.fromkeys(keys, Raw(b"%d" % turn))))

    writer = gevent.spawn(write)
    seen = []
    while not done:
        done = writer.ready()
        read = Read(executor, keys)
        steps = 0
        while read.step():
            steps += 1
            gevent.sleep(0)
        assert steps == stepped
        seen.append(set(read.outcome().values()))
    writer.get()
    assert all(len(values) <= 1 for values in seen)
    assert len({text for values in seen for text in values}) > 3


def test_a_refused_batch_does_not_change_a_read_in_steps() -> None:
    executor = filled()
    read = Read(executor, KEYS)
    read.step()
    before = executor.execute(MGet(KEYS))
    no_number = Set(KEYS[1], Raw(b'"x"'))
    with pytest.raises(NotANumber):
        executor.execute(Batch([Flush(), Set(KEYS[0], Raw(b"9")), no_number, Incr(KEYS[1])]))
    assert read.outcome() == before


def test_a_read_in_steps_ends_under_continuous_writes() -> None:
    executor = filled()
    read = Read(executor, KEYS)
    steps = 0
    while read.step():
        steps += 1
        executor.execute(MSet({key: Raw(b"%d" % steps) for key in KEYS}))
    assert steps == len(KEYS) // snapshot_read.STEP_KEYS
    assert read.result == dict.fromkeys(KEYS, b"%d" % steps)


def test_each_key_is_read_once_whatever_is_written_meanwhile() -> None:
    store = InMemoryStore(Clock())
    executor = filled(store)
    hits, misses = store.stats().hits, store.stats().misses
    read = Read(executor, KEYS)
    while read.step():
        executor.execute(MSet({key: Raw(b"1") for key in KEYS}))
    stats = store.stats()
    assert stats.hits + stats.misses - hits - misses == len(KEYS)


@pytest.mark.parametrize("end", [Read.outcome, lambda read: read.steps.close()])
def test_a_finished_or_abandoned_read_costs_writers_nothing(
    end: Callable[[Read], object],
) -> None:
    store = InMemoryStore(Clock())
    executor = filled(store)
    first, second = Read(executor, KEYS), Read(executor, KEYS)
    assert not store._listeners
    first.step()
    second.step()
    end(first)
    assert len(store._listeners) == 1
    end(second)
    assert not store._listeners
    assert store._plain


def test_a_read_in_steps_is_abandoned_when_its_client_leaves() -> None:
    store = InMemoryStore(Clock())
    session = new_session(store=store)
    session.receive(b'{"type":"MGET","keys":[%b"a"]}\n' % (b'"a-key-that-is-long",' * 5_000))
    session.advance()
    assert store._listeners
    session.close()
    assert not store._listeners


def test_keys_read_count_as_read_for_eviction() -> None:
    store = EvictingStore(Clock(), 100_000)
    executor = filled(store)
    Read(executor, KEYS).outcome()
    assert store.stats().hits == len(KEYS) // 2
    assert set(store._touched) == {hash(key) for key in KEYS[::2]}
