"""Connections to one server that asyncio's tasks share.

Rule: as with threads: a connection is lent to one task at a time, and one that may still owe a
reply, after a time-out or because a task was cancelled, is closed and never used again. Nothing is
awaited to clean up, so a task may be cancelled again meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    TypeVar,
    cast,
)

from adapters.client.address import Address
from adapters.client.leases import RECOUNT_EVERY, Lease, Leases
from application.commands import Auth, Command
from application.retries import may_repeat, pauses
from domain.errors import KvError, TimedOut, Unavailable, Unreachable

R = TypeVar("R")

SEND_SIZE = 64 * 1024
"""Bytes given to the transport at once; that it has room for the next is progress."""


class Session(Protocol):
    """The conversation with a server, in bytes."""

    @property
    def in_flight(self) -> int:
        """How many replies are still to come to what was sent."""
        ...

    @property
    def may_close(self) -> bool:
        """Whether the server may close the connection after what it has replied."""
        ...

    def send(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """What to send, in pieces; before the next piece, receive all replies in flight."""
        ...

    def receive_data(self, data: bytes) -> List[object]:
        """The results and `KvError`s that `data` completes, in the order sent."""
        ...

    def receive_eof(self) -> List[object]:
        """The outcomes of the commands in flight at the end of the connection, in their order."""
        ...


class _Link(asyncio.Protocol):
    """An open connection, of which one task at a time awaits something. Times are in seconds."""

    def __init__(
        self,
        session: Session,
        loop: asyncio.AbstractEventLoop,
        new_poll: Callable[[], Any],
    ) -> None:
        self.session = session
        self.idle = False
        """Whether all replies have come, so that another call may use it."""
        self._loop = loop
        self._new_poll = new_poll
        self._pid = os.getpid()
        self._sock: Optional[socket.socket] = None
        self._transport: Optional[asyncio.Transport] = None
        self._received: List[bytes] = []
        self._ended = self._closed = self._paused = False
        self._failure: Optional[Exception] = None
        self._waiter: Optional[asyncio.Future[bool]] = None

    async def connect(self, address: Address, tls: Callable[[], Optional[ssl.SSLContext]]) -> None:
        """Connect to the first of a name's addresses that accepts."""
        context = tls()
        refusal: Optional[OSError] = None
        for family, where in await self._addresses(address):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self._loop.sock_connect(sock, where)
                address.tune(sock)
            except OSError as error:
                sock.close()
                refusal = error
                continue
            except BaseException:
                sock.close()
                raise
            self._sock = sock
            poll = self._new_poll()
            poll.register(sock.fileno(), select.POLLIN)
            self._unread = poll.poll
            name = address.server_name if context else None
            await self._loop.create_connection(
                lambda: self, sock=sock, ssl=context, server_hostname=name
            )
            return
        raise refusal or OSError(f"{address} has no address")

    async def _addresses(self, address: Address) -> List[Tuple[int, Any]]:
        """Families, and the addresses in them."""
        if address.unix_path is not None:
            return [(socket.AF_UNIX, address.unix_path)]
        found = await self._loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        return [(family, where) for family, _, _, _, where in found]

    async def send(self, data: bytes, timeout: float, end: Optional[float]) -> None:
        """Send it, or as much as the server takes before it closes the connection."""
        for start in range(0, len(data), SEND_SIZE):
            while self._paused and not self._ended:
                await self._change(_within(timeout, end, self._loop))
            if self._ended:
                return
            assert self._transport
            self._transport.write(data[start : start + SEND_SIZE])

    async def receive(self, timeout: float, end: Optional[float]) -> bytes:
        """Returns what has arrived as soon as there is any; empty at the end of the connection."""
        while not self._received and not self._ended:
            await self._change(_within(timeout, end, self._loop))
        if not self._received and self._failure:
            raise self._failure
        received, self._received = self._received, []
        return received[0] if len(received) == 1 else b"".join(received)

    def is_stale(self) -> bool:
        """Whether the server has closed it, or sent unrequested bytes, which the loop may not have
        seen yet."""
        return self._ended or bool(self._received or self._unread(0))

    def close(self) -> None:
        """Hang up, from any thread."""
        if self._closed:
            return
        self._closed = self._ended = True
        if self._loop.is_closed() or self._pid != os.getpid():
            self.abandon()
        elif asyncio._get_running_loop() is self._loop:
            self._abort()
        else:
            self._loop.call_soon_threadsafe(self._abort)

    def abandon(self) -> None:
        """Close the descriptor, and tell no loop: it has ended, or belongs to another process that
        shares what it waits with."""
        self._closed = self._ended = True
        if self._sock is not None:
            self._sock.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _change(self, timeout: Optional[float]) -> None:
        """Wait until something has happened."""
        self._waiter = self._loop.create_future()
        timer = None if timeout is None else self._loop.call_later(timeout, self._wake, False)
        try:
            if not await self._waiter:
                raise socket.timeout("timed out")
        finally:
            if timer is not None:
                timer.cancel()
            self._waiter = None

    def _wake(self, in_time: bool = True) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(in_time)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1, low=0)  # TLS of 3.11 pauses for ever at 0
        if self._closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received.append(data)
        if self.session.in_flight:
            self._wake()
        else:
            self.close()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.close()  # that of TLS does not count as closed else, before Python 3.11
            self._transport = None  # after this, not every transport can be aborted
        if not isinstance(exc, ConnectionResetError):
            self._failure = exc
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()


