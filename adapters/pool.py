"""Connections to one server that many threads or greenlets share.

Rule: a connection is lent to one at a time. When one was lost, the idle ones are let go too, since
they were most likely lost together, so a restart of the server is noticed at most once a caller.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from typing import Any, Callable, Deque, List, Optional, Protocol, Sequence, TypeVar, cast

from application.commands import Command
from application.retries import may_repeat, pauses
from domain.errors import KvError, TimedOut, Unavailable

R = TypeVar("R")


class Connection(Protocol):
    """What is lent: it connects when first used, and again after a fault."""

    def execute_all(
        self, commands: Sequence[Command[Any]], end: Optional[float] = None
    ) -> List[object]: ...

    def close(self) -> None: ...


class Network(Protocol):
    """How to wait in this kind of program."""

    queue: Callable[[], Any]
    sleep: Callable[[float], object]


class Pool:
    """An `Executor` over up to `size` connections, which sends a command again when that is safe.

    Waits for at most `wait` seconds for a connection to come free, and at most `total` seconds for
    everything (0 for as long as it takes); tries up to `attempts` times.
    """

    def __init__(
        self,
        new_connection: Callable[[], Connection],
        network: Network,
        size: int,
        attempts: int,
        wait: float,
        total: float,
    ) -> None:
        self._new_connection = new_connection
        self._sleep = network.sleep
        self._size = size
        self._turns = network.queue()
        for _ in range(size):
            self._turns.put(None)
        self._attempts = attempts
        self._wait = wait
        self._total = total
        self._idle: Deque[Connection] = deque()

    def execute(self, command: Command[R]) -> R:
        outcome = self.execute_all((command,))[0]
        if isinstance(outcome, KvError):
            raise outcome
        return cast(R, outcome)

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place; raises `TimedOut` and
        `Unavailable` when whether they took effect is not known."""
        end = time.monotonic() + self._total if self._total else None
        try:
            return self._lend(commands, end)
        except Unavailable as error:
            return self._try_again(commands, end, error)

    def close(self) -> None:
        """Close the connections that are not in use; the next command opens a new one."""
        while self._idle:
            self._idle.pop().close()

    def _try_again(
        self, commands: Sequence[Command[Any]], end: Optional[float], error: Unavailable
    ) -> List[object]:
        for pause in pauses(self._attempts):
            if not may_repeat(commands, error) or _is_over(end, pause):
                break
            self._sleep(pause)
            try:
                return self._lend(commands, end)
            except Unavailable as another:
                error = another
        raise error

    def _lend(self, commands: Sequence[Command[Any]], end: Optional[float]) -> List[object]:
        turn = self._turn(end)
        connection = self._take()
        try:
            return connection.execute_all(commands, end)
        except Unavailable:
            self.close()
            raise
        finally:
            self._idle.append(connection)
            self._turns.put(turn)

    def _take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._new_connection()

    def _turn(self, end: Optional[float]) -> object:
        """One of as many as there may be connections at once, to be put back."""
        try:
            return self._turns.get(timeout=_within(self._wait, end))
        except queue.Empty as error:
            raise TimedOut(f"all {self._size} connections are in use") from error


def _within(wait: float, end: Optional[float]) -> Optional[float]:
    left = wait or None if end is None else min(wait or end, end - time.monotonic())
    return left if left is None else max(0.0, left)


def _is_over(end: Optional[float], pause: float) -> bool:
    return end is not None and time.monotonic() + pause >= end
