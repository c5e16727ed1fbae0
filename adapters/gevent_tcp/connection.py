"""One client's connection, served by callbacks of the event loop.

Rule: it reads what there is, hands it to the connection's session and sends what comes back; while
replies are unsent or requests unanswered, it reads nothing more.

It has no greenlet of its own, which would cost more than a small request does. Where answering may
block, as with a store on another machine, `GreenletConnection` does the same with a greenlet a
turn.

Time-outs cost a busy connection nothing: it leaves a mark when bytes move, and a patrol that comes
round all connections every second or so sees which of them left none for too long.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from functools import partial
from typing import Any, Callable, Optional, Protocol, Union

import gevent

from application.limits import Limits

log = logging.getLogger(__name__)

SMALL_READ, LARGE_READ = 128 * 1024, 1024 * 1024
"""Bytes asked for by one read; a large one follows a read that came back full."""

LINGER = 5.0
"""Seconds for the client of an ended conversation to take the last reply and hang up."""

_READ, _WRITE = 1, 2


class Session(Protocol):
    """The conversation that a connection carries, in bytes; not bound to any socket."""

    @property
    def waiting(self) -> bool:
        """Whether there are more `replies` to ask for, before anything more is received."""
        ...

    @property
    def open(self) -> bool:
        """Whether the conversation goes on once what it gave is sent."""
        ...

    @property
    def unfinished(self) -> int:
        """The number of the request that has arrived in part, none like the last; 0 for none."""
        ...

    @property
    def rest(self) -> float:
        """Seconds to let go by before `replies` are asked for."""
        ...

    def receive(self, data: bytes) -> bytes:
        """Take what was read; gives what to send."""
        ...

    def replies(self) -> bytes:
        """What to send next."""
        ...

    def time_out(self) -> None:
        """The request that has arrived in part took too long; end the conversation."""
        ...

    def give_up(self, why: str) -> None:
        """The connection will be closed without another word."""
        ...

    def close(self) -> None:
        """The connection is gone."""
        ...


class Connection:
    """Moves bytes between one client's socket and its session, in turns of the event loop."""

    def __init__(
        self,
        sock: socket.socket,
        session: Session,
        limits: Limits,
        on_close: Callable[[Connection], None],
    ) -> None:
        self._sock = sock
        self._session = session
        self._limits = limits
        self._on_close = on_close
        self._read_size = SMALL_READ
        self._unsent: Union[bytes, memoryview] = b""
        self._reading = False
        self._at_eof = False
        self._ending = False
        self._lingering = False
        self._moved = True
        self._quiet_since = self._unfinished_since = 0.0
        self._unfinished = 0
        self._loop = gevent.get_hub().loop
        self._resting: Optional[Any] = None
        self._readable = self._loop.io(sock.fileno(), _READ)
        self._writable = self._loop.io(sock.fileno(), _WRITE)

    def start(self) -> None:
        """Serve the client from the next turn of the loop on."""
        self._go_on()

    def end(self) -> None:
        """Answer the requests that have arrived, then close."""
        self._ending = True
        self._go_on()

    def close(self) -> None:
        """Let go of the socket at once."""
        if self._sock.fileno() < 0:
            return
        for watcher in (self._readable, self._writable, self._resting):
            if watcher:
                watcher.stop()
                watcher.close()
        self._sock.close()
        self._session.close()
        self._on_close(self)

    def patrol(self, now: float) -> None:
        """End what has taken too long at `now`, in seconds that never go back."""
        if self._sock.fileno() < 0:
            return
        self._guarded(partial(self._check_time, now))

    def _check_time(self, now: float) -> None:
        if self._moved:
            self._moved = False
            self._quiet_since = now
        sending = bool(self._unsent) or (self._session.waiting and not self._session.rest)
        if sending or self._session.unfinished != self._unfinished:
            self._unfinished = self._session.unfinished
            self._unfinished_since = now
        limits, quiet = self._limits, now - self._quiet_since
        if self._lingering:
            if quiet > LINGER:
                self.close()
        elif sending:
            if 0 < limits.send_timeout < quiet:
                self._give_up(f"it took nothing of its replies for {limits.send_timeout:g} s")
        elif self._unfinished:
            if 0 < limits.request_timeout < now - self._unfinished_since:
                self._session.time_out()
                self._go_on()
        elif 0 < limits.idle_timeout < quiet:
            self._give_up(f"it was idle for {limits.idle_timeout:g} s")

    def _give_up(self, why: str) -> None:
        self._session.give_up(why)
        self.close()

    def _turn(self, step: Callable[[], None]) -> None:
        self._guarded(step)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Everything a connection does passes here, so that no bug in one harms another."""
        try:
            step()
        except OSError:
            self.close()
        except Exception:
            log.exception("a connection was closed by a bug in the server")
            self.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(self._read_size)
        except BlockingIOError:
            if self._ending:
                self.close()
            else:
                self._go_on()
            return
        self._moved = True
        if data:
            self._read_size = SMALL_READ if len(data) < self._read_size else LARGE_READ
            self._send(self._session.receive(data))
        else:
            self._at_eof = True
            self._go_on()

    def _write(self) -> None:
        self._send(self._unsent or self._session.replies())

    def _send(self, data: Union[bytes, memoryview]) -> None:
        try:
            sent = self._sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        session = self._session
        if sent == len(data) and self._reading and session.open and not session.waiting:
            return
        self._moved = self._moved or sent > 0
        self._unsent = memoryview(data)[sent:] if sent < len(data) else b""
        self._go_on()

    def _go_on(self) -> None:
        """Wait for whatever the state of the conversation calls for next."""
        self._reading = False
        if self._unsent or self._session.waiting:
            self._readable.stop()
            if self._session.rest and not self._unsent:
                self._rest(self._session.rest)
            else:
                self._writable.start(self._turn, self._write)
            return
        self._writable.stop()
        if self._at_eof:
            self.close()
        elif not self._session.open:
            self._hang_up()
        elif self._ending:
            self._loop.run_callback(self._turn, self._read)
        else:
            self._reading = True
            self._readable.start(self._turn, self._read)

    def _rest(self, seconds: float) -> None:
        self._writable.stop()
        if self._resting:
            self._resting.close()
        self._resting = self._loop.timer(seconds)
        self._resting.start(self._turn, self._write)

    def _hang_up(self) -> None:
        """Close so that the last reply arrives: not while the client still sends, for a while.

        A socket closed with unread data resets the connection, and the reply may be lost with it.
        """
        if self._ending:
            self.close()
            return
        if not self._lingering:
            self._lingering = self._moved = True
            self._sock.shutdown(socket.SHUT_WR)
        self._readable.start(self._turn, self._discard)

    def _discard(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._at_eof = not self._sock.recv(LARGE_READ)
        self._go_on()


class GreenletConnection(Connection):
    """A connection whose session may block: each turn has a greenlet, and others run meanwhile."""

    _busy = False

    def end(self) -> None:
        self._ending = True
        if not self._busy:
            self._go_on()

    def _turn(self, step: Callable[[], None]) -> None:
        self._busy = True
        self._reading = False
        self._readable.stop()
        self._writable.stop()
        gevent.spawn(self._guarded, step)

    def patrol(self, now: float) -> None:
        if self._busy:
            self._moved = True
        else:
            super().patrol(now)

    def _go_on(self) -> None:
        self._busy = False
        super()._go_on()
