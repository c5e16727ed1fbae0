"""The table of Redis commands: for each its arity, its flags, and how its arguments become one of
our commands, with the spelling of its result.

Rule: what is not in the table is an unknown command. An arity below 0 is a minimum.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple, Union

from adapters.protocols.resp import connection, replies
from adapters.protocols.resp.connection import Do, Exec
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import VERSION_3, ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.byte_values import to_text
from application.commands import (
    Command,
    Count,
    Flush,
    Get,
    GetDel,
    GetSet,
    GetTtl,
    MDelete,
    MGet,
    MSet,
    Persist,
    Ping,
    Set,
    strings,
)
from application.commands.strings import Condition, Lifetime
from application.databases import prefix_of
from application.ports import Closing, Request, Settled
from domain.errors import KvError
from domain.store import Store

Made = Tuple[Any, int]
"""A command of ours, and the number of the spelling of its result."""


Make = Callable[[Session, Arguments], Made]


class Plain(NamedTuple):
    """Makes the commands of a kind whose arguments are a key, and bytes or nothing."""

    kind: Callable[..., Command[Any]]
    spelling: int

    def __call__(self, session: Session, arguments: Arguments) -> Made:
        return self.kind(session.prefix + arguments[1].decode(), *arguments[2:]), self.spelling


class Entry(NamedTuple):
    """A Redis command."""

    name: str
    arity: int
    flags: str
    keys: Tuple[int, int, int]
    """Its first key, its last and the step between them, as COMMAND tells them."""
    make: Union[Make, Plain]
    changes_state: bool = False
    """Whether what follows is read as it has left things."""


CLOSERS = frozenset((b"POST", b"HOST:"))
"""What an HTTP client sends that was made to speak to this port."""

SYNTAX = "ERR syntax error"
NO_INTEGER = "ERR value is not an integer or out of range"


def entry_of(arguments: Arguments) -> Optional[Entry]:
    """The command that arguments begin with."""
    return _ENTRIES.get(arguments[0]) or _ENTRIES.get(arguments[0].upper())


def request_of(session: Session, entry: Optional[Entry], arguments: Arguments) -> Request:
    """The request that arguments are; raises `KvError` and `UnicodeDecodeError`."""
    if entry is None:
        session.is_queue_broken = True
        raise ReplyError(_unknown(arguments))
    if len(arguments) != entry.arity and (entry.arity > 0 or len(arguments) < -entry.arity):
        session.is_queue_broken = True
        raise ReplyError(f"ERR wrong number of arguments for '{entry.name}' command")
    if entry.name == "quit":
        return Settled(replies.DONE, Closing(), is_fatal=True)
    try:
        command, spelling = entry.make(session, arguments)
    except (KvError, UnicodeDecodeError) as error:
        if session.queue is None:
            raise
        command, spelling = Do(partial(_raise, refusal(error))), replies.REPLY
    command.id = spelling + (VERSION_3 if session.is_version_3 else 0)
    if session.queue is not None and not entry.changes_state:
        return _queued(session, command, arguments)
    return command  # type: ignore[no-any-return]


def refusal(error: Exception) -> KvError:
    """The error to tell for what a command could not be made of."""
    if isinstance(error, UnicodeDecodeError):
        return ReplyError("ERR a key is UTF-8 here, and this one is not")
    return error if isinstance(error, KvError) else ReplyError("ERR syntax error")


def _raise(error: KvError, store: Store, budget: Budget) -> None:
    raise error


def _queued(session: Session, command: Command[Any], arguments: Arguments) -> Settled:
    assert session.queue is not None
    limits = session.shared.limits
    session.queued_bytes += sum(map(len, arguments)) + 64 * len(arguments)
    if (
        len(session.queue) >= limits.max_batch_cost
        or session.queued_bytes > limits.max_request_bytes
    ):
        session.is_queue_broken = True
        session.queue.clear()
        most = f"{limits.max_batch_cost} commands (max_batch_cost)"
        raise ReplyError(f"ERR a transaction has at most {most}, and the bytes of a request")
    session.queue.append(command)
    return Settled(replies.REPLY, Status("QUEUED"))


def _unknown(arguments: Arguments) -> str:
    name, *others = (each[:128].decode("utf-8", "replace") for each in arguments[:20])
    shown = "".join(f"'{each}' " for each in others)[:128]
    return f"ERR unknown command '{name}', with args beginning with: {shown}"


# How arguments become members.


def _key(session: Session, argument: bytes) -> str:
    return session.prefix + argument.decode()


def _keys(session: Session, arguments: Arguments) -> List[str]:
    return [session.prefix + each.decode() for each in arguments]


def _integer(argument: bytes) -> int:
    number = int(argument) if strings.is_integer(argument) else strings.MAX_INTEGER + 1
    if not strings.MIN_INTEGER <= number <= strings.MAX_INTEGER:
        raise ReplyError(NO_INTEGER)
    return number


_UNITS = {b"EX": 1.0, b"PX": 0.001, b"EXAT": 1.0, b"PXAT": 0.001}


def _lifetime(session: Session, unit: bytes, argument: bytes, command: str) -> Lifetime:
    """The ttl of a SET or GETEX, or an instant; above 0 both."""
    number = _integer(argument)
    if number <= 0 or number * _UNITS[unit] > 9.2e15:
        raise ReplyError(f"ERR invalid expire time in '{command}' command")
    seconds = number / 1000 if unit[:1] == b"P" else float(number)
    return Lifetime(seconds, session.shared.wall if unit.endswith(b"AT") else None)


def _set(session: Session, arguments: Arguments) -> Made:
    if len(arguments) == 3:
        return _PUT(session, arguments)
    key, data = _key(session, arguments[1]), arguments[2]
    lifetime: Optional[Lifetime] = None
    condition = Condition()
    options = list(arguments[:2:-1])
    seen: List[bytes] = []
    while options:
        option = options.pop().upper()
        seen.append(option)
        if option in _UNITS and options and lifetime is None:
            lifetime = _lifetime(session, option, options.pop(), "set")
        elif option == b"IFEQ" and options and condition == Condition():
            condition = Condition(equals=options.pop())
        elif option in (b"NX", b"XX") and condition in (Condition(), Condition(option == b"XX")):
            condition = Condition(option == b"XX")
        elif option not in (b"KEEPTTL", b"GET"):
            raise ReplyError(SYNTAX)
    keep = b"KEEPTTL" in seen
    if keep and lifetime:
        raise ReplyError(SYNTAX)
    command = strings.SetBytes(key, data, lifetime, keep, condition)
    return command, replies.SET_GET if b"GET" in seen else replies.SET


def _set_if_absent(session: Session, arguments: Arguments) -> Made:
    text: Any = to_text(arguments[2])
    return Set(_key(session, arguments[1]), text, if_="absent"), replies.INTEGER


def _set_for(unit: bytes, command: str) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        lifetime = _lifetime(session, unit, arguments[2], command)
        return strings.SetBytes(_key(session, arguments[1]), arguments[3], lifetime), replies.SET

    return make


def _getex(session: Session, arguments: Arguments) -> Made:
    key, options = _key(session, arguments[1]), arguments[2:]
    if not options:
        return Get(key), replies.TEXT
    unit = options[0].upper()
    if unit == b"PERSIST" and len(options) == 1:
        return strings.GetEx(key), replies.REPLY
    if unit not in _UNITS or len(options) != 2:
        raise ReplyError(SYNTAX)
    return strings.GetEx(key, _lifetime(session, unit, options[1], "getex")), replies.REPLY


def _items(session: Session, arguments: Arguments, name: str) -> Dict[str, Any]:
    if len(arguments) % 2 == 0:
        raise ReplyError(f"ERR wrong number of arguments for '{name}' command")
    return dict(zip(_keys(session, arguments[1::2]), map(to_text, arguments[2::2])))


def _expire(name: str, scale: float, is_instant: bool) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        number = _integer(arguments[2])
        only = {each.decode("ascii", "replace").lower() for each in arguments[3:]}
        for each in arguments[3:]:
            if each.upper() not in (b"NX", b"XX", b"GT", b"LT"):
                raise ReplyError(f"ERR Unsupported option {each.decode('utf-8', 'replace')}")
        if "nx" in only and len(only) > 1:
            raise ReplyError("ERR NX and XX, GT or LT options at the same time are not compatible")
        if {"gt", "lt"} <= only:
            raise ReplyError("ERR GT and LT options at the same time are not compatible")
        if abs(number * scale) > 9.2e15:
            raise ReplyError(f"ERR invalid expire time in '{name}' command")
        lifetime = Lifetime(number * scale, session.shared.wall if is_instant else None)
        key = _key(session, arguments[1])
        return strings.ExpireBytes(key, lifetime, sorted(only)), replies.INTEGER

    return make


def _incr(sign: int) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        by = sign * (_integer(arguments[2]) if len(arguments) > 2 else 1)
        if by > strings.MAX_INTEGER:
            raise ReplyError("ERR decrement would overflow")
        return strings.IncrBy(_key(session, arguments[1]), by), replies.INTEGER

    return make


def _incr_float(session: Session, arguments: Arguments) -> Made:
    if arguments[2].lower().lstrip(b"+-") in (b"inf", b"infinity"):
        raise ReplyError("ERR increment would produce NaN or Infinity")
    by = strings.decimal(arguments[2])
    return strings.IncrByFloat(_key(session, arguments[1]), by), replies.REPLY


def _setrange(session: Session, arguments: Arguments) -> Made:
    offset = _integer(arguments[2])
    if offset < 0:
        raise ReplyError("ERR offset is out of range")
    return strings.SetRange(_key(session, arguments[1]), offset, arguments[3]), replies.INTEGER


def _getrange(session: Session, arguments: Arguments) -> Made:
    start, end = map(_integer, arguments[2:])
    return strings.GetRange(_key(session, arguments[1]), start, end), replies.REPLY


def _copy(session: Session, arguments: Arguments) -> Made:
    source, target_prefix, replace = _key(session, arguments[1]), session.prefix, False
    options = list(arguments[:2:-1])
    while options:
        option = options.pop().upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"DB" and options:
            number = connection.database_of(options.pop())
            target_prefix = prefix_of(number)
            session.shared.uses_databases = session.shared.uses_databases or number > 0
        else:
            raise ReplyError(SYNTAX)
    target = target_prefix + arguments[2].decode()
    if source == target:
        raise ReplyError("ERR source and destination objects are the same")
    return strings.Copy(source, target, replace), replies.INTEGER


def _scan(session: Session, arguments: Arguments) -> Made:
    if not arguments[1].isdigit() or len(arguments[1]) > 400_000:
        raise ReplyError("ERR invalid cursor")
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
        elif _integer(value) < 1:
            raise ReplyError(SYNTAX)
    if kind != b"string":
        return Do(lambda store, budget: [b"0", []]), replies.REPLY
    if len(arguments[1]) > 4000:
        raise ReplyError("ERR invalid cursor")
    return strings.ScanMatching(session.prefix, pattern, int(arguments[1])), replies.PAGE


def _lcs(session: Session, arguments: Arguments) -> Made:
    options = {each.upper() for each in arguments[3:]}
    if options - {b"LEN"}:
        raise ReplyError(SYNTAX)
    one, other = _keys(session, arguments[1:3])
    return strings.Lcs(one, other), replies.LCS_LENGTH if options else replies.LCS


def _rename(if_absent: bool) -> Make:
    def make(session: Session, arguments: Arguments) -> Made:
        spelling = replies.INTEGER if if_absent else replies.DONE
        source, target = _keys(session, arguments[1:])
        return strings.Rename(source, target, if_absent), spelling

    return make


def _count(session: Session, arguments: Arguments) -> Made:
    shared = session.shared.uses_databases
    return strings.CountKeys(session.prefix) if shared else Count(), replies.INTEGER


def _flush(session: Session, arguments: Arguments) -> Made:
    if len(arguments) > 2 or (arguments[1:2] and arguments[1].upper() not in (b"SYNC", b"ASYNC")):
        raise ReplyError(SYNTAX)
    if arguments[0].upper() == b"FLUSHDB" and session.shared.uses_databases:
        return strings.ClearKeys(session.prefix), replies.DONE
    return Flush(), replies.DONE


def _ping(session: Session, arguments: Arguments) -> Made:
    if len(arguments) > 2:
        raise ReplyError("ERR wrong number of arguments for 'ping' command")
    if len(arguments) == 2:
        return Do(connection.constant(arguments[1])), replies.REPLY
    return Ping(), replies.PONG


def _many(kind: Callable[[List[str]], Command[Any]], spelling: int) -> Make:
    return lambda session, arguments: (kind(_keys(session, arguments[1:])), spelling)


def _on_connection(
    action: Callable[[Session, Arguments], Callable[[Any, Any], Any]],
) -> Make:
    return lambda session, arguments: (Do(action(session, arguments)), replies.REPLY)


def _exists(session: Session, arguments: Arguments) -> Made:
    return strings.CountExisting(_keys(session, arguments[1:])), replies.INTEGER


_ONE, _ALL, _NONE, _PAIRS = (1, 1, 1), (1, -1, 1), (0, 0, 0), (1, -1, 2)
_PUT = Plain(strings.Put, replies.DONE)

TABLE: Tuple[Entry, ...] = (
    # Strings.
    Entry("get", 2, "readonly fast", _ONE, Plain(Get, replies.TEXT)),
    Entry("set", -3, "write denyoom", _ONE, _set),
    Entry("setnx", 3, "write denyoom fast", _ONE, _set_if_absent),
    Entry("setex", 4, "write denyoom", _ONE, _set_for(b"EX", "setex")),
    Entry("psetex", 4, "write denyoom", _ONE, _set_for(b"PX", "psetex")),
    Entry(
        "getset",
        3,
        "write denyoom fast",
        _ONE,
        lambda s, a: (GetSet(_key(s, a[1]), to_text(a[2])), replies.TEXT),  # type: ignore[arg-type]
    ),
    Entry("getdel", 2, "write fast", _ONE, Plain(GetDel, replies.TEXT)),
    Entry("getex", -2, "write fast", _ONE, _getex),
    Entry("mget", -2, "readonly fast", _ALL, _many(MGet, replies.VALUES)),
    Entry(
        "mset", -3, "write denyoom", _PAIRS, lambda s, a: (MSet(_items(s, a, "mset")), replies.DONE)
    ),
    Entry(
        "msetnx",
        -3,
        "write denyoom",
        _PAIRS,
        lambda s, a: (MSet(_items(s, a, "msetnx"), if_="absent"), replies.INTEGER),
    ),
    Entry("append", 3, "write denyoom fast", _ONE, Plain(strings.Append, replies.INTEGER)),
    Entry("strlen", 2, "readonly fast", _ONE, Plain(strings.StrLen, replies.INTEGER)),
    Entry("getrange", 4, "readonly", _ONE, _getrange),
    Entry("substr", 4, "readonly", _ONE, _getrange),
    Entry("setrange", 4, "write denyoom", _ONE, _setrange),
    Entry("incr", 2, "write denyoom fast", _ONE, _incr(1)),
    Entry("incrby", 3, "write denyoom fast", _ONE, _incr(1)),
    Entry("decr", 2, "write denyoom fast", _ONE, _incr(-1)),
    Entry("decrby", 3, "write denyoom fast", _ONE, _incr(-1)),
    Entry(
        "incrbyfloat",
        3,
        "write denyoom fast",
        _ONE,
        _incr_float,
    ),
    Entry("lcs", -3, "readonly", (1, 2, 1), _lcs),
    Entry("delifeq", 3, "write fast", _ONE, Plain(strings.DelIfEq, replies.INTEGER)),
    # Keys.
    Entry("del", -2, "write", _ALL, _many(MDelete, replies.INTEGER)),
    Entry("unlink", -2, "write fast", _ALL, _many(MDelete, replies.INTEGER)),
    Entry("exists", -2, "readonly fast", _ALL, _exists),
    Entry("touch", -2, "readonly fast", _ALL, _exists),
    Entry(
        "type",
        2,
        "readonly fast",
        _ONE,
        lambda s, a: (strings.CountExisting([_key(s, a[1])]), replies.TYPE),
    ),
    Entry("ttl", 2, "readonly fast", _ONE, Plain(GetTtl, replies.SECONDS)),
    Entry("pttl", 2, "readonly fast", _ONE, Plain(GetTtl, replies.MILLISECONDS)),
    Entry(
        "expiretime",
        2,
        "readonly fast",
        _ONE,
        lambda s, a: (strings.ExpireTime(_key(s, a[1]), s.shared.wall), replies.SECONDS),
    ),
    Entry(
        "pexpiretime",
        2,
        "readonly fast",
        _ONE,
        lambda s, a: (strings.ExpireTime(_key(s, a[1]), s.shared.wall), replies.MILLISECONDS),
    ),
    Entry("expire", -3, "write fast", _ONE, _expire("expire", 1, False)),
    Entry("pexpire", -3, "write fast", _ONE, _expire("pexpire", 0.001, False)),
    Entry("expireat", -3, "write fast", _ONE, _expire("expireat", 1, True)),
    Entry("pexpireat", -3, "write fast", _ONE, _expire("pexpireat", 0.001, True)),
    Entry("persist", 2, "write fast", _ONE, Plain(Persist, replies.INTEGER)),
    Entry(
        "keys",
        2,
        "readonly",
        _NONE,
        lambda s, a: (strings.MatchingKeys(s.prefix, a[1].decode()), replies.REPLY),
    ),
    Entry("scan", -2, "readonly", _NONE, _scan),
    Entry(
        "randomkey",
        1,
        "readonly",
        _NONE,
        lambda s, a: (strings.RandomKey(s.prefix, s.shared.choose), replies.REPLY),
    ),
    Entry("rename", 3, "write", (1, 2, 1), _rename(False)),
    Entry("renamenx", 3, "write fast", (1, 2, 1), _rename(True)),
    Entry("copy", -3, "write denyoom", (1, 2, 1), _copy),
    Entry("dbsize", 1, "readonly fast", _NONE, _count),
    Entry("flushdb", -1, "write", _NONE, _flush),
    Entry("flushall", -1, "write", _NONE, _flush),
    # The connection and the server.
    Entry("ping", -1, "fast", _NONE, _ping),
    Entry("echo", 2, "fast", _NONE, lambda s, a: (Do(connection.constant(a[1])), replies.REPLY)),
    Entry("hello", -1, "noscript fast no_auth", _NONE, connection.hello, True),
    Entry(
        "auth",
        -2,
        "noscript fast no_auth",
        _NONE,
        lambda s, a: (connection.login(s, a), replies.DONE),
        True,
    ),
    Entry("select", 2, "fast", _NONE, _on_connection(connection.select), True),
    Entry("quit", -1, "noscript fast no_auth", _NONE, _ping),
    Entry("reset", 1, "noscript fast no_auth", _NONE, _on_connection(connection.reset), True),
    Entry("client", -2, "noscript", _NONE, _on_connection(connection.client)),
    Entry(
        "info", -1, "", _NONE, lambda s, a: (connection.InfoText(s.shared.version), replies.REPLY)
    ),
    Entry("time", 1, "fast", _NONE, _on_connection(connection.tell_time)),
    Entry("config", -2, "admin noscript", _NONE, _on_connection(connection.config)),
    Entry(
        "command",
        -1,
        "",
        _NONE,
        lambda s, a: (Do(lambda store, budget: connection.command(a, TABLE)), replies.REPLY),
    ),
    # Transactions.
    Entry("multi", 1, "noscript fast", _NONE, _on_connection(connection.multi), True),
    Entry("exec", 1, "noscript", _NONE, lambda s, a: (Exec.of(s), replies.REPLY), True),
    Entry("discard", 1, "noscript fast", _NONE, _on_connection(connection.discard), True),
    Entry(
        "watch",
        -2,
        "noscript fast",
        _ALL,
        lambda s, a: (connection.Watching(_keys(s, a[1:]), session=s), replies.DONE),
        True,
    ),
    Entry("unwatch", 1, "noscript fast", _NONE, _on_connection(connection.unwatch)),
)

_ENTRIES: Dict[bytes, Entry] = {
    spelling: entry
    for entry in TABLE
    for spelling in (entry.name.encode(), entry.name.upper().encode())
}


def _heads() -> Dict[bytes, Plain]:
    """What the requests begin with whose arguments are a key, or a key and bytes."""
    plain = {entry.name: entry.make for entry in TABLE if isinstance(entry.make, Plain)}
    spelled = [(name, abs(_ENTRIES[name.encode()].arity), each) for name, each in plain.items()]
    spelled.append(("set", 3, _PUT))
    return {
        b"*%d\r\n$%d\r\n%b\r\n" % (count, len(name), typed.encode()): each
        for name, count, each in spelled
        for typed in (name, name.upper())
    }


HEADS = _heads()
NAMES: FrozenSet[bytes] = frozenset(entry.name.upper().encode() for entry in TABLE)
"""The commands' names, as bytes and in upper case."""
