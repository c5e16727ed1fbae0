"""Commands about one connection: the handshake, the login and the database.

Rule: a command of these is a record like any other, which the conversation's gate and limits see;
what it does to the session it does when it is executed.
"""

from __future__ import annotations

from typing import Any, Optional

from adapters.protocols.resp import replies
from adapters.protocols.resp.clients import client_name
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
    integer_of,
    shown,
    text_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import Encoded, ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.commands import Auth, Ping
from application.commands.base import renamed
from application.ports import Closing, Settled
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


_Hello, _Ping = (renamed(Do, name, __name__, is_quick=True) for name in ("HELLO", "PING"))


def _hello(session: Session, arguments: Arguments) -> Made:
    """HELLO [version [AUTH user password] [SETNAME name]]."""
    version = 3 if session.is_version_3 else 2
    options = list(arguments[:0:-1])
    if options:
        no_version = "ERR Protocol version is not an integer or out of range"
        version = integer_of(options.pop(), no_version)
        if version not in (2, 3):
            raise ReplyError("NOPROTO unsupported protocol version")
    user, password, name = "", None, None
    while options:
        typed = options.pop()
        option = typed.upper()
        if option == b"AUTH" and len(options) >= 2:
            user, password = text_of(options.pop()), text_of(options.pop())
        elif option == b"SETNAME" and options:
            name = client_name(options.pop())
        else:
            raise ReplyError(f"ERR Syntax error in HELLO option '{shown(typed)}'")

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


def _quit(session: Session, arguments: Arguments) -> Settled:
    return Settled(session.spelling(replies.DONE), Closing(), is_fatal=True)


TABLE = (
    Entry("ping", -1, "fast", NONE, _ping, while_subscribed=True),
    Entry("echo", 2, "fast", NONE, Does(lambda session, arguments: constant(arguments[1]))),
    Entry("hello", -1, "noscript fast no_auth", NONE, _hello, changes_state=True),
    Entry("auth", -2, "noscript fast no_auth", NONE, _login, changes_state=True),
    Entry("select", 2, "fast", NONE, Does(_select), changes_state=True),
    Entry("quit", -1, "noscript fast no_auth", NONE, _quit, while_subscribed=True),
    Entry(
        "reset",
        1,
        "noscript fast no_auth",
        NONE,
        Does(_reset),
        changes_state=True,
        while_subscribed=True,
        is_always_answered=True,
    ),
)
