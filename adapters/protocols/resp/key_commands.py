"""The Redis commands on keys of any kind, as commands of ours.

Rule: options, replies and refusals are those of Redis.
"""

from __future__ import annotations

from typing import Any, Callable

from adapters.protocols.resp import replies
from adapters.protocols.resp.cursors import cursor_of
from adapters.protocols.resp.entries import (
    ALL,
    NONE,
    ONE,
    SYNTAX,
    TWO,
    Do,
    Entry,
    Made,
    Make,
    Plain,
    database_of,
    family,
    integer_of,
    key_of,
    keys_of,
    many,
    seconds_of,
    shown,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import ReplyError
from adapters.protocols.resp.session import Session
from application.byte_values import to_bytes
from application.commands import Persist, strings
from application.commands.base import renamed
from application.commands.strings import EXPIRE_CONDITIONS, NAMED, Lifetime
from application.databases import prefix_of
from domain.sizes import cost


def _expire(name: str, unit: int, is_instant: bool) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        conditions = set()
        for each in arguments[3:]:
            conditions.add(each.decode("ascii", "replace").lower())
            if not conditions <= EXPIRE_CONDITIONS.keys():
                raise ReplyError(f"ERR Unsupported option {shown(each)}")
        if "nx" in conditions and len(conditions) > 1:
            raise ReplyError("ERR NX and XX, GT or LT options at the same time are not compatible")
        if "gt" in conditions and "lt" in conditions:
            raise ReplyError("ERR GT and LT options at the same time are not compatible")
        seconds = seconds_of(arguments[2], unit, name)
        lifetime = Lifetime(seconds, session.shared.wall if is_instant else None)
        key = key_of(session, arguments[1])
        return NAMED[name.upper()](key, lifetime, sorted(conditions)), replies.INTEGER

    return make


def _copy(session: Session, arguments: Arguments) -> Made:
    databases, replace = session.shared.databases, False
    source, target_prefix = key_of(session, arguments[1]), session.prefix
    options = list(arguments[:2:-1])
    while options:
        option = options.pop().upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"DB" and options:
            target_prefix = prefix_of(database_of(options.pop()))
        else:
            raise ReplyError(SYNTAX)
    target = target_prefix + arguments[2].decode()
    if source == target:
        raise ReplyError("ERR source and destination objects are the same")
    return strings.Copy(source, target, databases, replace), replies.INTEGER


_Scan = renamed(Do, "SCAN", __name__)


def _scan(session: Session, arguments: Arguments) -> Made:
    cursor = cursor_of(arguments[1])
    pattern, kind = "*", b"string"
    options = list(arguments[:1:-1])
    while options:
        option = options.pop().upper()
        if not options or option not in (b"MATCH", b"COUNT", b"TYPE"):
            raise ReplyError(SYNTAX)
        value = options.pop()
        if option == b"MATCH":
            pattern = value.decode()
        elif option == b"TYPE":
            kind = value.lower()
        elif integer_of(value) < 1:
            raise ReplyError(SYNTAX)
    if kind != b"string":
        return _Scan(lambda store, budget: [b"0", []]), replies.REPLY
    return strings.ScanMatching(session.prefix, pattern, cursor), replies.PAGE


def _rename(if_absent: bool) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        spelling = replies.INTEGER if if_absent else replies.DONE
        source, target = keys_of(session, arguments[1:])
        return strings.Rename(source, target, if_absent), spelling

    return make


def _count(session: Session, arguments: Arguments) -> Made:
    return strings.CountKeys(session.prefix, session.shared.databases), replies.INTEGER


def _flush(session: Session, arguments: Arguments) -> Made:
    if len(arguments) > 2 or (arguments[1:2] and arguments[1].upper() not in (b"SYNC", b"ASYNC")):
        raise ReplyError(SYNTAX)
    if arguments[0].upper() == b"FLUSHDB":
        return strings.ClearKeys(session.prefix, session.shared.databases), replies.DONE
    return NAMED["FLUSHALL"](), replies.DONE


def _expire_time(name: str) -> Make:
    spelling = replies.SECONDS if name == "EXPIRETIME" else replies.MILLISECONDS

    def make(session: Session, arguments: Arguments) -> Made:
        key = key_of(session, arguments[1])
        return NAMED[name](key, session.shared.wall), spelling

    return make


def _keys(session: Session, arguments: Arguments) -> Made:
    return strings.MatchingKeys(session.prefix, arguments[1].decode()), replies.REPLY


def _random_key(session: Session, arguments: Arguments) -> Made:
    return strings.RandomKey(session.prefix, session.shared.choose), replies.REPLY


def _memory_usage(session: Session, arguments: Arguments) -> Made:
    if len(arguments) not in (3, 5) or (len(arguments) == 5 and arguments[3].upper() != b"SAMPLES"):
        raise ReplyError(SYNTAX)
    if len(arguments) == 5 and integer_of(arguments[4]) < 0:
        raise ReplyError(SYNTAX)
    return strings.Describe(key_of(session, arguments[2]), cost), replies.REPLY


def _object(describe: Callable[[str, bytes], Any]) -> Make:
    return lambda session, arguments: (
        strings.Describe(key_of(session, arguments[2]), describe),
        replies.REPLY,
    )


def _encoding(key: str, text: bytes) -> str:
    """What Redis would keep the bytes of a value as."""
    if len(text) > _MAX_EMBEDDED_TEXT:
        return "raw"
    data = to_bytes(text)
    if strings.is_integer(data) and strings.MIN_INTEGER <= int(data) <= strings.MAX_INTEGER:
        return "int"
    return "embstr" if len(data) <= _MAX_EMBEDDED else "raw"


_MAX_EMBEDDED = 44
_MAX_EMBEDDED_TEXT = len(r'"\u0000"') * _MAX_EMBEDDED
"""No text that stands for so few bytes is longer."""


def _frequency(key: str, text: bytes) -> Any:
    raise ReplyError(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
        "that when switching between policies at runtime LRU and LFU data will take some time to "
        "adjust."
    )


TABLE = (
    Entry("del", -2, "write", ALL, many(NAMED["DEL"], replies.INTEGER)),
    Entry("unlink", -2, "write fast", ALL, many(NAMED["UNLINK"], replies.INTEGER)),
    Entry("exists", -2, "readonly fast", ALL, many(NAMED["EXISTS"], replies.INTEGER)),
    Entry("touch", -2, "readonly fast", ALL, many(NAMED["TOUCH"], replies.INTEGER)),
    Entry("type", 2, "readonly fast", ONE, Plain(NAMED["TYPE"], replies.TYPE)),
    Entry("ttl", 2, "readonly fast", ONE, Plain(NAMED["TTL"], replies.SECONDS)),
    Entry("pttl", 2, "readonly fast", ONE, Plain(NAMED["PTTL"], replies.MILLISECONDS)),
    Entry("expiretime", 2, "readonly fast", ONE, _expire_time("EXPIRETIME")),
    Entry("pexpiretime", 2, "readonly fast", ONE, _expire_time("PEXPIRETIME")),
    Entry("expire", -3, "write fast", ONE, _expire("expire", 1, False)),
    Entry("pexpire", -3, "write fast", ONE, _expire("pexpire", 1000, False)),
    Entry("expireat", -3, "write fast", ONE, _expire("expireat", 1, True)),
    Entry("pexpireat", -3, "write fast", ONE, _expire("pexpireat", 1000, True)),
    Entry("persist", 2, "write fast", ONE, Plain(Persist, replies.INTEGER)),
    Entry("keys", 2, "readonly", NONE, _keys),
    Entry("scan", -2, "readonly", NONE, _scan),
    Entry("randomkey", 1, "readonly", NONE, _random_key),
    Entry("rename", 3, "write", TWO, _rename(False)),
    Entry("renamenx", 3, "write fast", TWO, _rename(True)),
    Entry("copy", -3, "write denyoom", TWO, _copy),
    Entry("dbsize", 1, "readonly fast", NONE, _count),
    Entry("flushdb", -1, "write", NONE, _flush),
    Entry("flushall", -1, "write", NONE, _flush),
    family("memory", "readonly", Entry("usage", -3, "", (2, 2, 1), _memory_usage)),
    family(
        "object",
        "readonly",
        Entry("encoding", 3, "", (2, 2, 1), _object(_encoding)),
        Entry("freq", 3, "", (2, 2, 1), _object(_frequency)),
        Entry("idletime", 3, "", (2, 2, 1), _object(lambda key, text: 0)),
        Entry("refcount", 3, "", (2, 2, 1), _object(lambda key, text: 1)),
    ),
)