class AsyncioConnection:
    """One connection, opened when first needed. Times are in seconds; 0 is for as long as it takes.
    For what they bound see `TcpClient`."""

    def __init__(
        self,
        address: Address,
        connect_timeout: float,
        timeout: float,
        new_session: Callable[[], Session],
        tls: Callable[[], Optional[ssl.SSLContext]],
        password: str,
        new_poll: Callable[[], Any] = select.poll,
    ) -> None:
        self._address = address
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._new_session = new_session
        self._tls = tls
        self._password = password
        self._new_poll = new_poll
        self._link: Optional[_Link] = None

    def __del__(self) -> None:
        self.close()

    async def execute_all(
        self, commands: Sequence[Command[Any]], end: Optional[float] = None
    ) -> List[object]:
        """See `TcpClient.execute_all`; `end` is by the loop's clock."""
        outcomes = await self._converse(commands, end)
        while len(outcomes) < len(commands):
            rest = commands[len(outcomes) :]
            try:
                outcomes += await self._converse(rest, end)
            except (Unavailable, TimedOut) as error:
                outcomes += [error] * len(rest)
        return outcomes

    def close(self) -> None:
        """Hang up; the next command connects again."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def abandon(self) -> None:
        """Close the descriptor alone."""
        link, self._link = self._link, None
        if link is not None:
            link.abandon()

    async def _converse(
        self, commands: Sequence[Command[Any]], end: Optional[float]
    ) -> List[object]:
        """The outcomes of the commands, or of the first of them up to one after whose refusal the
        server may close the connection."""
        link = self._link
        if link is None or not link.idle or link.is_stale():
            self.close()
            link = await self._open(end)
        link.idle = False
        try:
            outcomes = await self._exchange(link, commands, end)
        except (OSError, Unavailable) as error:
            self.close()
            raise self._to_kv_error(error) from error
        except BaseException:
            self.close()
            raise
        if link.session.may_close:
            self.close()
        link.idle = True
        return outcomes

    async def _open(self, end: Optional[float]) -> _Link:
        """Connect and authenticate; whatever fails here, no command was sent."""
        loop = asyncio.get_running_loop()
        self._link = link = _Link(self._new_session(), loop, self._new_poll)
        try:
            await self._connected(link, _within(self._connect_timeout, end, loop))
            if self._password:
                (outcome,) = await self._exchange(link, (Auth(self._password),), end)
                if isinstance(outcome, KvError):
                    raise outcome
            return link
        except (OSError, UnicodeError, Unavailable, TimedOut) as error:
            self.close()
            if end is not None and loop.time() >= end:
                raise TimedOut(f"no connection to {self._address} in time") from error
            raise Unreachable(str(self._to_kv_error(error))) from error
        except BaseException:
            self.close()
            raise

    async def _connected(self, link: _Link, timeout: Optional[float]) -> None:
        connecting = asyncio.ensure_future(link.connect(self._address, self._tls))
        connecting.add_done_callback(_retrieve)
        try:
            await asyncio.wait((connecting,), timeout=timeout)
            if not connecting.done():
                raise socket.timeout("timed out")
            connecting.result()
        finally:
            connecting.cancel()

    async def _exchange(
        self, link: _Link, commands: Sequence[Command[Any]], end: Optional[float]
    ) -> List[object]:
        session, timeout = link.session, self._timeout
        outcomes: List[object] = []
        for piece in session.send(commands):
            await link.send(piece, timeout, end)
            while session.in_flight:
                data = await link.receive(timeout, end)
                outcomes += session.receive_data(data) if data else session.receive_eof()
            if session.may_close:
                break
        return outcomes

    def _to_kv_error(self, error: Exception) -> KvError:
        if isinstance(error, socket.timeout):
            return TimedOut(f"no answer from {self._address} in time")
        return Unavailable(f"{self._address}: {getattr(error, 'strerror', None) or error}")


class _Place(NamedTuple):
    """Where connections can be used: on one event loop, in one process."""

    pid: int
    loop: asyncio.AbstractEventLoop

    def is_gone(self) -> bool:
        return self.loop.is_closed() or self.pid != os.getpid()


class _Waiter:
    """A task that waits for a lease."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lease: Optional[Lease[AsyncioConnection]] = None
        self._loop = loop
        self._woken: Optional[asyncio.Future[None]] = None

    def put(self, lease: Lease[AsyncioConnection]) -> None:
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

    def _accept(self, lease: Lease[AsyncioConnection]) -> None:
        self.lease = lease
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


