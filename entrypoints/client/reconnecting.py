"""An executor that says when the connection was lost, and when there is one again.

Rule: only a command that changes nothing is sent a second time.
"""

from __future__ import annotations

from typing import Any, Callable, List, Sequence

from application.commands import Command
from application.ports import Pipelined
from domain.errors import Unavailable, Unreachable


class Reconnecting(Pipelined):
    """An executor that says when the connection was lost, and when there is one again; a read is
    repeated once, at once."""

    def __init__(self, executor: Pipelined, notify: Callable[[str], None]) -> None:
        self._executor = executor
        self._notify = notify
        self.is_lost = False

    def execute(self, command: Command[Any]) -> Any:
        """See `Executor`."""
        try:
            result = self._executor.execute(command)
        except Unavailable as error:
            self.is_lost = True
            if isinstance(error, Unreachable):
                raise
            self._notify(f"connection lost: {error}")
            if not command.readonly:
                raise Unavailable("whether the command took effect is not known") from error
            result = self._executor.execute(command)
        if self.is_lost:
            self.is_lost = False
            self._notify("connected again")
        return result

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        return self._executor.execute_all(commands)

    def close(self) -> None:
        self._executor.close()
