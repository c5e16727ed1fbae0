"""The seam between those who ask for commands and whatever carries them out.

Rule: an executor gives a command's result or raises a `KvError`. A server is an executor put on a
socket, a client is a socket dressed as one; limits, metrics or retries wrap one in another.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Sequence, Type, TypeVar, cast

from application.commands import Batch, Command, MGet, Reply
from application.limits import DEFAULTS, Limits
from application.long_reads import PART, Reading, Watched
from application.ports import Executor, Steps
from domain.store import Store

R = TypeVar("R")


class LocalExecutor(Executor):
    """Runs commands on a store in this process, batches within `limits`."""

    def __init__(self, store: Store, limits: Limits = DEFAULTS) -> None:
        self._bare_store = store
        self._store = store
        self._limits = limits
        self._readings: List[Reading] = []

    def execute(self, command: Command[R]) -> R:
        if type(command) in _SPECIAL:
            return cast(R, _SPECIAL[type(command)](self, command))
        return command.run(self._store)

    def _batch(self, batch: Batch) -> List[Reply]:
        return batch.run(self._store, self._limits)

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        """An MGET reads some keys in each step; what is over all keys lets those go first whose
        time is up; everything else is one step."""
        if isinstance(command, MGet):
            return cast(R, (yield from self._read(command.keys)))
        if command.over_all_keys():
            while self._bare_store.expire(PART) == PART:
                yield
        return self.execute(command)

    def _read(self, keys: Sequence[str]) -> Steps[Dict[str, bytes]]:
        reading = Reading(keys)
        self._readings.append(reading)
        self._store = Watched(self._bare_store, self._readings)
        try:
            yield from reading.steps(self._bare_store)
            return reading.texts
        finally:
            self._readings.remove(reading)
            if not self._readings:
                self._store = self._bare_store


_SPECIAL: Dict[Type[Command[Any]], Callable[[LocalExecutor, Any], Any]] = {
    Batch: LocalExecutor._batch,
}
"""Commands that need more than a store."""
