"""Transactions: MULTI, EXEC, DISCARD, WATCH and UNWATCH.

Rule: EXEC executes what was queued with nothing in between, within the cost and the budget of one
BATCH, over which nothing is done; a command that is refused by itself undoes none of the others.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Collection, List, Optional, Sequence

from msgspec import field

from adapters.protocols.resp import replies
from adapters.protocols.resp.entries import (
    ALL,
    NONE,
    OK,
    Action,
    Does,
    Entry,
    Made,
    keys_of,
)
from adapters.protocols.resp.parser import Arguments
from adapters.protocols.resp.replies import Encoded, ReplyError, Status
from adapters.protocols.resp.session import Queue, Session
from application.budget import Budget, Exhausted
from application.commands import Command
from application.commands.batch import check_cost
from domain.errors import KvError, TooLarge, detached
from domain.store import Store

MAX_WATCHED = 1000
"""Keys of one client: it lets go of all of them at once."""

READ_SHARE = 4
"""What part of the bytes of a reply a transaction may read: its replies are made in one step, those
of the longest MGET in many."""


_WRITING = 8
"""What it costs to write a byte of a reply that has parts."""


def aborted(why: object) -> KvError:
    """The error that tells why EXEC did nothing."""
    return ReplyError(f"EXECABORT Transaction discarded because of: {why}")


def exec_refused(session: Session, error: KvError) -> KvError:
    """The error to tell for an EXEC that is not carried out, which ends the transaction too."""
    if session.queue is None:
        return error
    session.end_transaction()
    return aborted(error)


class Watching(Command[bool], tag="WATCH", kw_only=False, gc=False):
    """Watches keys until the next EXEC."""

    readonly = True

    keys: List[str]
    session: Session

    def run(self, store: Store, budget: Budget) -> bool:
        session = self.session
        if session.queue is not None:
            raise ReplyError("ERR WATCH inside MULTI is not allowed")
        if len({*session.watch.keys, *self.keys}) > MAX_WATCHED:
            raise TooLarge(f"a client watches at most {MAX_WATCHED:,} keys")
        if not session.shared.watches.add(session.watch, self.keys, store):
            raise ReplyError("ERR WATCH needs a store that tells of its changes")
        session.update()
        return True

    def named_keys(self) -> Collection[str]:
        return self.keys


class Exec(Command[Any], tag="EXEC", kw_only=False, gc=False):
    """Runs the queued commands with nothing in between, unless a watched key has changed."""

    session: Session
    queue: Optional[Queue]
    watched: List[str] = field(default_factory=list)
    done: List[Command[Any]] = field(default_factory=list)
    """Those of the queue that were not refused."""

    def run(self, store: Store, budget: Budget) -> Any:
        session, queue = self.session, self.queue
        if queue is None:
            raise ReplyError("ERR EXEC without MULTI")
        self.watched += session.watch.keys
        may_run = session.shared.watches.is_unchanged(session.watch, store)
        session.end_transaction()
        if queue.is_broken:
            raise ReplyError("EXECABORT Transaction discarded because of previous errors.")
        if not may_run:
            return Encoded(b"_\r\n" if session.is_version_3 else b"*-1\r\n")
        try:
            check_cost(queue.commands, budget.limits)
            return Encoded(store.atomically(partial(self._run_all, budget)))
        except TooLarge as error:
            raise aborted(error) from error

    def named_keys(self) -> Collection[str]:
        return [key for command in self._commands for key in command.named_keys()]

    def touches_keyspace(self) -> bool:
        return any(command.touches_keyspace() for command in self._commands)

    def shown_keys(self) -> Optional[Collection[str]]:
        """Of the watched keys the reply tells whether they have changed."""
        shown = [command.shown_keys() for command in self._commands]
        return None if None in shown else [*self.watched, *self.named_keys()]

    def may_write(self) -> bool:
        return any(command.may_write() for command in self._commands)

    def carried_out(self) -> Sequence[Command[Any]]:
        return (self, *self.done)

    def _run_all(self, whole: Budget, store: Store) -> bytes:
        """Has a budget of its own, since a store may run it again."""
        parts: List[bytes] = []
        self.done.clear()
        budget, size, most = whole.parts(), 0, whole.limits.max_reply_bytes // READ_SHARE
        for command in self._commands:
            result: object
            try:
                result = command.run(store, budget)
                self.done.append(command)
            except Exhausted:
                raise
            except KvError as error:
                result = detached(error)
            size += _texts_size(result)
            if size > most:
                raise TooLarge(f"a transaction reads at most {most} bytes (max_reply_bytes)")
            parts.append(_spelled(command, result))
            budget.reply(len(parts[-1]))
            if isinstance(result, (list, dict)):
                budget.convert(_WRITING * len(parts[-1]))
        return replies.array(parts)

    @property
    def _commands(self) -> List[Command[Any]]:
        return self.queue.commands if self.queue else []


def _spelled(command: Command[Any], result: object) -> bytes:
    try:
        return replies.spelled(command, result)
    except KvError as error:
        return replies.error_line(error)


def _texts_size(result: object) -> int:
    """The bytes of the texts of values in a result."""
    texts = result.values() if isinstance(result, dict) else [result]
    return sum(len(text) for text in texts if isinstance(text, bytes))


def _on_session(act: Callable[[Session], None]) -> Does:
    """What makes a command that changes the session, and is answered with OK."""

    def made(session: Session, arguments: Arguments) -> Action:
        def action(store: Store, budget: Budget) -> Status:
            act(session)
            return OK

        return action

    return Does(made)


def _multi(session: Session) -> None:
    if session.queue is not None:
        raise ReplyError("ERR MULTI calls can not be nested")
    session.begin()


def _discard(session: Session) -> None:
    if session.queue is None:
        raise ReplyError("ERR DISCARD without MULTI")
    session.end_transaction()


def _unwatch(session: Session) -> None:
    session.shared.watches.forget(session.watch)


def _watch(session: Session, arguments: Arguments) -> Made:
    return Watching(keys_of(session, arguments[1:]), session), replies.DONE


def _exec(session: Session, arguments: Arguments) -> Made:
    return Exec(session, session.queue), replies.REPLY


TABLE = (
    Entry("multi", 1, "noscript fast", NONE, _on_session(_multi), changes_state=True),
    Entry("exec", 1, "noscript", NONE, _exec, changes_state=True),
    Entry("discard", 1, "noscript fast", NONE, _on_session(_discard), changes_state=True),
    Entry("watch", -2, "noscript fast", ALL, _watch, changes_state=True),
    Entry("unwatch", 1, "noscript fast", NONE, _on_session(_unwatch)),
)
