"""The one table of Redis commands, and how arguments become a request by it.

Rule: what is not in the table is an unknown command.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, FrozenSet, Mapping, NamedTuple, Optional, Type

from adapters.protocols.resp import (
    channels,
    clients,
    connection,
    key_commands,
    replies,
    scripts,
    server,
    string_commands,
    transactions,
)
from adapters.protocols.resp.entries import Do, Does, Entry, Made, Plain
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import ReplyError, Status
from adapters.protocols.resp.session import Queue, Session
from application.budget import Budget
from application.commands import Command
from application.commands.base import renamed
from application.gate import LOGIN_FIRST
from application.ports import Request, Settled
from domain.errors import KvError, LoginRequired, UnknownCommand, detached
from domain.store import Store

CLOSERS = frozenset((b"POST", b"HOST:"))
"""What an HTTP client sends that was made to speak to this port."""


def entry_of(arguments: Arguments) -> Optional[Entry]:
    """The command that arguments begin with."""
    entry = _ENTRIES.get(arguments[0]) or _ENTRIES.get(arguments[0].upper())
    if entry and entry.subcommands and len(arguments) > 1:
        entry = entry.subcommands.get(arguments[1].upper(), entry)
    return entry


def request_of(session: Session, entry: Optional[Entry], arguments: Arguments) -> Request:
    """The request that arguments are; raises `KvError` and `UnicodeDecodeError`."""
    if entry is None:
        _break_off(session)
        raise UnknownCommand(_unknown(arguments))
    session.reader.command = entry.name
    if not entry.takes(len(arguments)):
        raise _miscounted(session, entry)
    if not session.is_plain and session.is_subscribed and not entry.while_subscribed:
        raise ReplyError(_SUBSCRIBED.format(entry.name))
    try:
        made = entry.make(session, arguments)
    except (KvError, UnicodeDecodeError) as why:
        made = _unmade(session, entry, why)
    if isinstance(made, Settled):
        return made
    command: Command[Any]
    command, spelling = made
    if session.is_plain:
        command.id = spelling + session.version
        return command
    if session.queue is not None and not entry.changes_state:
        command.id = session.in_version(spelling)
        return _queued(session, session.queue, command, arguments)
    command.id = replies.REPLY if entry.is_always_answered else session.spelling(spelling)
    return command


def _miscounted(session: Session, entry: Entry) -> KvError:
    """The error to tell for a wrong number of arguments."""
    _break_off(session)
    why = f"wrong number of arguments for '{entry.name}' command"
    if entry.name != "exec":
        return ReplyError(f"ERR {why}")
    session.end_transaction()
    return transactions.aborted(why)


def _unmade(session: Session, entry: Entry, why: Exception) -> Made:
    """What stands in a transaction for a command whose arguments are wrong; raises why, where it is
    told at once, or that the password comes first."""
    if not (session.is_authenticated or entry.subcommands or "no_auth" in entry.flags):
        raise LoginRequired(LOGIN_FIRST) from None
    if session.queue is None or entry.changes_state or entry.subcommands:  # no such subcommand
        _break_off(session)
        raise why
    return Do(partial(_raise, detached(refusal(why)))), replies.REPLY


def refusal(error: Exception) -> KvError:
    """The error to tell for what a command could not be made of."""
    if isinstance(error, UnicodeDecodeError):
        return ReplyError("ERR a key is UTF-8 here, and this one is not")
    return error if isinstance(error, KvError) else ReplyError("ERR syntax error")


def _raise(error: KvError, store: Store, budget: Budget) -> None:
    raise error


def _break_off(session: Session) -> None:
    if session.queue:
        session.queue.break_off()


def _queued(session: Session, queue: Queue, command: Command[Any], arguments: Arguments) -> Settled:
    limits = session.shared.limits
    queue.size += sum(map(len, arguments)) + 64 * len(arguments)
    if len(queue.commands) >= limits.max_batch_cost or queue.size > limits.max_request_bytes:
        queue.break_off()
        raise ReplyError(
            f"ERR a transaction has at most {limits.max_batch_cost} commands (max_batch_cost), "
            f"and {limits.max_request_bytes} bytes (max_request_bytes)"
        )
    if not queue.is_broken:
        queue.commands.append(command)
    return Settled(session.spelling(replies.REPLY), Status("QUEUED"))


def _unknown(arguments: Arguments) -> str:
    name, *others = (each[:128].decode("utf-8", "replace") for each in arguments[:20])
    shown = "".join(f"'{each}' " for each in others)[:128]
    return f"unknown command '{name}', with args beginning with: {shown}"


_SUBSCRIBED = (
    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
    "allowed in this context"
)

_FAMILIES = {
    "string": string_commands.TABLE,
    "generic": key_commands.TABLE,
    "connection": (*connection.TABLE, clients.CLIENT),
    "server": (*server.TABLE, server.command_entry(lambda: _ENTRIES, entry_of)),
    "transactions": transactions.TABLE,
    "pubsub": channels.TABLE,
    "scripting": scripts.TABLE,
}


def _named(entry: Entry, group: str) -> Entry:
    """The entry of a group with its name in the records that it makes, by which they are
    counted."""
    make = entry.make
    if isinstance(make, Does):
        is_quick = group == "connection" and "fast" in entry.flags.split()
        record = renamed(Do, entry.name.upper(), __name__, is_quick=is_quick)
        make = make._replace(record=record)
    subcommands = {name: _named(each, group) for name, each in entry.subcommands.items()}
    return entry._replace(make=make, subcommands=subcommands, group=group)


TABLE = tuple(_named(entry, group) for group, entries in _FAMILIES.items() for entry in entries)
_ENTRIES: Dict[bytes, Entry] = {
    spelling: entry
    for entry in TABLE
    for spelling in (entry.name.encode(), entry.name.upper().encode())
}


class Head(NamedTuple):
    """What the requests of a command begin with whose arguments are a key, or a key and bytes: the
    kind of command that they become, the values of its other fields, by `Session.version`, and the
    command's name."""

    kind: Type[Command[Any]]
    shared: Mapping[int, Dict[str, Any]]
    name: str


def _heads() -> Dict[bytes, Head]:
    plain = {entry.name: entry.make for entry in TABLE if isinstance(entry.make, Plain)}
    spelled = [(name, abs(_ENTRIES[name.encode()].arity), each) for name, each in plain.items()]
    spelled.append(("set", 3, string_commands.PUT))
    return {
        b"*%d\r\n$%d\r\n%b\r\n" % (count, len(name), typed.encode()): Head(
            kind, {each: {**shared, "id": spelling + each} for each in replies.VERSIONS}, name
        )
        for name, count, (kind, spelling, shared) in spelled
        for typed in (name, name.upper())
    }


HEADS = _heads()
NAMES: FrozenSet[bytes] = frozenset(entry.name.upper().encode() for entry in TABLE)
"""The commands' names, as bytes and in upper case."""
