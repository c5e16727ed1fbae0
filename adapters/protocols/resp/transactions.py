"""Transactions: MULTI, EXEC, DISCARD, WATCH and UNWATCH.

Rule: EXEC executes what was queued with nothing in between; a command that is refused undoes none
of the others.
"""

from __future__ import annotations

from typing import Any, Collection, List, Optional

from adapters.protocols.resp import replies
from adapters.protocols.resp.entries import (
    ALL,
    NONE,
    OK,
    Action,
    Entry,
    Made,
    does,
    keys_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import ReplyError, Status
from adapters.protocols.resp.session import Session
from application.budget import Budget
from application.commands import Command
from application.ports import Encoded
from domain.errors import KvError
from domain.store import Store


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


def _multi(session: Session, arguments: Arguments) -> Action:
    """MULTI."""

    def action(store: Store, budget: Budget) -> Status:
        if session.queue is not None:
            raise ReplyError("ERR MULTI calls can not be nested")
        session.begin()
        return OK

    return action


def _discard(session: Session, arguments: Arguments) -> Action:
    """DISCARD."""

    def action(store: Store, budget: Budget) -> Status:
        if session.queue is None:
            raise ReplyError("ERR DISCARD without MULTI")
        session.end_transaction()
        return OK

    return action


def _unwatch(session: Session, arguments: Arguments) -> Action:
    """UNWATCH."""

    def action(store: Store, budget: Budget) -> Status:
        session.shared.watches.forget(session.watch)
        return OK

    return action


def _watch(session: Session, arguments: Arguments) -> Made:
    return Watching(keys_of(session, arguments[1:]), session), replies.DONE


def _exec(session: Session, arguments: Arguments) -> Made:
    return Exec.of(session), replies.REPLY


TABLE = (
    Entry("multi", 1, "noscript fast", NONE, does(_multi), True),
    Entry("exec", 1, "noscript", NONE, _exec, True),
    Entry("discard", 1, "noscript fast", NONE, does(_discard), True),
    Entry("watch", -2, "noscript fast", ALL, _watch, True),
    Entry("unwatch", 1, "noscript fast", NONE, does(_unwatch)),
)
