"""The commands: for each its members, its result and what it does to a store.

Rule: a command is plain data that reads and writes the store through `Store` alone. `COMMANDS` at
the end is the one list of them; codecs, the shell and the documentation are made from it.

A member of type `Raw`, and a result of type `bytes`, is the text of one JSON value. `UNSET` is the
absence of a member, and as a result means that there is nothing there, which is not `null`.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Collection,
    Dict,
    Generic,
    List,
    Literal,
    Optional,
    Tuple,
    Type,
    TypeVar,
    Union,
)

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from application.json_values import added, same
from application.limits import DEFAULTS, Limits
from application.report import Report
from application.values import encodable, least_size, storable, storable_items
from domain.errors import BadRequest, KvError, TooLarge
from domain.store import Change, Entry, Store, legal_ttl

R = TypeVar("R")
Id = Union[str, int, UnsetType]
Ttl = Union[float, UnsetType]
"""Seconds to live."""

MaybeText = Union[bytes, UnsetType]


class Command(
    Struct, Generic[R], tag_field="type", forbid_unknown_fields=True, kw_only=True, gc=False
):
    """One request for a result of type `R`; `id` is the asker's own mark and changes nothing."""

    effort: ClassVar[int] = 0
    """How many keys it may look at without naming them, roughly, at the most."""
    only_reads: ClassVar[bool] = False
    """Whether it changes nothing, so that it can be repeated."""

    id: Id = UNSET

    def run(self, store: Store) -> R:
        """Do to `store` what the command says."""
        raise NotImplementedError

    def keys_named(self) -> Collection[str]:
        """The keys that the request names, for bounds on their length and number."""
        return ()

    def over_all_keys(self) -> bool:
        """Whether each key of the store counts, so that those whose time is up have to go first."""
        return False


class _OneKey(Command[R], kw_only=False, gc=False):
    key: str

    def keys_named(self) -> Collection[str]:
        return (self.key,)


class _ManyKeys(Command[R], kw_only=False, gc=False):
    keys: List[str]

    def keys_named(self) -> Collection[str]:
        return self.keys


class Get(_OneKey[MaybeText], tag="GET", gc=False):
    """Give the value of a key; nothing when it is missing."""

    only_reads = True

    def run(self, store: Store) -> MaybeText:
        text = store.get(self.key)
        return UNSET if text is None else text


class Set(_OneKey[bool], tag="SET", rename={"if_": "if"}, gc=False):
    """Store a value at a key; false when a condition does not hold, and nothing changes.

    A ttl that the key had is gone, unless a new one is given or the old is kept.
    """

    value: Raw
    ttl: Ttl = UNSET
    keep_ttl: bool = False
    if_: Union[Literal["absent", "present"], UnsetType] = UNSET
    if_equals: Union[Raw, UnsetType] = UNSET

    def run(self, store: Store) -> bool:
        text = storable(bytes(self.value))
        if (
            self.ttl is UNSET
            and not self.keep_ttl
            and self.if_ is UNSET
            and self.if_equals is UNSET
        ):
            store.set(self.key, text)
            return True
        return _changed(store, self.key, self._change(text))

    def _change(self, text: bytes) -> Change:
        ttl = _legal(self.ttl)
        if self.keep_ttl and ttl is not None:
            raise BadRequest("`ttl` and `keep_ttl` exclude each other")
        holds = _conditions(self.if_, self.if_equals)

        def change(before: Optional[Entry]) -> Optional[Entry]:
            if not holds(before):
                return before
            return Entry(text, before.ttl if self.keep_ttl and before else ttl)

        return change


class Delete(_OneKey[bool], tag="DELETE", gc=False):
    """Remove a key; false when it was missing, or a condition does not hold."""

    if_equals: Union[Raw, UnsetType] = UNSET

    def run(self, store: Store) -> bool:
        if self.if_equals is UNSET:
            return store.delete((self.key,)) == 1
        holds = _conditions(UNSET, self.if_equals)
        return _changed(store, self.key, lambda before: None if holds(before) else before)


class Flush(Command[int], tag="FLUSH", gc=False):
    """Remove every key; gives how many there were."""

    effort = 1000

    def run(self, store: Store) -> int:
        return store.clear()

    def over_all_keys(self) -> bool:
        return True


class MGet(_ManyKeys[Dict[str, bytes]], tag="MGET", gc=False):
    """Give an object of those of the keys that are there, with their values."""

    only_reads = True

    def run(self, store: Store) -> Dict[str, bytes]:
        return store.get_many(self.keys)


