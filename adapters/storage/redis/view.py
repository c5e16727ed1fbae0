"""What a transaction reads and writes: all or nothing, against what it has seen.

Rule: reads go to the engine once for each key; writes stay here until `commit`, which has an effect
only if the engine still has what was read. So nothing is locked, and no other client waits.
"""

from __future__ import annotations

import math
from typing import (
    Callable,
    Collection,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Tuple,
    TypeVar,
)

from adapters.storage.redis import scripts
from adapters.storage.redis.texts import Names, to_engine
from domain.errors import BadRequest
from domain.scanning import LEAST_HASH, first_by_hash, number_of
from domain.store import Change, Entry, Page, Stats, Store, Traits

R = TypeVar("R")

MAX_NAMES = 10_000
"""How many keys there may be for a transaction on all of them."""

_CURSOR = "from:"


class State(NamedTuple):
    """What the engine has at a name: a deadline, or what stands for one, and the bytes."""

    due: bytes
    data: bytes = b""


class Write(NamedTuple):
    """What to do with a name, see `scripts`."""

    act: bytes
    data: bytes = b""


class Keyspace(Protocol):
    """The engine, as a view needs it."""

    names: Names

    @property
    def traits(self) -> Traits: ...

    def read_states(self, names: Collection[bytes]) -> List[Tuple[State, Optional[Entry]]]:
        """What is at each name: for the engine's check, and as an entry."""
        ...

    def list_names(self, limit: int) -> List[bytes]:
        """All names; raises `TooLarge` when there are more."""
        ...

    def commit(
        self, seen: Mapping[bytes, State], writes: Mapping[bytes, Write], count: Optional[int]
    ) -> bool:
        """Writes if the engine has what was seen, and so many names unless that is None; returns
        whether it did."""
        ...

    def stats(self) -> Stats: ...


def milliseconds(ttl: float) -> bytes:
    """A ttl as the engine takes it; never less than what was asked for."""
    return b"%d" % math.ceil(ttl * 1000)


def put(text: bytes, ttl: Optional[float]) -> Write:
    """A write that stores a text."""
    return Write(scripts.NO_TTL if ttl is None else milliseconds(ttl), to_engine(text))


class View:
    """A `Store` for one transaction."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._name = keyspace.names.of
        self.traits = keyspace.traits
        self._seen: Dict[bytes, State] = {}
        self._writes: Dict[bytes, Write] = {}
        self._entries: Dict[bytes, Optional[Entry]] = {}
        self._all: Optional[Dict[bytes, None]] = None
        self._reads = 0

    def commit(self, with_writes: bool = True) -> bool:
        """Returns whether all was of one moment, and was done."""
        writes = self._writes if with_writes else {}
        if not writes and self._reads < 2:
            return True
        count = None if self._all is None else len(self._all)
        return self._keyspace.commit(self._seen, writes, count)

    def get(self, key: str) -> Optional[bytes]:
        (entry,) = self._read([key])
        return entry.text if entry else None

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        named = list(dict.fromkeys(keys))
        entries = dict(zip(named, self._read(named)))
        return [entry.text if (entry := entries[key]) else None for key in keys]

    def set(self, key: str, text: bytes) -> None:
        self._put(key, Entry(text), put(text, None))

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        for key, text in items.items():
            self._put(key, Entry(text, ttl), put(text, ttl))

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        (before,) = self._read([key])
        after = change(before)
        if after is None:
            if before is not None:
                self._remove(self._name(key))
        elif after is not before:
            write = put(after.text, after.ttl)
            if before is not None and after.ttl == before.ttl:  # the same instant, unrounded
                earlier = self._writes.get(self._name(key), Write(scripts.KEEP_TTL))
                write = write._replace(act=earlier.act)
            self._put(key, after, write)
        return before, after

    def delete(self, keys: Collection[str]) -> int:
        keys = list(dict.fromkeys(keys))
        there = [key for key, entry in zip(keys, self._read(keys)) if entry]
        for key in there:
            self._remove(self._name(key))
        return len(there)

    def clear(self) -> int:
        there = self._present()
        for name in there:
            self._remove(name)
        return len(there)

    def count(self) -> int:
        return len(self._present())

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        if cursor is not None and not cursor.startswith(_CURSOR):
            raise BadRequest("`cursor` is not one that a scan of this batch returned")
        least = LEAST_HASH + (0 if cursor is None else number_of(cursor[len(_CURSOR) :]))
        keys = [key for key in map(self._keyspace.names.key, self._present()) if key is not None]
        there = [key for key in keys if key.startswith(prefix)]
        page, following = first_by_hash(there, least, limit)
        return Page(page, None if following is None else f"{_CURSOR}{following - LEAST_HASH}")

    def atomically(self, work: Callable[[Store], R]) -> R:
        return work(self)

    def stats(self) -> Stats:
        return self._keyspace.stats()

    def _read(self, keys: Collection[str]) -> List[Optional[Entry]]:
        names = [self._name(key) for key in keys]
        unread = [name for name in names if name not in self._entries]
        if unread:
            self._reads += 1
            for name, (state, entry) in zip(unread, self._keyspace.read_states(unread)):
                self._seen[name] = state
                self._entries[name] = entry
        return [self._entries[name] for name in names]

    def _put(self, key: str, entry: Entry, write: Write) -> None:
        name = self._name(key)
        self._entries[name] = entry
        self._writes[name] = write

    def _remove(self, name: bytes) -> None:
        self._entries[name] = None
        self._writes[name] = Write(scripts.REMOVE)

    def _present(self) -> List[bytes]:
        """The names of all keys that are there for this view."""
        if self._all is None:
            self._reads += 2  # what is read before or after may be of another moment
            self._all = dict.fromkeys(self._keyspace.list_names(MAX_NAMES))
            for name in self._all:
                self._seen.setdefault(name, State(scripts.PRESENT))
        there = [name for name in self._all if self._entries.get(name, self) is not None]
        return there + [
            name for name, one in self._entries.items() if one and name not in self._all
        ]
