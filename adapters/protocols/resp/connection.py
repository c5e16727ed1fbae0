"""Commands about a RESP connection and the server, and transactions.

Rule: a command of these is a record like any other, which the conversation's gate and limits see;
what it does to the session it does when it is executed.
"""

from __future__ import annotations

from typing import Any, Callable, Collection, List, Optional, Sequence

import msgspec

from adapters.protocols.resp import replies
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.commands import Auth, Command
from application.databases import DATABASES
from application.glob import glob
from application.ports import Encoded
from domain.errors import KvError
from domain.store import Store

REDIS_VERSION = "7.2.4"
"""The version whose commands these are, for clients that look at it."""

Action = Callable[[Store, Budget], Any]
OK = Status("OK")


class Do(Command[Any], tag="REDIS.CONNECTION", kw_only=False, gc=False):
    """Does something about the connection or the server, and returns a reply."""

    action: Action

    def run(self, store: Store, budget: Budget) -> Any:
        return self.action(store, budget)


class Login(Auth, tag="REDIS.AUTH", kw_only=False):
    """AUTH, or HELLO with a password, which is answered by what `then` returns. It is executed when
    the password is the right one."""

    user: str = "default"
    session: Optional[Session] = None
    then: Optional[Action] = None

    def run(self, store: Store, budget: Budget) -> Any:
        assert self.session
        if not self.session.shared.has_password:
            raise ReplyError(
                "ERR AUTH <password> called without any password configured for the default "
                "user. Are you sure your configuration is correct?"
            )
        self.session.is_authenticated = True
        return self.then(store, budget) if self.then else True


class InfoText(Command[Any], tag="REDIS.INFO", kw_only=False, gc=False):
    """Return figures about the server and its keys as lines in sections."""

    version: str

    def run(self, store: Store, budget: Budget) -> Any:
        stats = store.stats()
        lines = [
            "# Server",
            f"redis_version:{REDIS_VERSION}",
            "server_name:kvjson",
            f"kvjson_version:{self.version}",
            "redis_mode:standalone",
            "",
            "# Memory",
            f"used_memory:{stats.memory or 0}",
            f"maxmemory:{stats.max_memory or 0}",
            "",
            "# Stats",
            f"keyspace_hits:{stats.hits}",
            f"keyspace_misses:{stats.misses}",
            f"expired_keys:{stats.expired}",
            f"evicted_keys:{stats.evicted}",
            "",
            "# Replication",
            "role:master",
            "connected_slaves:0",
            "",
            "# Keyspace",
            *([f"db0:keys={stats.keys},expires=0,avg_ttl=0"] if stats.keys else []),
            "",
        ]
        return "\r\n".join(lines)


class Watching(Command[bool], tag="WATCH", kw_only=False, gc=False):
    """Watches keys until the next EXEC."""

    keys: List[str]
    session: Session

    def run(self, store: Store, budget: Budget) -> bool:
        session = self.session
        if session.queue is not None:
            raise ReplyError("ERR WATCH inside MULTI is not allowed")
        if not session.shared.watches.add(session.watch, self.keys, store):
            raise ReplyError("ERR WATCH needs a store that tells of its changes")
        return True

    def named_keys(self) -> Collection[str]:
        return self.keys


class Exec(Command[Any], tag="EXEC", kw_only=False, gc=False):
    """Runs the queued commands with nothing in between, unless a watched key has changed."""

    commands: Optional[List[Command[Any]]]
    session: Session
    is_broken: bool

    @classmethod
    def of(cls, session: Session) -> Exec:
        """The transaction of a session."""
        return cls(session.queue, session, session.is_queue_broken)

    def run(self, store: Store, budget: Budget) -> Any:
        session = self.session
        if self.commands is None:
            raise ReplyError("ERR EXEC without MULTI")
        may_run = session.shared.watches.is_unchanged(session.watch, store)
        session.end_transaction()
        if self.is_broken:
            raise ReplyError("EXECABORT Transaction discarded because of previous errors.")
        if not may_run:
            return Encoded(b"_\r\n" if session.is_version_3 else b"*-1\r\n")
        return Encoded(store.atomically(lambda inner: self._run_all(inner, budget)))

    def named_keys(self) -> Collection[str]:
        return [key for command in self.commands or () for key in command.named_keys()]

    def touches_keyspace(self) -> bool:
        return any(command.touches_keyspace() for command in self.commands or ())

    def _run_all(self, store: Store, budget: Budget) -> bytes:
        parts: List[bytes] = []
        size = 0
        for command in self.commands or ():
            try:
                parts.append(replies.spelled(command, command.run(store, budget)))
            except KvError as error:
                parts.append(replies.error_line(error))
            size += len(parts[-1])
            budget.reply(size)
        return replies.array(parts)


