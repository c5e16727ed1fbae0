"""A socket that busy-polls for a reply before it blocks.

Rule: other processes that want the processor get it before each look, and after `poll_seconds` the
thread sleeps. Time-outs are absolute: a signal that is handled meanwhile does not start them anew.

Sleeping and waking takes tens of microseconds on a virtual machine, longer than many replies.
Spinning for as long as sleeping would cost, and sleeping then, needs at most twice the time that is
possible: A. Karlin et al., "Empirical studies of competitive spinning for a shared-memory
multiprocessor", SOSP 1991. After a miss it backs off: it blocks at once for the next 1, 3, 7 … 63
receives.

The descriptor does not block, and `poll` sleeps for it only where there is something to wait for:
sockets of Python's own ask before each call whether it would block.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any, Callable, Optional, TypeVar

T = TypeVar("T")

MAX_SKIPPED_POLLS = 63
"""How many receives block at once, at the most, before one polls again."""

MAX_POLL_MS = 2**31 - 1


class BusyPollSocket:
    """`sock` is a connected stream socket of the system's own. `yield_cpu` lets another process
    have the processor; `poll_seconds` is how long to poll before blocking."""

    def __init__(
        self, sock: socket.socket, yield_cpu: Callable[[], object], poll_seconds: float
    ) -> None:
        self._send = sock.send
        self._recv = sock.recv
        self._yield_cpu = yield_cpu
        self._poll_seconds = poll_seconds
        self._to_skip = self._skipped = 0
        self._timeout = sock.gettimeout()
        sock.setblocking(False)
        self._readable = _poll(sock, select.POLLIN)
        self._writable = _poll(sock, select.POLLOUT)
        self.family = sock.family
        self.fileno = sock.fileno
        self.getsockopt = sock.getsockopt
        self.shutdown = sock.shutdown
        self.close = sock.close

    def settimeout(self, timeout: Optional[float]) -> None:
        """Seconds for one `send` or `recv`; None for as long as it takes."""
        self._timeout = timeout

    def send(self, data: bytes) -> int:
        try:
            return self._send(data)
        except BlockingIOError:
            return self._when_ready(self._writable, lambda: self._send(data))

    def recv(self, size: int) -> bytes:
        if self._skipped < self._to_skip:
            self._skipped += 1
        else:
            end = time.perf_counter() + self._poll_seconds
            while True:
                self._yield_cpu()
                try:
                    data = self._recv(size)
                except BlockingIOError:
                    if time.perf_counter() > end:
                        break
                else:
                    self._to_skip = 0
                    return data
            self._to_skip = min(2 * self._to_skip + 1, MAX_SKIPPED_POLLS)
            self._skipped = 0
        return self._when_ready(self._readable, lambda: self._recv(size))

    def _when_ready(self, poll: Callable[[Optional[float]], Any], attempt: Callable[[], T]) -> T:
        """Returns the attempt's result as soon as the system says that it need not block."""
        timeout = self._timeout
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else max(0.0, (end - time.monotonic()) * 1000)
            if not poll(left if left is None else min(left, MAX_POLL_MS)) and left is not None:
                raise socket.timeout("timed out")
            try:
                return attempt()
            except BlockingIOError:  # another one was faster, or the system has changed its mind
                continue


def _poll(sock: socket.socket, event: int) -> Callable[[Optional[float]], Any]:
    poll = select.poll()
    poll.register(sock, event)
    return poll.poll
