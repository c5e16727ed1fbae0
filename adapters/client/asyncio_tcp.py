"""A connection to a server that asyncio's tasks use, one at a time.

Rule: as with threads, one that may still owe a reply, after a time-out or because a task was
cancelled, is closed and never used again. Nothing is awaited to clean up, so a task may be
cancelled again meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import ssl
from typing import Any, Callable, List, Optional, Sequence, Tuple, cast

from adapters.client.address import Address
from adapters.client.connection import (
    NOT_OPENED,
    SEND_SIZE,
    Connection,
    Session,
    within,
)
from adapters.client.unread import NewPoll, unread
from application.commands import Auth, Command
from domain.errors import KvError, TimedOut, Unavailable


class _Link(asyncio.Protocol):
    """An open connection, of which one task at a time awaits something. Times are in seconds."""

    def __init__(
        self,
        session: Session,
        loop: asyncio.AbstractEventLoop,
        new_poll: NewPoll,
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
            self._unread = unread(sock, self._new_poll)
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
                await self._change(within(timeout, end, self._loop.time))
            if self._ended:
                return
            assert self._transport
            self._transport.write(data[start : start + SEND_SIZE])

    async def receive(self, timeout: float, end: Optional[float]) -> bytes:
        """Returns what has arrived as soon as there is any; empty at the end of the connection."""
        while not self._received and not self._ended:
            await self._change(within(timeout, end, self._loop.time))
        if not self._received and self._failure:
            raise self._failure
        received, self._received = self._received, []
        return received[0] if len(received) == 1 else b"".join(received)

    def is_stale(self) -> bool:
        """Whether the server has closed it, or sent unrequested bytes, which the loop may not have
        seen yet."""
        return self._ended or bool(self._received or self._unread())

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


class AsyncioConnection(Connection[_Link]):
    """One connection, for one task at a time."""

    def __init__(
        self,
        address: Address,
        connect_timeout: float,
        timeout: float,
        new_session: Callable[[], Session],
        tls: Callable[[], Optional[ssl.SSLContext]],
        password: str,
        new_poll: NewPoll = select.poll,
    ) -> None:
        super().__init__(address, connect_timeout, timeout, new_session, password, new_poll)
        self._tls = tls

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
            raise self._lost(error) from error
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
            await self._connected(link, within(self._connect_timeout, end, loop.time))
            if self._password:
                (outcome,) = await self._exchange(link, (Auth(self._password),), end)
                if isinstance(outcome, KvError):
                    raise outcome
            return link
        except NOT_OPENED as error:
            raise self._not_opened(error, loop.time(), end) from error
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


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Retrieve the exception of an abandoned task, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