def constant(value: Any) -> Action:
    """An action that returns a value."""
    return lambda store, budget: value


def database_of(argument: bytes) -> int:
    """The number of a database."""
    if not argument.isdigit() or len(argument) > 9:
        raise ReplyError("ERR value is not an integer or out of range")
    if int(argument) >= DATABASES:
        raise ReplyError("ERR DB index is out of range")
    return int(argument)


def hello(session: Session, arguments: Arguments) -> Any:
    """HELLO [version [AUTH user password] [SETNAME name]]."""
    version = 3 if session.is_version_3 else 2
    options = list(arguments[:0:-1])
    if options:
        number = options.pop()
        if not number.isdigit():
            raise ReplyError("ERR Protocol version is not an integer or out of range")
        version = int(number[:9])
        if version not in (2, 3):
            raise ReplyError("NOPROTO unsupported protocol version")
    user, password, name = "", None, None
    while options:
        option = options.pop().upper()
        if option == b"AUTH" and len(options) >= 2:
            user, password = _text(options.pop()), _text(options.pop())
        elif option == b"SETNAME" and options:
            name = _name(options.pop())
        else:
            shown = option.decode("utf-8", "replace")
            raise ReplyError(f"ERR Syntax error in HELLO option '{shown}'")

    def greet(store: Store, budget: Budget) -> Any:
        if session.queue is not None:
            raise ReplyError("ERR HELLO is not allowed in a transaction")
        session.speak(version)
        session.name = session.name if name is None else name
        reply = {
            "server": "redis",
            "version": REDIS_VERSION,
            "proto": version,
            "id": session.id,
            "mode": "standalone",
            "role": "master",
            "modules": [],
        }
        return Encoded(replies.reply_3(reply) if version == 3 else replies.reply_2(reply))

    if password is None:
        return Do(greet), replies.REPLY
    return Login(_secret(user, password), session=session, then=greet), replies.REPLY


def login(session: Session, arguments: Arguments) -> Login:
    """AUTH [user] password."""
    if len(arguments) > 3:
        raise ReplyError("ERR syntax error")
    user = _text(arguments[1]) if len(arguments) == 3 else "default"
    return Login(_secret(user, _text(arguments[-1])), session=session)


def _secret(user: str, password: str) -> str:
    """What is compared with the password; that of a user that does not exist is no one's."""
    return password if user == "default" else "\0" + password


def _text(argument: bytes) -> str:
    return argument.decode("utf-8", "surrogateescape")


def _name(argument: bytes) -> str:
    name = argument.decode("ascii", "replace")
    if not all("!" <= char <= "~" for char in name):
        raise ReplyError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


def select(session: Session, arguments: Arguments) -> Action:
    """SELECT database."""
    database = database_of(arguments[1])

    def action(store: Store, budget: Budget) -> Status:
        if session.queue is not None:
            raise ReplyError("ERR SELECT is not allowed in a transaction here")
        session.select(database)
        return OK

    return action


def reset(session: Session, arguments: Arguments) -> Action:
    """RESET."""

    def action(store: Store, budget: Budget) -> Any:
        session.reset()
        return Encoded(b"+RESET\r\n")

    return action


def client(session: Session, arguments: Arguments) -> Action:
    """CLIENT with the subcommands that ask and tell about the connection itself."""
    subcommand = arguments[1].upper()
    rest = arguments[2:]
    if subcommand == b"SETNAME" and len(rest) == 1:
        name = _name(rest[0])

        def rename(store: Store, budget: Budget) -> Status:
            session.name = name
            return OK

        return rename
    if subcommand == b"SETINFO" and len(rest) == 2:
        attribute = rest[0].lower()
        if attribute not in (b"lib-name", b"lib-ver"):
            shown = rest[0].decode("utf-8", "replace")
            raise ReplyError(f"ERR Unrecognized option '{shown}'")
        value = _name(rest[1])

        def note(store: Store, budget: Budget) -> Status:
            session.library[attribute.decode()] = value
            return OK

        return note
    if rest or subcommand not in (b"ID", b"GETNAME", b"INFO", b"LIST"):
        if subcommand in (b"NO-EVICT", b"NO-TOUCH") and len(rest) == 1:
            return constant(OK)
        shown = arguments[1].decode("utf-8", "replace")
        raise ReplyError(f"ERR unknown subcommand '{shown}'. Try CLIENT HELP.")
    if subcommand == b"ID":
        return constant(session.id)
    if subcommand == b"GETNAME":
        return lambda store, budget: session.name or None
    if subcommand == b"INFO":
        return lambda store, budget: _described(session)
    sessions = session.shared.sessions
    return lambda store, budget: "".join(map(_described, list(sessions.values())))


