"""Connections to one server that asyncio's tasks share.

Rule: as in `pool`, a connection is lent to one task at a time, and never leaves the event loop and
the process that opened it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Protocol, Sequence

from adapters.client.leases import RECOUNT_EVERY, Lease, Leases, earlier
from application.commands import Command
from application.ports import AsyncExecutor
from application.retries import pause_before_repeat
from domain.errors import TimedOut, Unavailable


class Connection(Protocol):
    """A pooled connection: it connects when first used, and again after a fault."""

    async def execute_all(
        self, commands: Sequence[Command[Any]], end: Optional[float] = None
    ) -> List[object]: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


class _Place(NamedTuple):
    """Where connections can be used: on one event loop, in one process."""

    pid: int
    loop: asyncio.AbstractEventLoop

    def is_gone(self) -> bool:
        return self.loop.is_closed() or self.pid != os.getpid()


class _Waiter:
    """A task that waits for a lease."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lease: Optional[Lease[Connection]] = None
        self._loop = loop
        self._woken: Optional[asyncio.Future[None]] = None

    def put(self, lease: Lease[Connection]) -> None:
        if asyncio._get_running_loop() is self._loop:
            self._accept(lease)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._accept, lease)

    async def wait(self, timeout: float) -> None:
        """Waits for a lease, for at most `timeout` seconds."""
        if self.lease is None:
            self._woken = self._loop.create_future()
            timer = self._loop.call_later(timeout, self._wake)
            try:
                await self._woken
            finally:
                timer.cancel()

    def _accept(self, lease: Lease[Connection]) -> None:
        self.lease = lease
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


class AsyncioPool(AsyncExecutor):
    """Executes commands over up to `size` connections for each event loop; see `Pool` for the
    rest."""

    def __init__(
        self,
        new_connection: Callable[[], Connection],
        size: int,
        attempts: int,
        wait: float,
        total: float,
    ) -> None:
        self._new_connection = new_connection
        self._size = size
        self._attempts = attempts
        self._wait = wait
        self._total = total
        self._leases: Dict[_Place, Leases[Connection]] = {}

    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._total if self._total else None
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._with_connection(commands, end)
            except Unavailable as error:
                left = None if end is None else end - loop.time()
                more = self._attempts - attempts
                pause = pause_before_repeat(commands, error, attempts, more, left)
            await asyncio.sleep(pause)

    def close(self) -> None:
        """Close the connections that are not in use; the next command opens a new one."""
        self._leases_here().close_idle()

    async def _with_connection(
        self, commands: Sequence[Command[Any]], end: Optional[float]
    ) -> List[object]:
        leases = self._leases_here()
        lease = leases.take() or await self._wait_for_lease(leases, end)
        try:
            return await lease.connection.execute_all(commands, end)
        except Unavailable:
            leases.close_idle()
            raise
        finally:
            leases.give_back(lease)

    async def _wait_for_lease(
        self, leases: Leases[Connection], end: Optional[float]
    ) -> Lease[Connection]:
        loop = asyncio.get_running_loop()
        until = earlier(loop.time(), self._wait, end)
        waiter = _Waiter(loop)
        try:
            leases.join(waiter)
            while waiter.lease is None:
                left = RECOUNT_EVERY if until is None else until - loop.time()
                if left <= 0:
                    raise TimedOut(f"all {self._size} connections are in use")
                await waiter.wait(min(left, RECOUNT_EVERY))
                if waiter.lease is None:
                    leases.recount(waiter)
            return waiter.lease
        except BaseException:
            leases.leave(waiter)
            if waiter.lease is not None:
                leases.give_back(waiter.lease)
            raise

    def _leases_here(self) -> Leases[Connection]:
        here = _Place(os.getpid(), asyncio.get_running_loop())
        return self._leases.get(here) or self._reset(here)

    def _reset(self, here: _Place) -> Leases[Connection]:
        """Free what is left of other places, and have no connections here."""
        for place in list(self._leases):
            if place.is_gone():
                leases = self._leases.pop(place, None)
                if leases is not None:
                    leases.abandon(lent_too=True)
        return self._leases.setdefault(here, Leases(self._size, self._new_connection))
