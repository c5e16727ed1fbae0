"""Connections to one server that many threads or greenlets share.

Rule: a connection is lent to one caller at a time, and never leaves the process that opened it.
When one was lost, the idle ones are closed too, since they were most likely lost together, so a
restart of the server is noticed at most once a caller.
"""

from __future__ import annotations

import os
import queue
import time
from typing import (
    Any,
    Callable,
    Dict,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    TypeVar,
    cast,
)

from adapters.client.leases import RECOUNT_EVERY, Lease, Leases
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

    def abandon(self) -> None: ...


class Network(Protocol):
    """How to wait in this kind of program."""

    queue: Callable[[], Any]
    sleep: Callable[[float], object]

    def kind(self) -> object:
        """Another one once the program has become of another kind."""
        ...


class _Place(NamedTuple):
    """Where connections can be used: not in a process that was forked, and not once gevent has
    patched the standard library."""

    pid: int
    kind: object


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
        self._network = network
        self._size = size
        self._attempts = attempts
        self._wait = wait
        self._total = total
        self._leases: Dict[_Place, Leases[Connection]] = {}

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
            return self._with_connection(commands, end)
        except Unavailable as error:
            return self._try_again(commands, end, error)

    def close(self) -> None:
        """Close the connections that are not in use; the next command opens a new one."""
        self._leases_here().close_idle()

    def _try_again(
        self, commands: Sequence[Command[Any]], end: Optional[float], error: Unavailable
    ) -> List[object]:
        for pause in pauses(self._attempts):
            if not may_repeat(commands, error):
                break
            if end is not None and time.monotonic() + pause >= end:
                raise TimedOut("there was no answer in time") from error
            self._network.sleep(pause)
            try:
                return self._with_connection(commands, end)
            except Unavailable as another:
                error = another
        raise error

    def _with_connection(
        self, commands: Sequence[Command[Any]], end: Optional[float]
    ) -> List[object]:
        leases = self._leases_here()
        lease = leases.take() or self._wait_for_lease(leases, end)
        try:
            return lease.connection.execute_all(commands, end)
        except Unavailable:
            leases.close_idle()
            raise
        finally:
            leases.give_back(lease)

    def _wait_for_lease(
        self, leases: Leases[Connection], end: Optional[float]
    ) -> Lease[Connection]:
        until = _earlier(self._wait, end)
        waiter = self._network.queue()
        try:
            leases.join(waiter)
            while True:
                left = RECOUNT_EVERY if until is None else until - time.monotonic()
                try:
                    lease: Lease[Connection] = waiter.get(timeout=max(0, min(left, RECOUNT_EVERY)))
                    return lease
                except queue.Empty as error:
                    if left <= 0:
                        raise TimedOut(f"all {self._size} connections are in use") from error
                leases.serve()
        finally:
            leases.leave(waiter)

    def _leases_here(self) -> Leases[Connection]:
        leases = self._leases.get((os.getpid(), self._network.kind()))  # type: ignore[call-overload]
        return leases or self._reset()

    def _reset(self) -> Leases[Connection]:
        """Leave the connections of the place before to it, and have none here."""
        here = _Place(os.getpid(), self._network.kind())
        for place in list(self._leases):
            if place != here:
                leases = self._leases.pop(place, None)
                if leases is not None:
                    leases.abandon(lent_too=place.pid != here.pid)
        return self._leases.setdefault(here, Leases(self._size, self._new_connection))


def _earlier(wait: float, end: Optional[float]) -> Optional[float]:
    """When to stop waiting; None for never."""
    until = time.monotonic() + wait if wait else None
    if until is None or end is None:
        return until or end
    return min(until, end)
