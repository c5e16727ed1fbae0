"""Leases: how a pool lends its connections, to threads, greenlets and tasks alike.

Rule: a lease counts as long as it exists, and no longer. A call that is broken off at any point, by
an exception from a signal handler or a task that is cancelled twice, drops its lease, and with it
the connection; so none is lost and none is counted twice. A lease that is given back keeps its
connection for the next call.

No lock guards this: each step is one operation on a deque or a dict, which is atomic in Python.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import deque
from functools import partial
from typing import Any, Callable, Deque, Dict, Generic, List, Optional, Protocol, TypeVar

RECOUNT_EVERY = 1.0
"""Seconds; a signal may break off even the code that hands on a lease that was dropped, so who
waits for one looks again at the latest after this time."""


class Connection(Protocol):
    """A pooled connection."""

    def close(self) -> None:
        """Hang up; the next command connects again."""
        ...

    def abandon(self) -> None:
        """Free what this process holds of it. It belongs to another process or to an event loop
        that has ended, so nothing is sent and no loop is told."""
        ...


C = TypeVar("C", bound=Connection)


class Lease(Generic[C]):
    """The right to use a connection, for one caller at a time."""

    __slots__ = ("__weakref__", "connection")

    def __init__(self, connection: C) -> None:
        self.connection = connection


class Waiter(Protocol):
    """A caller that waits for a lease. A waiter that is dropped waits no more."""

    def put(self, lease: Any) -> object:
        """Take the lease. Called in any thread."""
        ...


class Leases(Generic[C]):
    """Up to `size` leases of one pool in one process and, in asyncio, one event loop."""

    def __init__(self, size: int, new_connection: Callable[[], C]) -> None:
        self._size = size
        self._new_connection = new_connection
        self._idle: Deque[Lease[C]] = deque()
        self._living: Dict[weakref.ref[Lease[C]], None] = {}
        """In the order they were issued. A reference whose lease is gone does not count."""
        self._waiters: Deque[weakref.ref[Waiter]] = deque()
        self._on_drop = partial(_hand_on, weakref.ref(self))

    @property
    def lent(self) -> int:
        """The number of leases in use."""
        return self._count_living() - len(self._idle)

    def take(self) -> Optional[Lease[C]]:
        """A free lease, preferably the one returned last; None when all are lent."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._issue()

    def give_back(self, lease: Lease[C]) -> None:
        """Take it back, with its connection."""
        self._idle.append(lease)
        if self._waiters:
            self.serve()

    def join(self, waiter: Waiter) -> None:
        """Put a waiter in line, which is given a lease, maybe at once."""
        self._waiters.append(weakref.ref(waiter))
        self.serve()

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter out of the line, where it may be no more."""
        with contextlib.suppress(ValueError):
            self._waiters.remove(weakref.ref(waiter))

    def serve(self) -> None:
        """Hand the free leases to the waiters, in their order."""
        while self._waiters:
            lease = self.take()
            if lease is None:
                return
            waiter = _next(self._waiters)
            if waiter is None:
                self._idle.append(lease)
            else:
                waiter.put(lease)

    def recount(self, waiter: Waiter) -> None:
        """Look which leases still exist, and hand on those that are free. What took the waiter out
        of the line may have been broken off before it handed it one."""
        self._count_living()
        if weakref.ref(waiter) not in self._waiters:
            self._waiters.append(weakref.ref(waiter))
        self.serve()

    def close_idle(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread may have taken the last one
                self._idle.pop().connection.close()

    def connections(self) -> List[C]:
        """Those of all leases that exist."""
        leases = [reference() for reference in list(self._living)]
        return [lease.connection for lease in leases if lease is not None]

    def abandon(self, lent_too: bool) -> None:
        """Abandon the connections: those that are not in use, or all."""
        leases: List[Optional[Lease[C]]] = list(self._idle)
        if lent_too:
            leases = [reference() for reference in list(self._living)]
        self._idle.clear()
        for lease in leases:
            if lease is not None:
                lease.connection.abandon()

    def _issue(self) -> Optional[Lease[C]]:
        """A new lease, if fewer than `size` exist. When threads issue at the same time, their order
        in the dict tells which of them are within the bound."""
        if len(self._living) >= self._size:
            return None
        lease = Lease(self._new_connection())
        own = weakref.ref(lease, self._on_drop)
        self._living[own] = None
        return lease if self._count_living(before=own) < self._size else None

    def _count_living(self, before: Optional[weakref.ref[Lease[C]]] = None) -> int:
        """How many leases exist, or how many of those that were issued before that one."""
        living = 0
        for reference in list(self._living):
            if reference is before:
                break
            if reference() is None:
                self._living.pop(reference, None)
            else:
                living += 1
        return living


def _next(line: Deque[weakref.ref[Waiter]]) -> Optional[Waiter]:
    """Removes and returns the first waiter that still waits."""
    while line:
        with contextlib.suppress(IndexError):
            waiter = line.popleft()()
            if waiter is not None:
                return waiter
    return None


def _hand_on(owner: weakref.ref[Leases[Any]], dropped: weakref.ref[Any]) -> None:
    """A lease was dropped: a waiter may take its place."""
    leases = owner()
    if leases is not None:
        leases._living.pop(dropped, None)
        leases.serve()


def earlier(now: float, wait: float, end: Optional[float]) -> Optional[float]:
    """When to stop waiting for a lease: after `wait` seconds, 0 for no limit, or at `end`. None for
    never."""
    until = now + wait if wait else None
    if until is None or end is None:
        return until or end
    return min(until, end)
