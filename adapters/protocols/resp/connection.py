"""Commands about one connection: the handshake, the login, the database and CLIENT.

Rule: a command of these is a record like any other, which the conversation's gate and limits see;
what it does to the session it does when it is executed.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence

from adapters.protocols.resp import replies
from adapters.protocols.resp.entries import (
    NONE,
    OK,
    SYNTAX,
    Action,
    Do,
    Does,
    Entry,
    Made,
    constant,
    database_of,
    family,
    returns,
    shown,
    text_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import Members, ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.commands import Auth, Ping
from application.commands.base import renamed
from application.databases import database_number
from application.ports import Encoded
from domain.errors import InvalidPassword
from domain.store import Store

REDIS_VERSION = "7.2.4"
"""The version whose commands these are, for clients that look at it."""


class Login(Auth, tag="AUTH", kw_only=False):
    """AUTH, or HELLO with a password, which is answered by what `then` returns. It is executed when
    the password is the right one."""

    session: Optional[Session] = None
    then: Optional[Action] = None
    names_user: bool = True

    def run(self, store: Store, budget: Budget) -> Any:
        assert self.session
        if not self.session.shared.has_password:
            if not self.names_user:
                raise ReplyError(
                    "ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?"
                )
            if self.password.startswith(_NO_USER):
                raise InvalidPassword("invalid password")
        self.session.is_authenticated = True
        return self.then(store, budget) if self.then else True


_NO_USER = "\0"
"""Begins what is compared with the password for a user that does not exist."""


_Hello, _Ping = (renamed(Do, name, __name__) for name in ("HELLO", "PING"))


def _hello(session: Session, arguments: Arguments) -> Made:
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
            user, password = text_of(options.pop()), text_of(options.pop())
        elif option == b"SETNAME" and options:
            name = _name(options.pop())
        else:
            raise ReplyError(f"ERR Syntax error in HELLO option '{shown(option)}'")

    def greet(store: Store, budget: Budget) -> Any:
        session.refuse_in_transaction("HELLO")
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
        return _Hello(greet), replies.REPLY
    return Login(_secret(user, password), session, greet), replies.REPLY


def _login(session: Session, arguments: Arguments) -> Made:
    """AUTH [user] password."""
    if len(arguments) > 3:
        raise ReplyError(SYNTAX)
    user = text_of(arguments[1]) if len(arguments) == 3 else "default"
    password = _secret(user, text_of(arguments[-1]))
    return Login(password, session, names_user=len(arguments) == 3), replies.DONE


def _secret(user: str, password: str) -> str:
    return password if user == "default" else _NO_USER + password


MAX_NAME = 1024
"""Bytes of the name of a client or of its library, which is kept, and listed for others."""


def _name(argument: bytes) -> str:
    if len(argument) > MAX_NAME:
        raise ReplyError(f"ERR a name has at most {MAX_NAME} bytes, not {len(argument)}")
    name = argument.decode("ascii", "replace")
    if not all("!" <= char <= "~" for char in name):
        raise ReplyError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


def _select(session: Session, arguments: Arguments) -> Action:
    """SELECT database."""
    database = database_of(arguments[1])

    def action(store: Store, budget: Budget) -> Status:
        session.refuse_in_transaction("SELECT")
        session.select(database)
        return OK

    return action


def _reset(session: Session, arguments: Arguments) -> Action:
    """RESET."""

    def action(store: Store, budget: Budget) -> Any:
        session.reset()
        return Encoded(b"+RESET\r\n")

    return action


def _ping(session: Session, arguments: Arguments) -> Made:
    if len(arguments) > 2:
        raise ReplyError("ERR wrong number of arguments for 'ping' command")
    if session.is_subscribed:
        return _Ping(constant([b"pong", *(arguments[1:] or [b""])])), replies.REPLY
    if len(arguments) == 2:
        return _Ping(constant(arguments[1])), replies.REPLY
    return Ping(), replies.PONG


def _set_name(session: Session, arguments: Arguments) -> Action:
    name = _name(arguments[2])

    def action(store: Store, budget: Budget) -> Status:
        session.name = name
        return OK

    return action


def _set_info(session: Session, arguments: Arguments) -> Action:
    attribute = arguments[2].lower()
    if attribute not in (b"lib-name", b"lib-ver"):
        raise ReplyError(f"ERR Unrecognized option '{shown(arguments[2])}'")
    value = _name(arguments[3])

    def action(store: Store, budget: Budget) -> Status:
        session.library[attribute.decode()] = value
        return OK

    return action


def _list_clients(session: Session, arguments: Arguments) -> Action:
    """CLIENT LIST [TYPE type | ID id ...]."""
    tests = _client_tests(arguments[2:]) if len(arguments) > 2 else []
    return lambda store, budget: "".join(map(_described, _clients(session, tests, budget)))


_TYPES = (b"normal", b"pubsub", b"master", b"replica", b"slave")


_VISIT, _TEST = 512, 8
"""What it costs to look at a client, and to make one of the tests of which it is; about 10 ns are
one unit."""

ClientTest = Callable[[Session], bool]


def _clients(session: Session, tests: List[ClientTest], budget: Budget) -> List[Session]:
    """The clients that all tests are true of."""
    sessions = list(session.shared.sessions.values())
    budget.convert(_VISIT * len(sessions))
    budget.open(_TEST * len(sessions) * len(tests))
    return [one for one in sessions if all(test(one) for test in tests)]


def _client_tests(options: Sequence[bytes]) -> List[ClientTest]:
    """Which clients the options of LIST and KILL mean."""
    tests: List[ClientTest] = []
    rest = list(options[::-1])
    while rest:
        option = rest.pop().upper()
        value = rest.pop() if rest else b""
        if option == b"ID" and value.isdigit():
            ids = {int(value[:18])}
            while rest and rest[-1].isdigit():
                ids.add(int(rest.pop()[:18]))
            tests.append(lambda one, ids=ids: one.id in ids)  # type: ignore[misc]
        elif option == b"TYPE":
            if value.lower() not in _TYPES:
                raise ReplyError(f"ERR Unknown client type '{shown(value)}'")
            kind = value.lower().decode()
            tests.append(lambda one, kind=kind: one.kind == kind)  # type: ignore[misc]
        elif option == b"ADDR" and value:
            address = text_of(value)
            tests.append(lambda one, address=address: one.address == address)  # type: ignore[misc]
        elif option == b"USER" and value:
            is_known = value == b"default"
            tests.append(lambda one, is_known=is_known: is_known)  # type: ignore[misc]
        else:
            raise ReplyError(SYNTAX)
    return tests


def _kill(session: Session, arguments: Arguments) -> Action:
    """CLIENT KILL address, or with filters."""
    options = list(arguments[2:])
    is_old = len(options) == 1
    if is_old:
        options = [b"ADDR", options[0], b"SKIPME", b"no"]
    skips_me = True
    names = [each.upper() for each in options]
    if b"SKIPME" in names[::2]:
        at = 2 * names[::2].index(b"SKIPME")
        answer = names[at + 1 : at + 2]
        if answer not in ([b"YES"], [b"NO"]):
            raise ReplyError(SYNTAX)
        skips_me = answer == [b"YES"]
        del options[at : at + 2]
    tests = _client_tests(options)

    def action(store: Store, budget: Budget) -> Any:
        killed = _clients(session, tests, budget)
        if skips_me and session in killed:
            killed.remove(session)
        for one in killed:
            one.kill()
        if is_old and not killed:
            raise ReplyError("ERR No such client")
        return OK if is_old else len(killed)

    return action


def _reply_mode(session: Session, arguments: Arguments) -> Action:
    """CLIENT REPLY ON | OFF | SKIP."""
    mode = arguments[2].upper()
    if mode not in (b"ON", b"OFF", b"SKIP"):
        raise ReplyError(SYNTAX)

    def action(store: Store, budget: Budget) -> Any:
        session.answer_by(mode.decode())
        return OK if mode == b"ON" else Encoded(b"")

    return action


def _pause(session: Session, arguments: Arguments) -> Action:
    """CLIENT PAUSE milliseconds [WRITE | ALL]."""
    mode = arguments[3].upper() if len(arguments) == 4 else b"ALL"
    if len(arguments) > 4 or mode not in (b"WRITE", b"ALL"):
        raise ReplyError(SYNTAX)
    if not arguments[2].lstrip(b"-").isdigit() or len(arguments[2]) > 15:
        raise ReplyError("ERR timeout is not an integer or out of range")
    milliseconds = int(arguments[2])
    if milliseconds < 0:
        raise ReplyError("ERR timeout is negative")

    def action(store: Store, budget: Budget) -> Status:
        session.shared.pause.begin(milliseconds / 1000, mode == b"WRITE")
        return OK

    return action


def _unpause(session: Session, arguments: Arguments) -> Action:
    """CLIENT UNPAUSE."""

    def action(store: Store, budget: Budget) -> Status:
        session.shared.pause.end()
        return OK

    return action


def _switch(session: Session, arguments: Arguments) -> Action:
    """What is switched on or off, and has no effect here."""
    if arguments[2].upper() not in (b"ON", b"OFF"):
        raise ReplyError(SYNTAX)
    return constant(OK)


def _described(session: Session) -> str:
    library, subscriber = session.library, session.subscriber
    return (
        f"id={session.id} addr={session.address} name={session.name} "
        f"flags={'P' if session.kind == 'pubsub' else 'N'} db={database_number(session.prefix)} "
        f"sub={len(subscriber.channels)} psub={len(subscriber.patterns)} "
        f"multi={-1 if session.queue is None else len(session.queue.commands)} "
        f"watch={len(session.watch.keys)} cmd={session.command} user=default "
        f"resp={3 if session.is_version_3 else 2} "
        f"lib-name={library.get('lib-name', '')} lib-ver={library.get('lib-ver', '')}\n"
    )


_NOT_TRACKING = {"flags": Members(["off"]), "redirect": -1, "prefixes": []}

TABLE = (
    Entry("ping", -1, "fast", NONE, _ping),
    Entry("echo", 2, "fast", NONE, Does(lambda session, arguments: constant(arguments[1]))),
    Entry("hello", -1, "noscript fast no_auth", NONE, _hello, True),
    Entry("auth", -2, "noscript fast no_auth", NONE, _login, True),
    Entry("select", 2, "fast", NONE, Does(_select), True),
    Entry("quit", -1, "noscript fast no_auth", NONE, _ping),
    Entry("reset", 1, "noscript fast no_auth", NONE, Does(_reset), True),
    family(
        "client",
        "noscript",
        Entry("id", 2, "fast", NONE, Does(lambda session, arguments: constant(session.id))),
        Entry("getname", 2, "", NONE, Does(lambda s, a: lambda store, budget: s.name or None)),
        Entry("setname", 3, "fast", NONE, Does(_set_name)),
        Entry("setinfo", 4, "fast", NONE, Does(_set_info)),
        Entry("info", 2, "", NONE, Does(lambda s, a: lambda store, budget: _described(s))),
        Entry("list", -2, "admin", NONE, Does(_list_clients)),
        Entry("kill", -3, "admin", NONE, Does(_kill)),
        Entry("pause", -3, "admin", NONE, Does(_pause)),
        Entry("unpause", 2, "admin", NONE, Does(_unpause)),
        Entry("reply", 3, "fast", NONE, Does(_reply_mode), True),
        Entry("no-evict", 3, "admin", NONE, Does(_switch)),
        Entry("no-touch", 3, "fast", NONE, Does(_switch)),
        Entry("trackinginfo", 2, "", NONE, returns(_NOT_TRACKING)),
        Entry("getredir", 2, "", NONE, returns(-1)),
    ),
)
