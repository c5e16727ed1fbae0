"""CLIENT: what connections are called, which there are, and what becomes of them.

Rule: a command that looks at all clients is charged for each.
"""

from __future__ import annotations

from typing import Any, Callable, List, Sequence

from adapters.protocols.resp.entries import (
    NONE,
    OK,
    SYNTAX,
    Action,
    Does,
    Entry,
    check_count,
    constant,
    family,
    integer_of,
    returns,
    shown,
    text_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import Encoded, Members, ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.databases import database_number
from domain.store import Store

MAX_NAME = 1024
"""Bytes of a name, which is kept, and listed for others."""


def client_name(argument: bytes) -> str:
    """The name of a client or of its library."""
    if len(argument) > MAX_NAME:
        raise ReplyError(f"ERR a name has at most {MAX_NAME} bytes, not {len(argument)}")
    name = argument.decode("ascii", "replace")
    if not all("!" <= char <= "~" for char in name):
        raise ReplyError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


def _set_name(session: Session, arguments: Arguments) -> Action:
    name = client_name(arguments[2])

    def action(store: Store, budget: Budget) -> Status:
        session.name = name
        return OK

    return action


def _set_info(session: Session, arguments: Arguments) -> Action:
    attribute = arguments[2].lower()
    if attribute not in (b"lib-name", b"lib-ver"):
        raise ReplyError(f"ERR Unrecognized option '{shown(arguments[2])}'")
    value = client_name(arguments[3])

    def action(store: Store, budget: Budget) -> Status:
        session.library[attribute.decode()] = value
        return OK

    return action


def _list_clients(session: Session, arguments: Arguments) -> Action:
    """CLIENT LIST [TYPE type | ID id ...]."""
    tests = _client_tests(arguments[2:], "ERR Invalid client ID")
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


def _client_tests(options: Sequence[bytes], no_id: str) -> List[ClientTest]:
    """Which clients the options of LIST and KILL mean; `no_id` refuses what is not a number."""
    tests: List[ClientTest] = []
    rest = list(options[::-1])
    while rest:
        option = rest.pop().upper()
        value = rest.pop() if rest else b""
        if option == b"ID" and value:
            ids = {integer_of(value, no_id)}
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
    tests = _client_tests(options, "ERR client-id should be greater than 0")

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
    check_count(arguments, 4)
    mode = arguments[3].upper() if len(arguments) == 4 else b"ALL"
    if mode not in (b"WRITE", b"ALL"):
        raise ReplyError("ERR CLIENT PAUSE mode must be WRITE or ALL")
    milliseconds = integer_of(arguments[2], "ERR timeout is not an integer or out of range")
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
        f"watch={len(session.watch.keys)} cmd={session.reader.command} user=default "
        f"resp={3 if session.is_version_3 else 2} "
        f"lib-name={library.get('lib-name', '')} lib-ver={library.get('lib-ver', '')}\n"
    )


_NOT_TRACKING = {"flags": Members(["off"]), "redirect": -1, "prefixes": []}

CLIENT = family(
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
    Entry(
        "reply",
        3,
        "fast",
        NONE,
        Does(_reply_mode),
        changes_state=True,
        is_always_answered=True,
    ),
    Entry("no-evict", 3, "admin", NONE, Does(_switch)),
    Entry("no-touch", 3, "fast", NONE, Does(_switch)),
    Entry("trackinginfo", 2, "", NONE, returns(_NOT_TRACKING)),
    Entry("getredir", 2, "", NONE, returns(-1)),
)
