"""Commands that do what another one does: kinds of their own, so that each is counted by the name
that the client sent."""

from __future__ import annotations

from typing import Any, Dict

from application.commands.base import register, renamed
from application.commands.expiry import GetTtl
from application.commands.keyspace import Flush
from application.commands.strings.counters import IncrBy
from application.commands.strings.keys import CountExisting, ExpireBytes, ExpireTime
from application.commands.strings.parts import GetRange
from application.commands.strings.values import MSetBytes, SetBytes
from application.commands.values import Exists, Get, MDelete

_NAMES: Dict[Any, str] = {
    IncrBy: "INCR DECR INCRBY DECRBY",
    SetBytes: "GETSET SETEX SETNX PSETEX",
    Get: "GETEX",
    MSetBytes: "MSETNX",
    MDelete: "DEL UNLINK",
    GetRange: "GETRANGE SUBSTR",
    GetTtl: "TTL PTTL",
    ExpireBytes: "EXPIRE PEXPIRE EXPIREAT PEXPIREAT",
    ExpireTime: "EXPIRETIME PEXPIRETIME",
    Exists: "TYPE",
    CountExisting: "EXISTS TOUCH",
    Flush: "FLUSHALL",
}

NAMED: Dict[str, Any] = {
    name: register(renamed(kind, name, __name__))
    for kind, names in _NAMES.items()
    for name in names.split()
}
