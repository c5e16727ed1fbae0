"""The executor that carries commands out on a store in this process.

Rule: a command that takes long is executed in steps only where the store allows for it: it must not
block, must be maintained and must tell its effects. On any other store each command is one step.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Sequence, Type, TypeVar, cast

from application.budget import Budget
from application.commands import Command, Results
from application.limits import DEFAULTS, Limits
from application.ports import Executor, Steps
from application.snapshot_read import STEP_KEYS, SteppedStore
from application.stats import Report
from domain.effects import Observable
from domain.errors import Unavailable
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


def _stepped(store: Store) -> Optional[SteppedStore]:
    """The store, if commands on it can be executed in steps."""
    if store.traits.blocks or not (isinstance(store, Maintained) and isinstance(store, Observable)):
        return None
    return cast(SteppedStore, store)