def _described(session: Session) -> str:
    library = session.library
    return (
        f"id={session.id} name={session.name} db={session.database} "
        f"multi={-1 if session.queue is None else len(session.queue)} "
        f"watch={len(session.watch.keys)} resp={3 if session.is_version_3 else 2} "
        f"lib-name={library.get('lib-name', '')} lib-ver={library.get('lib-ver', '')}\n"
    )


def tell_time(session: Session, arguments: Arguments) -> Action:
    """TIME."""

    def action(store: Store, budget: Budget) -> List[bytes]:
        seconds, fraction = divmod(session.shared.wall(), 1)
        return [b"%d" % seconds, b"%d" % (fraction * 1_000_000)]

    return action


def config(session: Session, arguments: Arguments) -> Action:
    """CONFIG GET, made from the server's limits; CONFIG SET changes nothing."""
    subcommand = arguments[1].upper()
    if subcommand == b"GET" and len(arguments) > 2:
        settings = msgspec.structs.asdict(session.shared.limits)
        known = {name.replace("_", "-"): str(value) for name, value in settings.items()}
        known.update({"databases": str(DATABASES), "appendonly": "no", "save": ""})
        known.update({"maxclients": known["max-clients"], "timeout": known["idle-timeout"]})
        patterns = [glob(_text(each).lower()) for each in arguments[2:]]
        found = {
            name: value
            for name, value in known.items()
            if any(pattern.matches(name) for pattern in patterns)
        }
        return constant(found)
    if subcommand == b"RESETSTAT" and len(arguments) == 2:
        return constant(OK)
    if subcommand == b"SET" and len(arguments) >= 4:
        raise ReplyError("ERR CONFIG SET is not here: settings are given when the server starts")
    shown = arguments[1].decode("utf-8", "replace")
    raise ReplyError(f"ERR unknown subcommand '{shown}'. Try CONFIG HELP.")


def command(arguments: Arguments, table: Sequence[Any]) -> Any:
    """COMMAND, with COUNT, DOCS, INFO and LIST, made from the table."""
    subcommand = arguments[1].upper() if len(arguments) > 1 else b"INFO"
    if subcommand == b"COUNT":
        return len(table)
    names = [each.decode("utf-8", "replace").lower() for each in arguments[2:]]
    known = {entry.name: entry for entry in table}
    asked = names or list(known)
    if subcommand == b"LIST":
        return list(known)
    if subcommand == b"DOCS":
        return {name: {"summary": "", "group": "string"} for name in asked if name in known}
    if subcommand == b"INFO":
        return [_told(known[name]) if name in known else None for name in asked]
    shown = arguments[1].decode("utf-8", "replace")
    raise ReplyError(f"ERR unknown subcommand '{shown}'. Try COMMAND HELP.")


def _told(entry: Any) -> List[Any]:
    flags = [Status(flag) for flag in entry.flags.split()]
    return [entry.name, entry.arity, flags, *entry.keys, [], [], [], []]


def multi(session: Session, arguments: Arguments) -> Action:
    """MULTI."""

    def action(store: Store, budget: Budget) -> Status:
        if session.queue is not None:
            raise ReplyError("ERR MULTI calls can not be nested")
        session.begin()
        return OK

    return action


def discard(session: Session, arguments: Arguments) -> Action:
    """DISCARD."""

    def action(store: Store, budget: Budget) -> Status:
        if session.queue is None:
            raise ReplyError("ERR DISCARD without MULTI")
        session.end_transaction()
        return OK

    return action


def unwatch(session: Session, arguments: Arguments) -> Action:
    """UNWATCH."""

    def action(store: Store, budget: Budget) -> Status:
        session.shared.watches.forget(session.watch)
        return OK

    return action
