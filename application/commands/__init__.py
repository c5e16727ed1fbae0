"""The commands: for each its members, its result and what it does to a store.

Rule: `COMMANDS` is the one table of them, family by family; codecs, clients, the shell and the
documentation are made from it. A record comes into it by its `@register`. `BYTE_COMMANDS`
are offered by other protocols than JSON lines alone.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Tuple, Type

from application.commands import (
    batch,
    connection,
    counters,
    documents,
    expiry,
    keyspace,
    strings,
    values,
)
from application.commands.base import (
    Command,
    Id,
    MaybeText,
    Results,
    Ttl,
    name_of,
    registered,
)
from application.commands.batch import IN_BATCH, Batch, InBatch
from application.commands.connection import Auth, Info, Ping
from application.commands.counters import Incr
from application.commands.expiry import Expire, GetTtl, Persist
from application.commands.keyspace import Count, Flush, Keys, Scan
from application.commands.values import (
    Delete,
    Exists,
    Get,
    GetDel,
    GetSet,
    MDelete,
    MGet,
    MSet,
    Set,
)

COMMANDS: Tuple[Type[Command[Any]], ...] = registered(
    values, counters, expiry, keyspace, batch, connection
)

BYTE_COMMANDS: Tuple[Type[Command[Any]], ...] = registered(*strings.FAMILIES, documents)
"""Those on the bytes that values stand for, and on documents with versions, which other protocols
offer beside them."""

PLAIN = frozenset(kind for kind in (*COMMANDS, *BYTE_COMMANDS) if kind.has_one_text)
"""Commands that are executed without a closer look."""

NAMES: Tuple[str, ...] = tuple(map(name_of, COMMANDS))
_LETTERS: Dict[str, FrozenSet[str]] = {name: frozenset(name) for name in NAMES}


def closest_name(name: str) -> str:
    """The command whose name is most like `name`, by its letters, its length and its beginning: a
    few microseconds, since any client can repeat it."""
    name = name[:40].upper()
    letters = frozenset(name)

    def likeness(known: str) -> float:
        shared = len(letters & _LETTERS[known])
        begins = (known[:1] == name[:1]) + 2 * (known[:2] == name[:2])
        return 2 * shared - abs(len(known) - len(name)) + begins

    return max(NAMES, key=likeness)


__all__ = [
    "BYTE_COMMANDS",
    "COMMANDS",
    "IN_BATCH",
    "NAMES",
    "PLAIN",
    "Auth",
    "Batch",
    "Command",
    "Count",
    "Delete",
    "Exists",
    "Expire",
    "Flush",
    "Get",
    "GetDel",
    "GetSet",
    "GetTtl",
    "Id",
    "InBatch",
    "Incr",
    "Info",
    "Keys",
    "MDelete",
    "MGet",
    "MSet",
    "MaybeText",
    "Persist",
    "Ping",
    "Results",
    "Scan",
    "Set",
    "Ttl",
    "closest_name",
    "name_of",
    "registered",
]
