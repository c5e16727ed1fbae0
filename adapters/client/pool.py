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
    List,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    TypeVar,
)

from adapters.client.leases import RECOUNT_EVERY, Lease, Leases, earlier
from application.commands import Command
from application.ports import Pipelined
from application.retries import pause_before_repeat
from domain.errors import TimedOut, Unavailable

R = TypeVar("R")


class Connection(Protocol):
    """A pooled connection: it connects when first used, and again after a fault."""

    def execute_all(
        self, commands: Sequence[Command[Any]], end: Optional[float] = None
    ) -> List[object]: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class Network(Protocol):
    """How to wait in this kind of program."""

    queue: Callable[[], Any]
    sleep: Callable[[float], object]

    sockets: Any
    """The module; its class `socket` changes when gevent patches the standard library."""


class _Here(NamedTuple):
    """The leases, and where they can be used: not in a process that was forked, and not once gevent
    has patched the standard library."""

    pid: int
    sockets: object
    leases: Leases[Connection]


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
        self._here = self._new_leases()

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place; raises `TimedOut` and
        `Unavailable` when whether they took effect is not known."""
        end = time.monotonic() + self._total if self._total else None
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._with_connection(commands, end)
            except Unavailable as error:
                left = None if end is None else end - time.monotonic()
                more = self._attempts - attempts
                pause = pause_before_repeat(commands, error, attempts, more, left)
            self._network.sleep(pause)

    def close(self) -> None:
        """Close the connections that are not in use; the next command opens a new one."""
        self._leases().close_idle()

    def _with_connection(
        self, commands: Sequence[Command[Any]], end: Optional[float]
    ) -> List[object]:
        leases = self._leases()
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
        until = earlier(time.monotonic(), self._wait, end)
        waiter = self._network.queue()
        try:
            leases.join(waiter)
            while True:
                left = RECOUNT_EVERY if until is None else until - time.monotonic()
                if left <= 0:
                    raise TimedOut(f"all {self._size} connections are in use")
                try:
                    lease: Lease[Connection] = waiter.get(timeout=min(left, RECOUNT_EVERY))
                    return lease
                except queue.Empty:
                    leases.recount()
        except BaseException:
            leases.leave(waiter)
            if not waiter.empty():
                leases.give_back(waiter.get_nowait())
            raise

    def _leases(self) -> Leases[Connection]:
        here = self._here
        if here.pid == os.getpid() and here.sockets is self._network.sockets.socket:
            return here.leases
        return self._reset(here)

    def _reset(self, before: _Here) -> Leases[Connection]:
        """Leave the connections to the place that they belong to, and have none here. Threads may
        do so at the same time: what one of them opens then is closed when it is dropped."""
        here = self._here = self._new_leases()
        before.leases.abandon(lent_too=before.pid != here.pid)
        return here.leases

    def _new_leases(self) -> _Here:
        leases = Leases(self._size, self._new_connection)
        return _Here(os.getpid(), self._network.sockets.socket, leases)
