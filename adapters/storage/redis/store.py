"""The store over an engine.

Rule: what changes a key depending on what is there is a transaction: it reads, computes and writes
if nothing changed meanwhile, and is done again otherwise, up to `ATTEMPTS` times. No write whose
reply was lost is sent again, since it may have been done.

The engine expires keys by its own clock. Its `Stats` are those of its database, or of itself, keys
without the prefix included.
"""

from __future__ import annotations

import hashlib
import re
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    FrozenSet,
    List,
    Mapping,
    Optional,
    Protocol,
    Tuple,
    TypeVar,
)

from redis.exceptions import NoScriptError

from adapters.storage.redis import scripts
from adapters.storage.redis.scripts import Script
from adapters.storage.redis.texts import Names, from_engine, to_engine
from adapters.storage.redis.view import State, View, Write, put
from application.stats import Engine as EngineReport
from domain.errors import BadRequest, KvError, Misconfigured, TooLarge, Unavailable
from domain.store import Change, Entry, Page, Stats, Store, Traits

R = TypeVar("R")

ATTEMPTS = 1000
"""How often a transaction is tried. Of those that meet, one succeeds each time."""

_CURSOR = re.compile(r"([0-9]{1,20})7((?:\.[0-9a-f]{32})*)", re.ASCII)
"""The engine's cursor, then a 7, so that most numbers that no page returned are refused; then the
digests of keys that were on a page. Mostly it is a number, which clients of RESP need."""

PAGE = 1000
"""How many keys the engine looks at for a page, at the most; others wait meanwhile."""

_MAX_POSITION = 1 << 64


OLDEST = 7
"""The first version of Redis whose programs can ask for a deadline."""


class Engine(Protocol):
    """Sends commands, see `engine`."""

    def read(self, *words: Any) -> Any: ...

    def write(self, *words: Any) -> Any: ...

    def close(self) -> None: ...


