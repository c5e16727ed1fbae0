"""Scripts: there is no Lua; those of well-known lock recipes are carried out natively.

Rule: a script is recognised by the SHA-1 of its text without comments, blanks, quotes of one kind
or the other, and case, when it is executed; its command does at once what the script would do. No
other is accepted.
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Any, Callable, Collection, Dict, Generator, List, Optional, Tuple

from adapters.protocols.resp import replies
from adapters.protocols.resp.entries import (
    NONE,
    OK,
    Action,
    Does,
    Entry,
    Made,
    family,
    integer_of,
    keys_of,
    lifetime_of,
    seconds_of,
    text_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.commands import Command, strings
from application.commands.base import Run, renamed
from application.commands.strings import Condition, Lifetime
from domain.store import Store

Told = Callable[[Any], Any]
Native = Callable[[Session, str, Arguments], Tuple[Command[Any], Told]]
"""Makes the command that does what a script does with one key and these arguments, and what is told
of its result."""


def _delete(session: Session, key: str, arguments: Arguments) -> Tuple[Command[Any], Told]:
    (token,) = arguments
    return strings.DelIfEq(key, token), int


def _extend(session: Session, key: str, arguments: Arguments) -> Tuple[Command[Any], Told]:
    token, milliseconds, replaces = arguments
    seconds = seconds_of(milliseconds, 1000, "pexpire")
    return strings.ExpireIfEq(key, token, seconds, True, adds=replaces == b"0"), int


def _reacquire(session: Session, key: str, arguments: Arguments) -> Tuple[Command[Any], Told]:
    token, milliseconds = arguments
    seconds = seconds_of(milliseconds, 1000, "pexpire")
    return strings.ExpireIfEq(key, token, seconds), int


def _set(session: Session, key: str, arguments: Arguments) -> Tuple[Command[Any], Told]:
    data, token, *options = arguments
    lifetime: Optional[Lifetime] = None
    if options:
        unit, number = options
        lifetime = lifetime_of(session, unit.upper(), number, "set")
    command = strings.SetBytes(key, data, lifetime, condition=Condition(equals=token))
    return command, lambda result: OK if result[0] else 0


_NATIVE: Dict[str, Native] = {
    "1f37489385113287b5c4277ce97ce91eee27e161": _delete,
    "549c5774470b9ecc1a0f48a2fea86a36eb945186": _extend,
    "add55a5216bb8b2ac89d381b43cab17e01074ac9": _reacquire,
    "436c6eb9061c0fd6bb5eb9f0ccd80873a070bd03": _delete,
    "7c0dae436a2663692b7ebdb923900a580250bbef": _set,
}
"""By the digest of the normal form: release, extend and reacquire of redis-py's `Lock`; compare and
delete, which most recipes share; compare and set of aiocache."""

_NAME_LENGTH = 2 * hashlib.sha1().digest_size

MAX_TEXT = 4096
MAX_LOADED = 1000
"""Bytes of a script that is looked at, and the spellings of scripts that EVALSHA finds."""

_comments = re.compile(rb"--(?!\[=*\[)[^\n]*")
"""Up to the end of a line. One that may have several is left, so that its script is not known."""


def recognised(text: bytes) -> Optional[Native]:
    """What a script is known to do."""
    if len(text) > MAX_TEXT:
        return None
    plain = b"".join(_comments.sub(b"", text).lower().replace(b"'", b'"').split())
    return _NATIVE.get(hashlib.sha1(plain).hexdigest())


def load(loaded: Dict[str, Native], text: bytes) -> str:
    """Adds a script to those that EVALSHA finds, and returns its name; raises `ReplyError` for one
    that is not known."""
    native = recognised(text)
    if native is None:
        raise ReplyError(
            "ERR there is no Lua here: of scripts, only those of some lock recipes are known"
        )
    name = hashlib.sha1(text).hexdigest()
    loaded[name] = native
    if len(loaded) > MAX_LOADED:
        del loaded[next(iter(loaded))]
    return name


def _keys_number(arguments: Arguments) -> int:
    """How many of the arguments behind the script, and behind this number, are keys."""
    n_keys = integer_of(arguments[2])
    if n_keys < 0:
        raise ReplyError("ERR Number of keys can't be negative")
    if n_keys > len(arguments) - 3:
        raise ReplyError("ERR Number of keys can't be greater than number of args")
    return n_keys


class Script(Command[Any], kw_only=False, gc=False):
    """Do what the script does that `find` returns, with keys and arguments."""

    session: Session
    find: Callable[[], Native]
    keys: List[str]
    arguments: Arguments

    def run(self, store: Store, budget: Budget) -> Any:
        command, told = self._made()
        return told(command.run(store, budget))

    def prepare(self, budget: Budget) -> Generator[None, None, Run[Any]]:
        command, told = self._made()
        run = yield from command.prepare(budget)
        return lambda store, budget: told(run(store, budget))

    def named_keys(self) -> Collection[str]:
        return self.keys

    def _made(self) -> Tuple[Command[Any], Told]:
        native = self.find()
        try:
            (key,) = self.keys
            return native(self.session, key, self.arguments)
        except ValueError:
            why = "ERR this script has one key, and other arguments than these"
            raise ReplyError(why) from None


_Eval, _EvalSha = (renamed(Script, name, __name__) for name in ("EVAL", "EVALSHA"))


def _eval(session: Session, arguments: Arguments) -> Made:
    return _script(_Eval, partial(_loaded, session.shared.scripts), session, arguments)


def _loaded(scripts: Dict[str, Native], text: bytes) -> Native:
    return scripts[load(scripts, text)]


def _eval_sha(session: Session, arguments: Arguments) -> Made:
    if len(arguments[1]) != _NAME_LENGTH:
        raise ReplyError(_NO_SCRIPT)
    return _script(_EvalSha, partial(_found, session.shared.scripts), session, arguments)


def _found(scripts: Dict[str, Native], name: bytes) -> Native:
    native = scripts.get(text_of(name).lower())
    if native is None:
        raise ReplyError(_NO_SCRIPT)
    return native


_NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL."


def _script(
    kind: Any, find: Callable[[bytes], Native], session: Session, arguments: Arguments
) -> Made:
    """The command of a script that is found by the first argument."""
    end = 3 + _keys_number(arguments)
    keys = keys_of(session, arguments[3:end])
    return kind(session, partial(find, arguments[1]), keys, arguments[end:]), replies.REPLY


def _load(session: Session, arguments: Arguments) -> Action:
    return lambda store, budget: load(session.shared.scripts, arguments[2])


def _exists(session: Session, arguments: Arguments) -> Action:
    names = [text_of(each).lower() for each in arguments[2:]]
    return lambda store, budget: [int(name in session.shared.scripts) for name in names]


def _flush(session: Session, arguments: Arguments) -> Action:
    if [each.upper() for each in arguments[2:]] not in ([], [b"SYNC"], [b"ASYNC"]):
        raise ReplyError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")

    def action(store: Store, budget: Budget) -> Status:
        session.shared.scripts.clear()
        return OK

    return action


TABLE = (
    Entry("eval", -3, "noscript movablekeys", NONE, _eval),
    Entry("evalsha", -3, "noscript movablekeys", NONE, _eval_sha),
    family(
        "script",
        "noscript",
        Entry("load", 3, "", NONE, Does(_load)),
        Entry("exists", -3, "", NONE, Does(_exists)),
        Entry("flush", -2, "", NONE, Does(_flush)),
    ),
)
