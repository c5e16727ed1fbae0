"""Random operations on the stores in memory, undone ones included: after each of them the counted
bytes are those stored, and the work was in proportion to the writes and removals."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import Any, Callable, Collection, Dict, List, Optional, Sequence, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bounded import OVERDRAFT, BoundedStore
from domain.contents import MASK
from domain.effects import Cleared, Effect, Put, PutMany
from domain.errors import OutOfMemory
from domain.evicting import EvictingStore
from domain.memory import InMemoryStore
from domain.store import Entry, Store
from tests import audit
from tests.support import Clock

BOUND = 6000
STORES: Dict[str, Callable[[Clock], InMemoryStore]] = {
    "unbounded": InMemoryStore,
    "refuse": partial(BoundedStore, max_memory=BOUND),
    "evict": partial(EvictingStore, max_memory=BOUND),
}
AFFIXES = ["", "", "x" * 80, "é" * 40, "🗝" * 60, "x" * 1000]


def _crowded_keys() -> List[str]:
    """Keys of three shards, so that these are full of them."""
    names = (f"{number}{affix}" for number in itertools.count() for affix in AFFIXES)
    return list(itertools.islice((name for name in names if hash(name) & MASK < 3), 30))


keys = st.sampled_from(_crowded_keys())
some_keys = st.lists(keys, max_size=8)
texts = st.sampled_from([0, 1, 30, 30, 300, 300, 1000, 3000]).map(lambda size: b"0" * size)
too_long = st.just(b"0" * 7000)
items = st.dictionaries(keys, texts, min_size=1, max_size=12)
ttls = st.sampled_from([None, None, 0.5, 1.0, 3.0, 1000.0])

Operation = Tuple[Any, ...]
"""The name of a method of `Actor`, and its arguments."""

ARGUMENTS: Dict[str, Tuple[int, Sequence[st.SearchStrategy[Any]]]] = {
    "set": (8, (keys, texts)),
    "set_many": (8, (items, ttls)),
    "replace": (4, (keys, texts, ttls)),
    "rewrite": (4, (keys, st.one_of(texts, too_long))),
    "expire": (4, (keys, ttls)),
    "delete": (2, (some_keys,)),
    "get": (3, (keys,)),
    "get_many": (2, (some_keys,)),
    "expire_due": (1, (st.integers(1, 5),)),
    "maintain": (1, ()),
    "wait": (2, (st.sampled_from([0.25, 0.5, 2.0]),)),
    "clear": (1, ()),
}
"""How often each is done, in proportion, and with what."""

NAMES = [name for name, (weight, _) in ARGUMENTS.items() for _ in range(weight)]


def operation_of(name: str) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just(name), *ARGUMENTS[name][1])


operation = st.sampled_from(NAMES).flatmap(operation_of)
batch_of = st.tuples(st.just("batch"), st.lists(operation, min_size=1, max_size=6), st.booleans())
operations = st.lists(
    st.sampled_from([*NAMES, *["batch"] * 6]).flatmap(
        lambda name: batch_of if name == "batch" else operation_of(name)
    ),
    min_size=20,
    max_size=60,
)
"""At least some: left to itself, Hypothesis makes most lists too short to fill a store."""


class Undone(Exception):
    """Raised in the middle of a batch."""


class Actor:
    """Does operations to a store and checks it after each."""

    def __init__(self, store: InMemoryStore, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.told: Dict[str, Tuple[bytes, Optional[float]]] = {}
        self.allowance = 100
        """How many entries and keys a store may have looked at by now."""
        store.subscribe(self._listen)

    def do(self, operation: Operation) -> None:
        before = audit.contents(self.store), self.store.stats(), self.clock.now
        refused = self._refused(operation)
        self._check(refused, *before)

    def _refused(self, operation: Operation) -> bool:
        try:
            self._run(self.store, operation)
        except (OutOfMemory, Undone):
            return True
        return False

    def _run(self, view: Any, operation: Operation) -> None:
        name, *arguments = operation
        getattr(self, f"_{name}")(view, *arguments)

    def _check(self, refused: bool, contents: Dict[str, Any], stats: Any, started: float) -> None:
        audit.check(self.store)
        after = audit.contents(self.store)
        assert self.told == after
        if refused:
            gone = set(contents) - set(after)
            assert all((contents[key][1] or self.clock.now + 1) <= self.clock.now for key in gone)
            assert {key: contents[key] for key in after} == after
            assert self.store.stats().evicted == stats.evicted
        memory = self.store.stats().memory
        if memory is not None:
            evicting = isinstance(self.store, EvictingStore)
            assert memory <= (BOUND if evicting else BOUND + BOUND // OVERDRAFT)
        freed = len(set(contents) - set(after))
        self.allowance += 4 * freed
        assert self._work() <= self.allowance

    def _work(self) -> int:
        work = self.store._contents.deadlines.visited
        if isinstance(self.store, EvictingStore):
            work += self.store._sieve.visited
        return work

    def _listen(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Put):
                self.told[effect.key] = (effect.text, effect.due)
            elif isinstance(effect, PutMany):
                self.told.update((key, (text, effect.due)) for key, text in effect.items.items())
            elif isinstance(effect, Cleared):
                self.told.clear()
            else:
                del self.told[effect.key]

    # The operations; each allows for some work.

    def _set(self, view: Store, key: str, text: bytes) -> None:
        self._allow([key])
        view.set(key, text)
        assert view.get(key) == text

    def _set_many(self, view: Store, items: Dict[str, bytes], ttl: Optional[float]) -> None:
        self._allow(items)
        view.set_many(items, ttl)
        assert view.get_many(items) == list(items.values())

    def _replace(self, view: Store, key: str, text: bytes, ttl: Optional[float]) -> None:
        self._allow([key])
        view.update(key, lambda _: Entry(text, ttl))

    def _rewrite(self, view: Store, key: str, text: bytes) -> None:
        self._allow([key])
        view.update(key, lambda before: before and replace_text(before, text))

    def _expire(self, view: Store, key: str, ttl: Optional[float]) -> None:
        self._allow([key])
        view.update(key, lambda before: before and Entry(before.text, ttl))

    def _delete(self, view: Store, keys: List[str]) -> None:
        self._allow(keys)
        view.delete(keys)

    def _get(self, view: Store, key: str) -> None:
        self._allow([key])
        view.get(key)

    def _get_many(self, view: Store, keys: List[str]) -> None:
        self._allow(keys)
        view.get_many(keys)

    def _clear(self, view: Store) -> None:
        view.clear()

    def _expire_due(self, view: Any, limit: int) -> None:
        view.expire_due(limit)

    def _maintain(self, view: Any) -> None:
        view.run_maintenance()

    def _wait(self, view: Store, seconds: float) -> None:
        self.clock.now += seconds

    def _batch(self, view: Store, operations: List[Operation], undo: bool) -> None:
        def work(inner: Store) -> None:
            for operation in operations:
                self._run(inner, operation)
            if undo:
                raise Undone

        view.atomically(work)

    def _allow(self, keys: Collection[str]) -> None:
        self.allowance += 12 * len(keys)


def replace_text(entry: Entry, text: bytes) -> Entry:
    return entry._replace(text=text)


@pytest.mark.parametrize("new_store", STORES.values(), ids=STORES)
def test_the_invariants_hold_after_each_operation(
    new_store: Callable[[Clock], InMemoryStore], long: bool
) -> None:
    @settings(max_examples=1000 if long else 30, database=None)
    @given(operations)
    def run(operations: List[Operation]) -> None:
        clock = Clock()
        actor = Actor(new_store(clock), clock)
        for operation in operations:
            actor.do(operation)

    end = time.monotonic() + (200.0 if long else 0.0)
    run()
    while time.monotonic() < end:
        run()
