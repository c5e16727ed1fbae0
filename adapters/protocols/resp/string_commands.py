"""The Redis commands on strings, as commands of ours.

Rule: options, replies and refusals are those of Redis.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Dict, List, Mapping, Optional, Tuple

from adapters.protocols.resp import replies
from adapters.protocols.resp.entries import (
    ALL,
    ONE,
    PAIRS,
    SYNTAX,
    TWO,
    UNITS,
    Entry,
    Made,
    Make,
    Plain,
    integer_of,
    key_of,
    keys_of,
    lifetime_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import ReplyError
from adapters.protocols.resp.session import Session
from application.commands import Get, GetDel, strings
from application.commands.strings import NAMED, Condition


def _set(session: Session, arguments: Arguments) -> Made:
    if len(arguments) == 3:
        return PUT(session, arguments)
    key, data = key_of(session, arguments[1]), arguments[2]
    options = _options(arguments[:2:-1], _SET)
    unit, number = options.get("lifetime", _NONE)
    lifetime = None if number is None else lifetime_of(session, unit, number, "set")
    presence, equals = options.get("condition", _NONE)
    condition = Condition(_PRESENT.get(presence), equals)
    gets = "get" in options
    command = strings.SetBytes(key, data, lifetime, unit == b"KEEPTTL", condition, gets)
    return command, replies.SET_GET if gets else replies.SET


Options = Dict[str, Tuple[bytes, Optional[bytes]]]

_NONE = b"", None
_PRESENT = {b"NX": False, b"XX": True}
_VALUED = frozenset((*UNITS, b"IFEQ"))
_SET = {
    **dict.fromkeys((*UNITS, b"KEEPTTL"), "lifetime"),
    **dict.fromkeys((*_PRESENT, b"IFEQ"), "condition"),
    b"GET": "get",
}
_GETEX = dict.fromkeys((*UNITS, b"PERSIST"), "lifetime")
"""What kinds the options are of."""


def _options(rest: Arguments, kinds: Mapping[bytes, str]) -> Options:
    """One option of each kind, with what follows it, of those that come from behind. Of one that is
    there twice the last counts."""
    options: Options = {}
    while rest:
        option = rest.pop().upper()
        kind, is_valued = kinds.get(option), option in _VALUED
        if kind is None or options.get(kind, (option,))[0] != option or (is_valued and not rest):
            raise ReplyError(SYNTAX)
        options[kind] = option, rest.pop() if is_valued else None
    return options


def _set_for(unit: bytes, command: str) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        lifetime = lifetime_of(session, unit, arguments[2], command)
        key = key_of(session, arguments[1])
        return NAMED[command.upper()](key, arguments[3], lifetime), replies.SET

    return make


def _getex(session: Session, arguments: Arguments) -> Made:
    key = key_of(session, arguments[1])
    if len(arguments) == 2:
        return NAMED["GETEX"](key), replies.TEXT
    unit, number = _options(arguments[:1:-1], _GETEX)["lifetime"]
    lifetime = None if number is None else lifetime_of(session, unit, number, "getex")
    return strings.GetEx(key, lifetime), replies.REPLY


def _items(session: Session, arguments: Arguments, name: str) -> Dict[str, bytes]:
    if len(arguments) % 2 == 0:
        raise ReplyError(f"ERR wrong number of arguments for '{name}' command")
    return dict(zip(keys_of(session, arguments[1::2]), arguments[2::2]))


def _incr(name: str, sign: int) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        by = sign * integer_of(arguments[2])
        if by > strings.MAX_INTEGER:
            raise ReplyError("ERR decrement would overflow")
        return NAMED[name](key_of(session, arguments[1]), by), replies.INTEGER

    return make


def _incr_float(session: Session, arguments: Arguments) -> Made:
    is_infinite = arguments[2].lower() in _INFINITE
    by = Decimal("Infinity") if is_infinite else strings.decimal(arguments[2])
    return strings.IncrByFloat(key_of(session, arguments[1]), by), replies.REPLY


_INFINITE = {sign + word for sign in (b"", b"+", b"-") for word in (b"inf", b"infinity")}


def _setrange(session: Session, arguments: Arguments) -> Made:
    offset = integer_of(arguments[2])
    if offset < 0:
        raise ReplyError("ERR offset is out of range")
    return strings.SetRange(key_of(session, arguments[1]), offset, arguments[3]), replies.INTEGER


def _getrange(name: str) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        start, end = map(integer_of, arguments[2:])
        return NAMED[name](key_of(session, arguments[1]), start, end), replies.REPLY

    return make


def _lcs(session: Session, arguments: Arguments) -> Made:
    options = list(arguments[:2:-1])
    seen: List[bytes] = []
    shortest = 0
    while options:
        seen.append(options.pop().upper())
        if seen[-1] == b"MINMATCHLEN" and options:
            shortest = max(0, integer_of(options.pop()))
        elif seen[-1] not in (b"LEN", b"IDX", b"WITHMATCHLEN"):
            raise ReplyError(SYNTAX)
    if b"LEN" in seen and b"IDX" in seen:
        raise ReplyError("ERR If you want both the length and indexes, please just use IDX.")
    one, other = keys_of(session, arguments[1:3])
    if b"IDX" in seen:
        return strings.LcsMatches(one, other, shortest, b"WITHMATCHLEN" in seen), replies.REPLY
    return strings.Lcs(one, other), replies.LCS_LENGTH if b"LEN" in seen else replies.LCS


def _mget(session: Session, arguments: Arguments) -> Made:
    keys, most = keys_of(session, arguments[1:]), session.shared.limits.max_reply_bytes
    return strings.MGetEach(keys, most), replies.VALUES


_INCR, _DECR = (
    Plain(NAMED[name], replies.INTEGER, {"by": by}) for name, by in (("INCR", 1), ("DECR", -1))
)
PUT = Plain(strings.Put, replies.DONE)

TABLE = (
    Entry("get", 2, "readonly fast", ONE, Plain(Get, replies.TEXT)),
    Entry("set", -3, "write denyoom", ONE, _set),
    Entry(
        "setnx",
        3,
        "write denyoom fast",
        ONE,
        Plain(NAMED["SETNX"], replies.SET_INTEGER, {"condition": Condition(False)}),
    ),
    Entry("setex", 4, "write denyoom", ONE, _set_for(b"EX", "setex")),
    Entry("psetex", 4, "write denyoom", ONE, _set_for(b"PX", "psetex")),
    Entry(
        "getset",
        3,
        "write denyoom fast",
        ONE,
        Plain(NAMED["GETSET"], replies.SET_GET, {"gets": True}),
    ),
    Entry("getdel", 2, "write fast", ONE, Plain(GetDel, replies.TEXT)),
    Entry("getex", -2, "write fast", ONE, _getex),
    Entry("mget", -2, "readonly fast", ALL, _mget),
    Entry(
        "mset",
        -3,
        "write denyoom",
        PAIRS,
        lambda s, a: (strings.MSetBytes(_items(s, a, "mset")), replies.DONE),
    ),
    Entry(
        "msetnx",
        -3,
        "write denyoom",
        PAIRS,
        lambda s, a: (NAMED["MSETNX"](_items(s, a, "msetnx"), if_absent=True), replies.INTEGER),
    ),
    Entry("append", 3, "write denyoom fast", ONE, Plain(strings.Append, replies.INTEGER)),
    Entry("strlen", 2, "readonly fast", ONE, Plain(strings.StrLen, replies.INTEGER)),
    Entry("getrange", 4, "readonly", ONE, _getrange("GETRANGE")),
    Entry("substr", 4, "readonly", ONE, _getrange("SUBSTR")),
    Entry("setrange", 4, "write denyoom", ONE, _setrange),
    Entry("incr", 2, "write denyoom fast", ONE, _INCR),
    Entry("incrby", 3, "write denyoom fast", ONE, _incr("INCRBY", 1)),
    Entry("decr", 2, "write denyoom fast", ONE, _DECR),
    Entry("decrby", 3, "write denyoom fast", ONE, _incr("DECRBY", -1)),
    Entry(
        "incrbyfloat",
        3,
        "write denyoom fast",
        ONE,
        _incr_float,
    ),
    Entry("lcs", -3, "readonly", TWO, _lcs),
    Entry("delifeq", 3, "write fast", ONE, Plain(strings.DelIfEq, replies.INTEGER)),
)
