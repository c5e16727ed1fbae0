"""The seam between those who ask for commands and whatever carries them out.

Rule: an executor gives a command's result or raises a `KvError`. A server is an executor put on a
socket, a client is a socket dressed as one; limits, metrics or retries wrap one in another.
"""

from __future__ import annotations

from typing import Any, List, Protocol, Sequence, TypeVar, cast

from application.commands import Batch, Command
from application.limits import DEFAULTS, Limits
from domain.store import Store

R = TypeVar("R")


class Executor(Protocol):
    """Anything that can carry out a command."""

    def execute(self, command: Command[R]) -> R:
        """The command's result; raises `KvError` when it is refused."""
        ...


class Pipelined(Executor, Protocol):
    """An executor that also takes many commands at once."""

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        ...

    def close(self) -> None:
        """Let go of what it holds open; the next command opens it again."""
        ...


class LocalExecutor:
    """Runs commands on a store in this process, batches within `limits`."""

    def __init__(self, store: Store, limits: Limits = DEFAULTS) -> None:
        self._store = store
        self._limits = limits

    def execute(self, command: Command[R]) -> R:
        if type(command) is Batch:
            return cast(R, command.run(self._store, self._limits))
        return command.run(self._store)
