"""The library's executor where the store is in the program itself, or reached without a server of
ours.

Rule: a command has the outcome that it would have had over a server, whose bounds on the bytes of a
request and of a reply are to protect it and do not count here.
"""

from __future__ import annotations

import contextlib
from itertools import groupby
from typing import Any, Callable, List, Sequence, Type

from application.commands import Command
from application.limits import Limits
from application.ports import Executor, Pipelined
from domain.errors import KvError

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
        if isinstance(result, Exception) and not isinstance(result, KvError):
            raise result  # a bug
        return result
