"""The executor that carries commands out on a store in this process.

Rule: a command that takes long is executed in steps only where the store allows for it: it must not
block, must be maintained and must tell its effects. On any other store each command is one step.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Type, TypeVar, cast

from application.commands import Batch, Command, MGet, Reply
from application.limits import DEFAULTS, Limits
from application.ports import Executor, Steps
from application.snapshot_read import PART, SteppedStore, snapshot
from domain.effects import Observable
from domain.store import Maintained, Store

R = TypeVar("R")


class LocalExecutor(Executor):
    """Runs commands on a store in this process, batches within `limits`."""

    def __init__(self, store: Store, limits: Limits = DEFAULTS) -> None:
        self._store = store
        self._limits = limits
        self._stepped = _stepped(store)

    def execute(self, command: Command[R]) -> R:
        if type(command) in _SPECIAL:
            return cast(R, _SPECIAL[type(command)](self, command))
        return command.run(self._store)

    def _batch(self, batch: Batch) -> List[Reply]:
        return batch.run(self._store, self._limits)

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        """An MGET reads some keys in each step; before a command on all keys, those that are due
        are expired in steps; everything else is one step."""
        if self._stepped is not None:
            if isinstance(command, MGet):
                return cast(R, (yield from snapshot(self._stepped, command.keys)))
            if command.over_all_keys():
                while self._stepped.expire_due(PART) == PART:
                    yield
        return self.execute(command)


def _stepped(store: Store) -> Optional[SteppedStore]:
    """The store, if commands on it can be executed in steps."""
    if store.traits.blocks or not (isinstance(store, Maintained) and isinstance(store, Observable)):
        return None
    return cast(SteppedStore, store)


_SPECIAL: Dict[Type[Command[Any]], Callable[[LocalExecutor, Any], Any]] = {
    Batch: LocalExecutor._batch,
}
"""Commands that need more than a store."""