class MSet(Command[bool], tag="MSET", kw_only=False, rename={"if_": "if"}, gc=False):
    """Store every value of an object at its key, all at once.

    With the condition that they be absent, none is stored when any of the keys is there.
    """

    items: Dict[str, Raw]
    ttl: Ttl = UNSET
    if_: Union[Literal["absent"], UnsetType] = UNSET

    def run(self, store: Store) -> bool:
        texts = storable_items(self.items)
        ttl = _legal(self.ttl)
        if self.if_ is UNSET:
            store.set_many(texts, ttl)
            return True
        return store.atomically(partial(_set_absent, texts, ttl))

    def keys_named(self) -> Collection[str]:
        return self.items


class MDelete(_ManyKeys[int], tag="MDELETE", gc=False):
    """Remove many keys; gives how many of them were there."""

    def run(self, store: Store) -> int:
        return store.delete(self.keys)


class Exists(_OneKey[bool], tag="EXISTS", gc=False):
    """Tell whether a key is there."""

    only_reads = True

    def run(self, store: Store) -> bool:
        return store.get(self.key) is not None


class GetSet(_OneKey[MaybeText], tag="GETSET", gc=False):
    """Store a value at a key and give the one that was there; nothing when there was none."""

    value: Raw
    ttl: Ttl = UNSET

    def run(self, store: Store) -> MaybeText:
        after = Entry(storable(bytes(self.value)), _legal(self.ttl))
        before, _ = store.update(self.key, lambda _: after)
        return before.text if before else UNSET


class GetDel(_OneKey[MaybeText], tag="GETDEL", gc=False):
    """Remove a key and give the value that was there; nothing when there was none."""

    def run(self, store: Store) -> MaybeText:
        before, _ = store.update(self.key, lambda _: None)
        return before.text if before else UNSET


class Incr(_OneKey[Union[int, float]], tag="INCR", gc=False):
    """Add to the number at a key, or to 0 when it is missing, and give the sum.

    A ttl counts only when the key is made; one that it has stays.
    """

    by: Union[int, float] = 1
    ttl: Ttl = UNSET

    def run(self, store: Store) -> Union[int, float]:
        ttl = _legal(self.ttl)

        def change(before: Optional[Entry]) -> Entry:
            text, left = before or Entry(b"0", ttl)
            return Entry(msgspec.json.encode(added(text, self.by)), left)

        _, after = store.update(self.key, change)
        assert after
        total: Union[int, float] = msgspec.json.decode(after.text)
        return total


class GetTtl(_OneKey[Union[float, None, UnsetType]], tag="TTL", gc=False):
    """Give the seconds left to a key; null when it does not expire, nothing when it is missing."""

    only_reads = True

    def run(self, store: Store) -> Union[float, UnsetType, None]:
        entry, _ = store.update(self.key, lambda before: before)
        return entry.ttl if entry else UNSET


class Expire(_OneKey[bool], tag="EXPIRE", gc=False):
    """Give a key so many seconds to live; false when it is missing."""

    ttl: float

    def run(self, store: Store) -> bool:
        ttl = legal_ttl(self.ttl)
        return _changed(store, self.key, lambda before: before and Entry(before.text, ttl))


class Persist(_OneKey[bool], tag="PERSIST", gc=False):
    """Let a key live for good; false when it did already, or is missing."""

    def run(self, store: Store) -> bool:
        def change(before: Optional[Entry]) -> Optional[Entry]:
            return before if before is None or before.ttl is None else Entry(before.text)

        return _changed(store, self.key, change)


class Count(Command[int], tag="COUNT", gc=False):
    """Give how many keys there are."""

    only_reads = True
    effort = 100

    def run(self, store: Store) -> int:
        return store.count()

    def over_all_keys(self) -> bool:
        return True


class Keys(Struct, gc=False):
    """A page of a scan: some keys, and the cursor for the next page, null at the end."""

    keys: List[str]
    cursor: Optional[str]


class Scan(Command[Keys], tag="SCAN", gc=False):
    """Give some of the keys, and a cursor to go on from, which is null at the end.

    A key that is there from the first page to the last is on one of them. A page may be empty
    before the end.
    """

    only_reads = True
    effort = 4000

    prefix: str = ""
    cursor: Optional[str] = None
    limit: int = 100

    def run(self, store: Store) -> Keys:
        if self.limit < 1:
            raise BadRequest("`limit` must be above 0")
        return Keys(*store.scan(self.cursor, self.prefix, self.limit))


class Ping(Command[str], tag="PING", gc=False):
    """Answer "PONG"."""

    only_reads = True

    def run(self, store: Store) -> str:
        return "PONG"


class Info(Command[Report], tag="INFO", gc=False):
    """Give figures about the server and its keys."""

    only_reads = True
    effort = 100

    def run(self, store: Store) -> Report:
        return Report(store.stats())


class Reply(Struct, gc=False):
    """What one command of a batch gave; no `result` when there was nothing to give."""

    id: Id = UNSET
    ok: bool = True
    result: Union[Raw, UnsetType] = UNSET


