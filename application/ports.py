"""The ports that the application is driven through, or drives.

Rule: what a port says is all there is. A wrapper and a replacement see every command as itself.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generator, List, Protocol, Sequence, TypeVar

from application.commands import Command

R = TypeVar("R")

Steps = Generator[None, None, R]
"""Work that pauses between two steps, for others to have their turns, and returns a result."""


class Executor(Protocol):
    """Anything that can carry out a command."""

    @abstractmethod
    def execute(self, command: Command[R]) -> R:
        """The command's result; raises `KvError` when it is refused."""
        ...

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        """Executes incrementally, in steps that each take little time; the result and the effect
        are those of one moment all the same. The fall-back is a single step."""
        return self.execute(command)
        yield


class Pipelined(Executor, Protocol):
    """An executor that also takes many commands at once."""

    @abstractmethod
    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        ...

    @abstractmethod
    def close(self) -> None:
        """Frees what it holds open; the next command opens it again."""
        ...