class AsyncioPool:
    """Executes commands over up to `size` connections for each event loop; see `Pool` for the
    rest."""

    def __init__(
        self,
        new_connection: Callable[[], AsyncioConnection],
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
        self._leases: Dict[_Place, Leases[AsyncioConnection]] = {}

    async def execute(self, command: Command[R]) -> R:
        """The command's result; raises as `Executor.execute` does."""
        outcome = (await self.execute_all((command,)))[0]
        if isinstance(outcome, KvError):
            raise outcome
        return cast(R, outcome)

    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._total if self._total else None
        for pause in pauses(self._attempts):
            try:
                return await self._with_connection(commands, end)
            except Unavailable as error:
                if not may_repeat(commands, error):
                    raise
                if end is not None and loop.time() + pause >= end:
                    raise TimedOut("no reply arrived in time") from error
                await asyncio.sleep(pause)
        return await self._with_connection(commands, end)

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
        self, leases: Leases[AsyncioConnection], end: Optional[float]
    ) -> Lease[AsyncioConnection]:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wait if self._wait else None
        if end is not None:
            until = end if until is None else min(until, end)
        waiter = _Waiter(loop)
        try:
            leases.join(waiter, insists=True)
            while waiter.lease is None:
                left = RECOUNT_EVERY if until is None else until - loop.time()
                if left <= 0:
                    raise TimedOut(f"all {self._size} connections are in use")
                await waiter.wait(min(left, RECOUNT_EVERY))
                if waiter.lease is None:
                    leases.serve()
            return waiter.lease
        except BaseException:
            leases.leave(waiter)
            if waiter.lease is not None:
                leases.give_back(waiter.lease)
            raise

    def _leases_here(self) -> Leases[AsyncioConnection]:
        here = _Place(os.getpid(), asyncio.get_running_loop())
        return self._leases.get(here) or self._reset(here)

    def _reset(self, here: _Place) -> Leases[AsyncioConnection]:
        """Free what is left of other places, and have no connections here."""
        for place in list(self._leases):
            if place.is_gone():
                leases = self._leases.pop(place, None)
                if leases is not None:
                    leases.abandon(lent_too=True)
        return self._leases.setdefault(here, Leases(self._size, self._new_connection))


def _within(
    timeout: float, end: Optional[float], loop: asyncio.AbstractEventLoop
) -> Optional[float]:
    """The most seconds to wait; None for no limit."""
    if end is None:
        return timeout or None
    left = end - loop.time()
    if left <= 0:
        raise socket.timeout("timed out")
    return min(timeout or left, left)


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Retrieve the exception of an abandoned task, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