IN_BATCH: Tuple[Type[Command[Any]], ...] = (
    Get,
    Set,
    Delete,
    Flush,
    MGet,
    MSet,
    MDelete,
    Exists,
    GetSet,
    GetDel,
    Incr,
    GetTtl,
    Expire,
    Persist,
    Count,
    Scan,
    Ping,
    Info,
)


if TYPE_CHECKING:
    InBatch = Command[Any]
else:
    InBatch = Union[IN_BATCH]


class Batch(Command[List[Reply]], tag="BATCH", kw_only=False):
    """Run commands all or nothing: if one is refused, none has had an effect.

    Gives a reply for each. Nothing of other clients runs in between.
    """

    commands: List[InBatch]

    def run(self, store: Store, limits: Limits = DEFAULTS) -> List[Reply]:
        """Do to `store` what the commands say; raises `TooLarge` when they are too much work for
        one request, or give more than one reply can hold, and nothing is done."""
        effort = sum(1 + command.effort for command in self.commands)
        if effort > limits.max_keys_per_request:
            raise TooLarge("these commands are too much work for one batch")
        return store.atomically(partial(self._run_all, limits.max_reply_bytes))

    def keys_named(self) -> Collection[str]:
        return [key for command in self.commands for key in command.keys_named()]

    def over_all_keys(self) -> bool:
        return any(command.over_all_keys() for command in self.commands)

    def _run_all(self, room: int, store: Store) -> List[Reply]:
        replies: List[Reply] = []
        room -= _room_for(self.id)
        for command in self.commands:
            try:
                result = command.run(store)
                reply = Reply(command.id, True, _text(result, room))
                room -= _room_for(command.id) + _length(reply.result)
                if room < 0:
                    raise TooLarge(_NO_ROOM)
            except KvError as error:
                error.index = len(replies)
                raise
            replies.append(reply)
        return replies


class Auth(Command[bool], tag="AUTH", kw_only=False, gc=False):
    """Show the password; true when it is right. Where none is set, every one is."""

    only_reads = True

    password: str

    def run(self, store: Store) -> bool:
        return True

    def __repr__(self) -> str:
        return "Auth(...)"


COMMANDS: Tuple[Type[Command[Any]], ...] = (*IN_BATCH, Batch, Auth)

MAY_BE_OVER_ALL_KEYS = frozenset(
    kind for kind in COMMANDS if kind.over_all_keys is not Command.over_all_keys
)


PLAIN = frozenset(kind for kind in COMMANDS if issubclass(kind, _OneKey) or kind is Ping)
"""Commands of a single key, which need no closer look, unless they have a condition that opens its
value."""


def opens(command: Command[Any]) -> bool:
    """Whether a command of a single key opens a stored document, which may take long."""
    return getattr(command, "if_equals", UNSET) is not UNSET


def name_of(kind: Type[Command[Any]]) -> str:
    """What the command is called on the wire, such as `GET`."""
    return str(kind.__struct_config__.tag)


NAMES: Tuple[str, ...] = tuple(map(name_of, COMMANDS))


def closest_name(name: str) -> str:
    """The command that whoever typed `name` most likely meant."""
    return difflib.get_close_matches(name[:40].upper(), NAMES, n=1, cutoff=0.0)[0]


def _legal(ttl: Ttl) -> Optional[float]:
    return None if isinstance(ttl, UnsetType) else legal_ttl(ttl)


def _conditions(
    presence: Union[str, UnsetType], if_equals: Union[Raw, UnsetType]
) -> Callable[[Optional[Entry]], bool]:
    """Whether what is at a key meets the conditions of a command."""
    wanted = None if isinstance(if_equals, UnsetType) else storable(bytes(if_equals), "if_equals")

    def hold(before: Optional[Entry]) -> bool:
        if presence is not UNSET and (before is not None) != (presence == "present"):
            return False
        return wanted is None or (before is not None and same(before.text, wanted))

    return hold


def _changed(store: Store, key: str, change: Change) -> bool:
    before, after = store.update(key, change)
    return after is not before


def _set_absent(texts: Dict[str, bytes], ttl: Optional[float], store: Store) -> bool:
    if store.get_many(texts):
        return False
    store.set_many(texts, ttl)
    return True


_NO_ROOM = "the results of the batch are more than a reply can hold"


def _text(result: object, room: int) -> Union[Raw, UnsetType]:
    """The text of a result, which is not made when there is no room for it."""
    if result is UNSET:
        return UNSET
    if least_size(result) > room:
        raise TooLarge(_NO_ROOM)
    return Raw(result if type(result) is bytes else msgspec.json.encode(encodable(result)))


def _room_for(id: Id) -> int:
    """The bytes round a result in a reply, at the most."""
    return 64 if id is UNSET else 64 + len(msgspec.json.encode(id))


def _length(text: Union[Raw, UnsetType]) -> int:
    return 0 if isinstance(text, UnsetType) else memoryview(text).nbytes
