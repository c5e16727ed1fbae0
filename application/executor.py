"""The executors that carry commands out on a store in this process.

Rule: a command that takes long is executed in steps only where the store allows for it: it must not
block, must be maintained and must tell its effects. On any other store each command is one step.
"""

from __future__ import annotations

import contextlib
from itertools import groupby
from typing import Any, Callable, List, Optional, Sequence, Type, TypeVar, cast

from application.budget import Budget
from application.commands import Command, Results
from application.limits import DEFAULTS, Limits
from application.ports import Executor, Pipelined, Steps
from application.snapshot_read import STEP_KEYS, SteppedStore
from application.stats import Report
from domain.effects import Observable
from domain.errors import KvError, Unavailable
from domain.store import Maintained, Stats, Store

R = TypeVar("R")


class LocalExecutor(Executor):
    """Runs commands on a store in this process, each within `limits`; `report` makes of the store's
    figures what INFO returns."""

    def __init__(
        self,
        store: Store,
        limits: Limits = DEFAULTS,
        report: Callable[[Stats], Report] = Report,
    ) -> None:
        self._store = store
        self._budget = Budget(limits, report)
        self._stepped = _stepped(store)

    def execute(self, command: Command[R]) -> R:
        return command.run(self._store, self._budget)

    def execute_run(
        self, kind: Type[Command[Any]], commands: Sequence[Command[Any]]
    ) -> Optional[Results]:
        """What cannot be reached is not asked again for each command, which may have had an effect
        already."""
        try:
            return kind.run_many(commands, self._store, self._budget)
        except Unavailable as error:
            return Results([error] * len(commands), 0, has_errors=True)

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        """Before a command on all keys, those that are due are expired in steps; what a command
        does before it needs the store is in steps on any store."""
        if self._stepped is None:
            run = yield from command.prepare(self._budget)
            return run(self._store, self._budget)
        if command.touches_keyspace():
            while self._stepped.expire_due(STEP_KEYS) == STEP_KEYS:
                yield
        return (yield from command.run_in_steps(self._stepped, self._budget))


MAX_RUN = 1000
"""How many commands of a pipeline are executed at once, at the most."""


class InProcess(Pipelined):
    """The executor of a program that has the store in itself, with no server between: a command is
    within the same limits, once `as_received` made of it what a server would read, or the error
    that it would reply. The JSON texts in results become what `from_text` returns."""

    def __init__(
        self,
        executor: Executor,
        limits: Limits,
        close: Callable[[], object],
        from_text: Callable[[bytes], Any] = bytes,
        as_received: Callable[[Sequence[Command[Any]]], Sequence[object]] = lambda sent: sent,
    ) -> None:
        self._executor = executor
        self._limits = limits
        self._close = close
        self._from_text = from_text
        self._as_received = as_received

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        outcomes: List[object] = []
        for kind, group in groupby(self._as_received(commands), type):
            run: List[Any] = list(group)
            if not issubclass(kind, Command):
                outcomes += run  # errors
                continue
            for start in range(0, len(run), MAX_RUN):
                outcomes += self._execute_some(kind, run[start : start + MAX_RUN])
        return outcomes

    def close(self) -> None:
        self._close()

    def _execute_some(
        self, kind: Type[Command[Any]], commands: Sequence[Command[Any]]
    ) -> List[object]:
        """The outcomes of commands of one kind."""
        if len(commands) > 1:
            with contextlib.suppress(KvError):  # the one to blame is refused by itself
                for command in commands:
                    self._limits.check_keys(command.named_keys())
                run = self._executor.execute_run(kind, commands)
                if run is not None:
                    return [self._opened(each) for each in run.results]
        return [self._outcome(command) for command in commands]

    def _outcome(self, command: Command[Any]) -> object:
        try:
            self._limits.check_keys(command.named_keys())
            return self._opened(self._executor.execute(command))
        except KvError as error:
            return error

    def _opened(self, result: object) -> object:
        if type(result) is bytes:
            return self._from_text(result)
        if type(result) is dict:
            return dict(zip(result, map(self._from_text, result.values())))
        if type(result) is list:
            return [self._opened(each) for each in result]
        return result


def _stepped(store: Store) -> Optional[SteppedStore]:
    """The store, if commands on it can be executed in steps."""
    if store.traits.blocks or not (isinstance(store, Maintained) and isinstance(store, Observable)):
        return None
    return cast(SteppedStore, store)
