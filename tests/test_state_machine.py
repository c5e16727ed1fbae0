"""Random commands, times and batches: every executor agrees with the model, refusals included."""

from __future__ import annotations

import contextlib
from typing import Any, List

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec import Raw

from application.commands import (
    Batch,
    Command,
    Count,
    Delete,
    Exists,
    Expire,
    Flush,
    Get,
    GetDel,
    GetSet,
    GetTtl,
    Incr,
    MDelete,
    MGet,
    MSet,
    Persist,
    Scan,
    Set,
)
from application.executor import LocalExecutor
from domain.errors import KvError
from domain.memory import InMemoryStore
from domain.store import Store
from sqlite_store import SqliteStore
from tests.engines import on_engines
from tests.model import ModelStore
from tests.support import Clock, served, server_container

keys = st.sampled_from(["a", "b", "c", ""])
texts = st.sampled_from([b"0", b"1", b"1.0", b"9223372036854775807", b"true", b'"x"', b'[{"a":1}]'])
values = texts.map(Raw)
ttls = st.sampled_from([0.5, 1, 3, 0])
numbers = st.sampled_from([1, -1, 0.5, 2**62, 1e308])


def some(kind: Any, *needed: Any, **optional: Any) -> st.SearchStrategy[Command[Any]]:
    """Commands of a kind, each optional member there or not."""
    given = st.fixed_dictionaries({}, optional=optional)
    return st.builds(lambda members, more: kind(*members, **more), st.tuples(*needed), given)


commands: st.SearchStrategy[Command[Any]] = st.one_of(
    some(Get, keys),
    some(
        Set,
        keys,
        values,
        ttl=ttls,
        keep_ttl=st.booleans(),
        if_=st.sampled_from(["absent", "present"]),
        if_equals=values,
    ),
    some(Delete, keys, if_equals=values),
    some(MGet, st.lists(keys)),
    some(MSet, st.dictionaries(keys, values), ttl=ttls, if_=st.just("absent")),
    some(MDelete, st.lists(keys)),
    some(Exists, keys),
    some(GetSet, keys, values, ttl=ttls),
    some(GetDel, keys),
    some(Incr, keys, by=numbers, ttl=ttls),
    some(GetTtl, keys),
    some(Expire, keys, ttls),
    some(Persist, keys),
    some(Count),
    some(Flush),
)


def outcome(executor: Any, command: Command[Any]) -> object:
    """The result in a form that can be compared, or the code of the refusal and where it was."""
    try:
        result: object = executor.execute(command)
    except KvError as error:
        return error.code, error.index
    return result


class EveryExecutorAgrees(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.clock = Clock()
        self.store = InMemoryStore(self.clock)
        container = server_container()
        container.clock.override(self.clock)
        self.stack = contextlib.ExitStack()
        self.model = LocalExecutor(ModelStore(self.clock))
        database = SqliteStore.open(":memory:", self.clock)
        self.stack.callback(database.close)
        engines = [new_store(self.clock) for new_store in on_engines()]
        for store in engines:
            self.stack.callback(store.close)
        stores: List[Store] = [self.store, database, *engines]
        self.others = list(map(LocalExecutor, stores))
        self.remote = self.stack.enter_context(served(container))

    def agree(self, command: Command[Any]) -> None:
        expected = outcome(self.model, command)
        for executor in (*self.others, self.remote):
            assert outcome(executor, command) == expected

    @rule(command=commands)
    def run(self, command: Command[Any]) -> None:
        self.agree(command)

    @rule(batch=st.lists(commands, max_size=6))
    def run_batch(self, batch: List[Command[Any]]) -> None:
        self.agree(Batch(batch))

    @rule(seconds=st.sampled_from([0.25, 0.5, 1, 5]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def maintain(self) -> None:
        self.store.run_maintenance()

    @invariant()
    def the_same_keys_are_there(self) -> None:
        pages = [outcome(executor, Scan(limit=100)) for executor in (self.others[0], self.model)]
        seen, expected = (sorted(page.keys) for page in pages)  # type: ignore[attr-defined]
        assert seen == expected
        assert self.store.count() == len(expected)

    def teardown(self) -> None:
        self.stack.close()


TestEveryExecutorAgrees = EveryExecutorAgrees.TestCase
TestEveryExecutorAgrees.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
