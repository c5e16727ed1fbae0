"""A read that lets others have turns sees one moment all the same."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from application import long_reads
from application.commands import (
    Batch,
    Command,
    Delete,
    Expire,
    Flush,
    GetDel,
    Incr,
    MDelete,
    MGet,
    MSet,
    Set,
)
from application.executor import LocalExecutor
from domain.bounded import EvictingStore
from domain.errors import NotANumber
from domain.memory import InMemoryStore
from tests.support import Clock, new_session

KEYS = [f"key:{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_reads, "PART", 3)


def filled() -> LocalExecutor:
    executor = LocalExecutor(InMemoryStore(Clock()))
    executor.execute(MSet({key: Raw(b"0") for key in KEYS[::2]}))
    return executor


class Read:
    """An MGET that is carried out in steps."""

    def __init__(self, executor: LocalExecutor, keys: List[str]) -> None:
        self.steps = executor.execute_in_steps(MGet(keys))
        self.result: Optional[Dict[str, bytes]] = None

    def step(self) -> bool:
        """Take one; whether it was not the last."""
        try:
            next(self.steps)
        except StopIteration as end:
            self.result = end.value
            return False
        return True

    def outcome(self) -> Optional[Dict[str, bytes]]:
        """What it gives in the end, if nobody does anything any more."""
        while self.result is None:
            self.step()
        return self.result


key = st.sampled_from(KEYS)
change: st.SearchStrategy[Command[Any]] = st.one_of(
    st.builds(Set, key, st.just(Raw(b"1"))),
    st.builds(Incr, key),
    st.builds(Delete, key),
    st.builds(GetDel, key),
    st.builds(Expire, key, st.just(60.0)),
    st.builds(Flush),
    st.builds(MDelete, st.lists(key)),
    st.builds(MSet, st.dictionaries(key, st.just(Raw(b"2")))),
)
changes = st.one_of(change, st.builds(Batch, st.lists(change)))


@pytest.mark.usefixtures("small_parts")
@given(
    keys=st.lists(key, max_size=20),
    turns=st.lists(st.lists(changes, max_size=4), max_size=40),
    others=st.booleans(),
)
def test_it_gives_what_is_there_in_the_end(
    keys: List[str], turns: List[List[Command[Any]]], others: bool
) -> None:
    executor = filled()
    read, another = Read(executor, keys), Read(executor, KEYS)
    for commands in turns:
        if others:
            another.step()
        if not read.step():
            break
        for command in commands:
            executor.execute(command)
    assert read.outcome() == executor.execute(MGet(keys))


def test_a_batch_that_is_refused_changes_nothing_of_it() -> None:
    executor = filled()
    read = Read(executor, KEYS)
    read.step()
    before = executor.execute(MGet(KEYS))
    no_number = Set(KEYS[1], Raw(b'"x"'))
    with pytest.raises(NotANumber):
        executor.execute(Batch([Flush(), Set(KEYS[0], Raw(b"9")), no_number, Incr(KEYS[1])]))
    assert read.outcome() == before


def test_writers_who_never_rest_do_not_keep_it_from_ending() -> None:
    executor = filled()
    read = Read(executor, KEYS)
    steps = 0
    while read.step():
        steps += 1
        executor.execute(MSet({key: Raw(b"%d" % steps) for key in KEYS}))
    assert steps < len(KEYS) * long_reads.ROUNDS
    assert read.result == dict.fromkeys(KEYS, b"%d" % steps)


def test_whoever_writes_pays_nothing_once_it_has_ended_or_was_given_up() -> None:
    executor = filled()
    bare = executor._store
    given_up, ended = Read(executor, KEYS), Read(executor, KEYS)
    given_up.step()
    ended.step()
    assert executor._store is not bare
    given_up.steps.close()
    assert executor._store is not bare
    ended.outcome()
    assert executor._store is bare


def test_a_client_that_leaves_gives_it_up() -> None:
    store = InMemoryStore(Clock())
    session = new_session(store=store)
    session.receive(b'{"type":"MGET","keys":[%b"a"]}\n' % (b'"a-key-that-is-long",' * 5_000))
    session.advance()
    executor: LocalExecutor = session._execute.__self__  # type: ignore[attr-defined]
    assert executor._readings
    session.close()
    assert not executor._readings


def test_keys_read_count_as_read_for_eviction() -> None:
    store = EvictingStore(Clock(), 100_000)
    executor = LocalExecutor(store)
    executor.execute(MSet({key: Raw(b"0") for key in KEYS}))
    Read(executor, KEYS).outcome()
    assert store.stats().hits == len(KEYS)
