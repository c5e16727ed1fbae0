"""The seam between those who ask for commands and whatever carries them out.

Rule: an executor gives a command's result or raises a `KvError`. A server is an executor put on a
socket, a client is a socket dressed as one; limits, metrics or retries wrap one in another.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, TypeVar, cast

from application.budget import Budget
from application.commands import Command, MGet
from application.limits import DEFAULTS, Limits
from application.long_reads import PART, Reading, Watched
from application.ports import Executor, Steps
from domain.store import Store

R = TypeVar("R")


class LocalExecutor(Executor):
    """Runs commands on a store in this process, each within `limits`."""

    def __init__(self, store: Store, limits: Limits = DEFAULTS) -> None:
        self._bare_store = store
        self._store = store
        self._budget = Budget(limits)
        self._readings: List[Reading] = []

    def execute(self, command: Command[R]) -> R:
        return command.run(self._store, self._budget)

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        """An MGET reads some keys in each step; what is over all keys lets those go first whose
        time is up; everything else is one step."""
        if isinstance(command, MGet):
            return cast(R, (yield from self._read(command.keys)))
        if command.touches_keyspace():
            while self._bare_store.expire(PART) == PART:
                yield
        run = yield from command.prepare(self._budget)
        return run(self._store, self._budget)

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
