"""Connections to one server that many threads or greenlets share.

Rule: a connection is lent to one at a time. When one was lost, the idle ones are let go too, since
they were most likely lost together, so a restart of the server is noticed at most once a caller.
"""

from __future__ import annotations

import contextlib
import os
import queue
import time
import weakref
from collections import deque
from typing import Any, Callable, Deque, List, Optional, Protocol, Sequence, TypeVar, cast

from application.commands import Command
from application.ports import Pipelined
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


class Pool(Pipelined):
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
        self._new_queue = network.queue
        self._start_afresh()
        self._attempts = attempts
        self._wait = wait
        self._total = total
        _POOLS.add(self)

    def _start_afresh(self) -> None:
        """Have no connections, and as many turns as there may be."""
        self._idle: Deque[Connection] = deque()
        self._turns = self._new_queue()
        for _ in range(self._size):
            self._turns.put(None)

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
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _try_again(
        self, commands: Sequence[Command[Any]], end: Optional[float], error: Unavailable
    ) -> List[object]:
        for pause in pauses(self._attempts):
            if not may_repeat(commands, error):
                break
            if end is not None and time.monotonic() + pause >= end:
                raise TimedOut("there was no answer in time") from error
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


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


def _part_from_parent() -> None:
    """A process that was forked leaves its parent's connections to it."""
    for pool in _POOLS:
        pool.close()
        pool._start_afresh()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_part_from_parent)


def _within(wait: float, end: Optional[float]) -> Optional[float]:
    if end is None:
        return wait or None
    left = max(0.0, end - time.monotonic())
    return min(wait, left) if wait else left
