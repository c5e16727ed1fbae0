"""A socket that stays awake for an answer, for a moment, before it sleeps until there is one.

Rule: the processor is left to whoever else wants it, and kept from sleeping for a moment only.

To be put to sleep and woken again takes tens of microseconds on a virtual machine, longer than many
an answer takes. Whoever spins for as long as sleeping would cost, and then sleeps, needs at most
twice the time that is possible: A. Karlin et al., "Empirical studies of competitive spinning for a
shared-memory multiprocessor", SOSP 1991. Where answers take longer, as those from far away do, it
soon tries no more than now and then.

Time-outs are left to the system, since Python's own ask before each call whether it would block.
"""

from __future__ import annotations

import socket
import struct
from time import perf_counter
from typing import Callable, Optional

SKIPPED = 63
"""For how many answers it goes to sleep at once, at the most, before it stays awake for one."""


class AwakeSocket:
    """`sock` is a connected stream socket of the system's own. `give_way` runs whoever waits for
    the processor, and returns; `moment` is in seconds."""

    def __init__(self, sock: socket.socket, give_way: Callable[[], object], moment: float) -> None:
        self._sock = sock
        self._give_way = give_way
        self._moment = moment
        self._to_skip = self._skipped = 0
        self._timeout = sock.gettimeout()
        sock.settimeout(None)
        self._set_timeout()
        self.fileno = sock.fileno
        self.close = sock.close

    def settimeout(self, timeout: Optional[float]) -> None:
        if timeout != self._timeout:
            self._timeout = timeout
            self._set_timeout()

    def sendall(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except BlockingIOError as error:
            raise socket.timeout("timed out") from error

    def recv(self, size: int) -> bytes:
        if self._skipped < self._to_skip:
            self._skipped += 1
            return self._recv_asleep(size)
        end = perf_counter() + self._moment
        while True:
            self._give_way()
            try:
                data = self._sock.recv(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if perf_counter() > end:
                    break
            else:
                self._to_skip = 0
                return data
        self._to_skip = min(2 * self._to_skip + 1, SKIPPED)
        self._skipped = 0
        return self._recv_asleep(size)

    def _recv_asleep(self, size: int) -> bytes:
        try:
            return self._sock.recv(size)
        except BlockingIOError as error:
            raise socket.timeout("timed out") from error

    def _set_timeout(self) -> None:
        """For each send and receive (socket(7)); none is all zeros there."""
        microseconds = 0 if self._timeout is None else max(1, round(self._timeout * 1e6))
        timeval = struct.pack("@ll", *divmod(microseconds, 1_000_000))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
