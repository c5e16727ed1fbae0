"""The store over an engine.

Rule: what changes a key depending on what is there is a transaction: it reads, computes and writes
if nothing changed meanwhile, and is done again otherwise, up to `ATTEMPTS` times. No write whose
reply was lost is sent again, since it may have been done.

The engine expires keys by its own clock. Its `Stats` are those of its database, or of itself, keys
without the prefix included.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    TypeVar,
)

from redis.exceptions import NoScriptError

from adapters.storage.redis import scripts
from adapters.storage.redis.cursor import Position, digest
from adapters.storage.redis.engine import Keyed, Words
from adapters.storage.redis.scripts import Script
from adapters.storage.redis.texts import Names, from_engine, many_from_engine, to_engine
from adapters.storage.redis.view import State, View, Write, put
from application.stats import EngineReport
from application.steps import finished
from domain.errors import CrossSlot, KvError, Misconfigured, TooLarge, Unavailable
from domain.store import Change, Entry, Page, Stats, Store, Traits

R = TypeVar("R")

ATTEMPTS = 1000
"""How often a transaction is tried. Of those that meet, one succeeds each time."""

PAGE_KEYS = 1000
"""How many keys the engine looks at for a page, at the most; others wait meanwhile."""

PAGE_BYTES = 512 * 1024
"""How long their names may be together before a page ends; it may have twice as much."""

OLDEST = 7
"""The first version of Redis whose programs can ask for a deadline."""


class Engine(Protocol):
    """One server, or a cluster. Keys in one slot can be changed together."""

    @property
    def is_cluster(self) -> bool:
        """Whether keys are in different slots."""
        ...

    def slot(self, name: bytes) -> int:
        """The slot that a key is in."""
        ...

    def run(self, commands: Sequence[Keyed], repeat: bool = False) -> List[Any]:
        """The replies to commands, each sent to where a key is; they may be repeated if they change
        nothing. Raises the first error among the replies."""
        ...

    def run_everywhere(self, words: Words, is_bounded: bool = True) -> List[Any]:
        """The replies of all servers with keys to a command that changes nothing, and is sent again
        after a lost connection; they may be of any size unless `is_bounded`."""
        ...

    def layout(self, anew: bool) -> str:
        """A mark, empty or of 4 hexadecimal digits, that changes when slots move; `anew` asks for
        what is so now."""
        ...

    def read_at(self, index: int, words: Words) -> Any:
        """The reply of one of the servers, counted from 0; None behind the last. Raises
        `Unavailable` when its slots are others than in the layout."""
        ...

    def close(self) -> None: ...


class RedisStore:
    """A `Store` of the keys with a prefix in an engine.

    `allow_partial` lets `set_many` store keys in several slots, which is not atomic. `yield_turn`
    lets others run, between the steps of what takes long.
    """

    def __init__(
        self,
        engine: Engine,
        prefix: str,
        yield_turn: Callable[[], object],
        allow_partial: bool = False,
    ) -> None:
        self._engine = engine
        self._yield_turn = yield_turn
        self.names = Names(prefix)
        self._name = self.names.of
        self._allow_partial = allow_partial
        self._is_in_one_slot = not engine.is_cluster or self.names.are_in_one_slot
        self.traits = Traits(blocks=True)
        self._hits = self._misses = 0

    def close(self) -> None:
        """Closes the connections; the next command opens one again."""
        self._engine.close()

    def get(self, key: str) -> Optional[bytes]:
        name = self._name(key)
        (data,) = self._engine.run([(name, ("GET", name))], repeat=True)
        if data is None:
            self._misses += 1
            return None
        self._hits += 1
        return from_engine(data)

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        names = list(map(self._name, keys))
        if not names:
            return []
        groups = self._by_slot(dict.fromkeys(names))
        commands: List[Keyed] = [(group[0], ("MGET", *group)) for group in groups]
        replies = chain(*self._engine.run(commands, repeat=True))
        there = {name: data for name, data in zip(chain(*groups), replies) if data is not None}
        found = dict(zip(there, self._texts_of([*there.values()])))
        texts = [found.get(name) for name in names]
        missed = texts.count(None)
        self._misses += missed
        self._hits += len(texts) - missed
        return texts

    def set(self, key: str, text: bytes) -> None:
        name = self._name(key)
        self._engine.run([(name, ("SET", name, to_engine(text)))])

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        writes = {self._name(key): put(text, ttl) for key, text in items.items()}
        groups = self._by_slot(writes)
        if len(groups) > 1 and not self._allow_partial:
            raise _cross_slot()
        if ttl is None:
            self._engine.run(
                [
                    (group[0], ("MSET", *chain(*((name, writes[name].data) for name in group))))
                    for group in groups
                ]
            )
        else:
            for group in groups:
                self.commit({}, {name: writes[name] for name in group}, None)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        return self.atomically(lambda view: view.update(key, change))

    def delete(self, keys: Collection[str]) -> int:
        groups = self._by_slot(list(map(self._name, keys)))
        return sum(self._engine.run([(group[0], ("UNLINK", *group)) for group in groups]))

    def clear(self) -> int:
        if not self._is_in_one_slot:
            groups = self._by_slot(self._listed(is_bounded=False))
            return sum(self._engine.run([(group[0], ("UNLINK", *group)) for group in groups]))
        return int(self._run(scripts.CLEAR, [self._name("")], self.names.pattern()))

    def count(self) -> int:
        words = ("EVAL", scripts.COUNT.source, 0, self.names.pattern())
        return sum(self._engine.run_everywhere(words))

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        """The engine returns whole buckets of its table. When one has more keys than fit, the
        cursor says which of them were on a page already, as digests, and stays there."""
        at = Position.of(cursor, self._engine.layout(anew=cursor is None))
        pattern, count = self.names.pattern(prefix), 1 if at.shown else min(limit, PAGE_KEYS)
        while True:
            bounds = count, limit, PAGE_BYTES
            words = ("EVAL", scripts.PAGE.source, 0, at.position, pattern, *bounds)
            reply = self._engine.read_at(at.server, words)
            if reply is None:
                return Page([], None)
            names = dict.fromkeys(reply[1])
            fresh = [name for name in names if not at.shown or digest(name) not in at.shown]
            keys = map(self.names.key, fresh[:limit])
            page = [key for key in keys if key is not None]
            if len(fresh) <= limit:
                following = at.after(int(reply[0]))
                return Page(page, None if following is None else str(following))
            if count == 1:
                return Page(page, str(at._replace(shown=(*at.shown, *map(digest, fresh[:limit])))))
            count = max(1, count // 4)

    def atomically(self, work: Callable[[Store], R]) -> R:
        for _ in range(ATTEMPTS):
            view = View(self)
            try:
                result = work(view)
            except (Unavailable, CrossSlot):
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
        total = {name: sum(int(each[name]) for each in figures) for name in _SUMMED}
        return Stats(
            sum(self._engine.run_everywhere(("DBSIZE",))),
            self._hits,
            self._misses,
            expired=total["expired_keys"],
            evicted=total["evicted_keys"],
            memory=total["used_memory"],
            max_memory=total["maxmemory"] or None,
        )

    def describe(self) -> EngineReport:
        """What the engine is; raises `Misconfigured` when it is too old for the programs here."""
        figures = self._figures()
        for each in figures:
            name = each.get("server_name", "redis")
            version = each.get(f"{name}_version", each["redis_version"])
            if int(each["redis_version"].partition(".")[0]) < OLDEST:
                raise Misconfigured(f"the engine is {name} {version}; {OLDEST} or newer is needed")
        return EngineReport(name, version, each["role"], len(figures))

    def _figures(self) -> List[Dict[str, str]]:
        """What each server tells about itself."""
        texts = self._engine.run_everywhere(("INFO",))
        return [dict(_FIGURE.findall(text.decode("utf-8", "replace"))) for text in texts]

    def read_states(self, names: Collection[bytes]) -> List[Tuple[State, Optional[Entry]]]:
        """See `Keyspace`."""
        found = self._run(scripts.READ, names, repeat=True)
        datas, dues, lefts = found[::3], found[1::3], found[2::3]
        texts = iter(self._texts_of([data for data in datas if data is not None]))
        states: List[Tuple[State, Optional[Entry]]] = []
        for data, due, left in zip(datas, dues, lefts):
            if data is None:
                states.append((State(scripts.ABSENT), None))
            else:
                ttl = left / 1000 if left >= 0 else None
                states.append((State(due, data), Entry(next(texts), ttl)))
        return states

    def list_names(self, limit: int) -> List[bytes]:
        """See `Keyspace`."""
        if not self._is_in_one_slot:
            raise _cross_slot()
        count = self.count()
        if count > limit:
            raise TooLarge(f"a batch on all keys: there are {count:,}; at most {limit:,}")
        return self._listed()

    def _listed(self, is_bounded: bool = True) -> List[bytes]:
        words = ("EVAL", scripts.LIST.source, 0, self.names.pattern())
        return list(chain(*self._engine.run_everywhere(words, is_bounded)))

    def commit(
        self, seen: Mapping[bytes, State], writes: Mapping[bytes, Write], count: Optional[int]
    ) -> bool:
        """See `Keyspace`."""
        names = list(dict.fromkeys([*seen, *writes]))
        words: List[Any] = [b"", b""] if count is None else [self.names.pattern(), count]
        for name in names:
            words += seen.get(name, _ANYTHING) + writes.get(name, _NOTHING)
        return bool(self._run(scripts.COMMIT, names, *words, repeat=not writes))

    def _run(
        self, script: Script, names: Collection[bytes], *words: Any, repeat: bool = False
    ) -> Any:
        """Has the engine run a program, which it is sent when it does not have it."""
        groups = self._by_slot(names) or [[self.names.of("")]]
        if len(groups) > 1:
            raise _cross_slot()
        name, rest = groups[0][0], (len(names), *names, *words)
        try:
            return self._engine.run([(name, ("EVALSHA", script.sha, *rest))], repeat)[0]
        except Unavailable as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        return self._engine.run([(name, ("EVAL", script.source, *rest))], repeat)[0]

    def _texts_of(self, datas: Sequence[bytes]) -> List[bytes]:
        """The JSON texts that stand for bytes of the engine."""
        return finished(many_from_engine(datas), self._yield_turn)

    def _by_slot(self, names: Collection[bytes]) -> List[List[bytes]]:
        """The names, those in one slot together."""
        if not self._engine.is_cluster:
            return [list(names)] if names else []
        groups: Dict[int, List[bytes]] = {}
        for name in names:
            groups.setdefault(self._engine.slot(name), []).append(name)
        return list(groups.values())


_ANYTHING, _NOTHING = State(scripts.ANYTHING), Write(scripts.NOTHING)
_SUMMED = ("expired_keys", "evicted_keys", "used_memory", "maxmemory")
_FIGURE = re.compile(r"^([a-z_]+):(.*?)\r?$", re.MULTILINE)


def _cross_slot() -> CrossSlot:
    return CrossSlot(
        "the keys are in several slots of the cluster, which cannot be read or changed together; "
        "keys with the same {tag} are in one, such as {user:1}:name and {user:1}:mail"
    )
