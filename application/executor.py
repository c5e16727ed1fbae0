"""The executor that carries commands out on a store in this process.

Rule: a command that takes long is executed in steps only where the store allows for it: it must not
block, must be maintained and must tell its effects. On any other store each command is one step.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, TypeVar, cast

from application.budget import Budget
from application.commands import Command, MGet, Results
from application.limits import DEFAULTS, Limits
from application.ports import Executor, Steps
from application.snapshot_read import PART, SteppedStore, snapshot
from domain.effects import Observable
from domain.errors import Unavailable
from domain.store import Maintained, Store

R = TypeVar("R")


class LocalExecutor(Executor):
    """Runs commands on a store in this process, each within `limits`."""

    def __init__(self, store: Store, limits: Limits = DEFAULTS) -> None:
        self._store = store
        self._budget = Budget(limits)
        self._stepped = _stepped(store)

    def execute(self, command: Command[R]) -> R:
        return command.run(self._store, self._budget)

    def execute_run(self, commands: Sequence[Command[Any]]) -> Optional[Results]:
        """What cannot be reached is not asked again for each command."""
        try:
            return type(commands[0]).run_many(commands, self._store, self._budget)
        except Unavailable as error:
            return Results([error] * len(commands), 0, has_errors=True)

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        """An MGET reads some keys in each step; before a command on all keys, those that are due
        are expired in steps; what a command does before it needs the store is in steps, too."""
        if self._stepped is not None:
            if isinstance(command, MGet):
                return cast(R, (yield from snapshot(self._stepped, command.keys)))
            if command.touches_keyspace():
                while self._stepped.expire_due(PART) == PART:
                    yield
        run = yield from command.prepare(self._budget)
        return run(self._store, self._budget)


def _stepped(store: Store) -> Optional[SteppedStore]:
    """The store, if commands on it can be executed in steps."""
    if store.traits.blocks or not (isinstance(store, Maintained) and isinstance(store, Observable)):
        return None
    return cast(SteppedStore, store)
