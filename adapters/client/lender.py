"""Lends the connections of a pool to threads or greenlets.

Rule: a connection is lent to one caller at a time, and never leaves the process that opened it, nor
the kind of sockets that it was opened with.
"""

from __future__ import annotations

import contextlib
import os
import queue
import time
from typing import Any, Callable, Generic, NamedTuple, Optional, Protocol, TypeVar

from adapters.client.leases import RECOUNT_EVERY, Connection, Lease, Leases, earlier
from domain.errors import KvError

C = TypeVar("C", bound=Connection)
R = TypeVar("R")


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
    leases: Leases[Any]


class Lender(Generic[C]):
    """Lends up to `size` connections of each process.

    A caller waits for at most `wait` seconds for one to come free, 0 for as long as it takes; then
    what `all_in_use` returns is raised.
    """

    def __init__(
        self,
        new_connection: Callable[[], C],
        network: Network,
        size: int,
        wait: float,
        all_in_use: Callable[[], KvError],
    ) -> None:
        self._new_connection = new_connection
        self._network = network
        self._size = size
        self._wait = wait
        self._all_in_use = all_in_use
        self._here = self._new_leases()

    def lend(self, use: Callable[[C], R], end: Optional[float] = None) -> R:
        """What `use` returns of a connection, which is waited for until `end` at the latest."""
        leases = self.leases()
        lease = leases.take() or self._wait_for_lease(leases, end)
        try:
            return use(lease.connection)
        finally:
            leases.give_back(lease)

    def close_idle(self) -> None:
        """Close the connections that are not in use; more are opened when they are needed."""
        self.leases().close_idle()

    def leases(self) -> Leases[C]:
        """Those of this process."""
        here = self._here
        if here.pid == os.getpid() and here.sockets is self._network.sockets.socket:
            return here.leases
        return self._reset(here)

    def _wait_for_lease(self, leases: Leases[C], end: Optional[float]) -> Lease[C]:
        until = earlier(time.monotonic(), self._wait, end)
        waiter = self._network.queue()
        try:
            leases.join(waiter)
            return self._handed(waiter, leases, until)
        finally:
            leases.leave(waiter)
            with contextlib.suppress(queue.Empty):
                while True:  # it was broken off, or in the line twice
                    leases.give_back(waiter.get_nowait())

    def _handed(self, waiter: Any, leases: Leases[C], until: Optional[float]) -> Lease[C]:
        while True:
            left = RECOUNT_EVERY if until is None else until - time.monotonic()
            if left <= 0:
                raise self._all_in_use()
            try:
                lease: Lease[C] = waiter.get(timeout=min(left, RECOUNT_EVERY))
                return lease
            except queue.Empty:
                if waiter.empty():  # one may have come since
                    leases.recount(waiter)

    def _reset(self, before: _Here) -> Leases[C]:
        """Leave the connections to the place that they belong to, and have none here. Threads may
        do so at the same time: what one of them opens then is closed when it is dropped."""
        here = self._here = self._new_leases()
        before.leases.abandon(lent_too=before.pid != here.pid)
        return here.leases

    def _new_leases(self) -> _Here:
        leases = Leases(self._size, self._new_connection)
        return _Here(os.getpid(), self._network.sockets.socket, leases)
