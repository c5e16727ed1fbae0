"""The commands: for each its members, its result and what it does to a store.

Rule: a command is plain data that reads and writes the store through `Store` alone. `COMMANDS` at
the end is the one list of them; codecs, the shell and the documentation are made from it.

A member of type `Raw`, and a result of type `bytes`, is the text of one JSON value. `UNSET` as a
result means that there is nothing there, which is not the same as a stored `null`.
"""

from __future__ import annotations

import difflib
from typing import Any, Collection, Dict, Generic, List, Tuple, Type, TypeVar, Union

from msgspec import UNSET, Raw, Struct, UnsetType

from application.values import storable, storable_items
from domain.store import Store

R = TypeVar("R")


class Command(
    Struct, Generic[R], tag_field="type", forbid_unknown_fields=True, kw_only=True, gc=False
):
    """One request for a result of type `R`; `id` is the asker's own mark and changes nothing."""

    id: Union[str, int, UnsetType] = UNSET

    def run(self, store: Store) -> R:
        """Do to `store` what the command says."""
        raise NotImplementedError

    def keys_named(self) -> Collection[str]:
        """The keys that the request names, for bounds on their length and number."""
        return ()


class _OneKey(Command[R], kw_only=False, gc=False):
    key: str

    def keys_named(self) -> Collection[str]:
        return (self.key,)


class Ping(Command[str], tag="PING", gc=False):
    """Answer "PONG"."""

    def run(self, store: Store) -> str:
        return "PONG"


class Get(_OneKey[Union[bytes, UnsetType]], tag="GET", gc=False):
    """Give the value of a key; nothing when the key is missing."""

    def run(self, store: Store) -> Union[bytes, UnsetType]:
        text = store.get(self.key)
        return UNSET if text is None else text


class Set(_OneKey[bool], tag="SET", gc=False):
    """Store a value at a key, in place of whatever was there."""

    value: Raw

    def run(self, store: Store) -> bool:
        store.set(self.key, storable(bytes(self.value)))
        return True


class Delete(_OneKey[bool], tag="DELETE", gc=False):
    """Remove a key; true when it was there."""

    def run(self, store: Store) -> bool:
        return store.delete(self.key)


class Flush(Command[int], tag="FLUSH", gc=False):
    """Remove every key; gives how many there were."""

    def run(self, store: Store) -> int:
        return store.clear()


class MGet(Command[Dict[str, bytes]], tag="MGET", kw_only=False, gc=False):
    """Give an object of those of the keys that are there, with their values."""

    keys: List[str]

    def run(self, store: Store) -> Dict[str, bytes]:
        return store.get_many(self.keys)

    def keys_named(self) -> Collection[str]:
        return self.keys


class MSet(Command[bool], tag="MSET", kw_only=False, gc=False):
    """Store every value of an object at its key, all at once."""

    items: Dict[str, Raw]

    def run(self, store: Store) -> bool:
        store.set_many(storable_items(self.items))
        return True

    def keys_named(self) -> Collection[str]:
        return self.items


COMMANDS: Tuple[Type[Command[Any]], ...] = (Get, Set, Delete, Flush, MGet, MSet, Ping)


def name_of(kind: Type[Command[Any]]) -> str:
    """What the command is called on the wire, such as `GET`."""
    return str(kind.__struct_config__.tag)


NAMES: Tuple[str, ...] = tuple(map(name_of, COMMANDS))


def closest_name(name: str) -> str:
    """The command that whoever typed `name` most likely meant."""
    return difflib.get_close_matches(name.upper(), NAMES, n=1, cutoff=0.0)[0]