class RedisStore:
    """A `Store` of the keys with a prefix in an engine."""

    traits = Traits(blocks=True, atomic=True)

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._engine = engine
        self.names = Names(prefix)
        self._name = self.names.of
        self._hits = self._misses = 0

    def close(self) -> None:
        """Closes the connections; the next command opens one again."""
        self._engine.close()

    def get(self, key: str) -> Optional[bytes]:
        data = self._engine.read("GET", self._name(key))
        if data is None:
            self._misses += 1
            return None
        self._hits += 1
        return from_engine(data)

    def get_many(self, keys: Collection[str]) -> Dict[str, bytes]:
        if not keys:
            return {}
        unique = list(dict.fromkeys(keys))
        values = self._engine.read("MGET", *map(self._name, unique))
        found = {key: from_engine(data) for key, data in zip(unique, values) if data is not None}
        hits = sum(key in found for key in keys)
        self._hits += hits
        self._misses += len(keys) - hits
        return found

    def set(self, key: str, text: bytes) -> None:
        self._engine.write("SET", self._name(key), to_engine(text))

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        if not items:
            return
        if ttl is None:
            words: List[bytes] = []
            for key, text in items.items():
                words += self._name(key), to_engine(text)
            self._engine.write("MSET", *words)
        else:
            self.commit({}, {self._name(key): put(text, ttl) for key, text in items.items()}, None)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        return self.atomically(lambda view: view.update(key, change))

    def delete(self, keys: Collection[str]) -> int:
        return int(self._engine.write("UNLINK", *map(self._name, keys))) if keys else 0

    def clear(self) -> int:
        return int(self._run(self._engine.write, scripts.CLEAR, [], self.names.pattern()))

    def count(self) -> int:
        return int(self._run(self._engine.read, scripts.COUNT, [], self.names.pattern()))

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        """The engine returns whole buckets of its table. When one has more keys than fit, the
        cursor says which of them were on a page already, as digests, and stays there."""
        position, shown = _parsed(cursor)
        pattern, count = self.names.pattern(prefix), 1 if shown else min(limit, PAGE)
        while True:
            after, names = self._engine.read("SCAN", position, "MATCH", pattern, "COUNT", count)
            digests = {_digest(name): name for name in names}
            fresh = [digest for digest in digests if digest not in shown]
            keys = [self.names.key(digests[digest]) for digest in fresh[:limit]]
            page = [key for key in keys if key is not None]
            if len(fresh) <= limit:
                return Page(page, None if after == b"0" else f"{int(after)}7")
            if count == 1:
                seen = "".join(f".{digest}" for digest in [*shown, *fresh[:limit]])
                return Page(page, f"{position}7{seen}")
            count = max(1, count // 4)

    def atomically(self, work: Callable[[Store], R]) -> R:
        for _ in range(ATTEMPTS):
            view = View(self)
            try:
                result = work(view)
            except Unavailable:
                raise
            except KvError:
                if view.commit(with_writes=False):
                    raise
            else:
                if view.commit():
                    return result
        raise Unavailable(f"other clients changed the keys during each of {ATTEMPTS:,} attempts")

    def stats(self) -> Stats:
        figures = self._figures()
        return Stats(
            int(self._engine.read("DBSIZE")),
            self._hits,
            self._misses,
            expired=int(figures["expired_keys"]),
            evicted=int(figures["evicted_keys"]),
            memory=int(figures["used_memory"]),
            max_memory=int(figures["maxmemory"]) or None,
        )

    def describe(self) -> EngineReport:
        """What the engine is; raises `Misconfigured` when it is too old for the programs here."""
        figures = self._figures()
        name = figures.get("server_name", "redis")
        version = figures.get(f"{name}_version", figures["redis_version"])
        if int(figures["redis_version"].partition(".")[0]) < OLDEST:
            raise Misconfigured(f"the engine is {name} {version}; {OLDEST} or newer is needed")
        return EngineReport(name, version, figures["role"])

    def _figures(self) -> Dict[str, str]:
        """What the engine tells about itself."""
        lines = self._engine.read("INFO").decode("utf-8", "replace").split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def read_states(self, names: Collection[bytes]) -> List[Tuple[State, Optional[Entry]]]:
        """See `Keyspace`."""
        found = self._run(self._engine.read, scripts.READ, names)
        states: List[Tuple[State, Optional[Entry]]] = []
        for data, due, left in zip(*[iter(found)] * 3):
            if data is None:
                states.append((State(scripts.ABSENT), None))
            else:
                ttl = left / 1000 if left >= 0 else None
                states.append((State(due, data), Entry(data, ttl)))
        return states

    def list_names(self, limit: int) -> List[bytes]:
        """See `Keyspace`."""
        count = self.count()
        if count > limit:
            raise TooLarge(f"a batch on all keys: there are {count:,}; at most {limit:,}")
        names: List[bytes] = self._run(self._engine.read, scripts.LIST, [], self.names.pattern())
        return names

    def commit(
        self, seen: Mapping[bytes, State], writes: Mapping[bytes, Write], count: Optional[int]
    ) -> bool:
        """See `Keyspace`."""
        names = list(dict.fromkeys([*seen, *writes]))
        words: List[Any] = [b"", b""] if count is None else [self.names.pattern(), count]
        for name in names:
            words += seen.get(name, _ANYTHING) + writes.get(name, _NOTHING)
        send = self._engine.write if writes else self._engine.read
        return bool(self._run(send, scripts.COMMIT, names, *words))

    def _run(
        self, send: Callable[..., Any], script: Script, names: Collection[bytes], *words: Any
    ) -> Any:
        """Has the engine run a program, which it is sent when it does not have it."""
        try:
            return send("EVALSHA", script.sha, len(names), *names, *words)
        except Unavailable as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        return send("EVAL", script.source, len(names), *names, *words)


_ANYTHING, _NOTHING = State(scripts.ANYTHING), Write(scripts.NOTHING)


def _digest(name: bytes) -> str:
    return hashlib.blake2b(name, digest_size=16).hexdigest()


def _parsed(cursor: Optional[str]) -> Tuple[int, FrozenSet[str]]:
    """The engine's cursor, and the digests of the names that were on pages since."""
    if cursor is None:
        return 0, frozenset()
    found = _CURSOR.fullmatch(cursor)
    if not found or int(found.group(1)) >= _MAX_POSITION:
        raise BadRequest("`cursor` is not one that a scan returned")
    return int(found.group(1)), frozenset(found.group(2).split(".")[1:])
