"""Accepting clients on one listening socket.

Rule: a turn of the event loop accepts a bounded number of clients, and where the system cannot
accept, out of descriptors for instance, it is asked again after a pause.
"""

from __future__ import annotations

import logging
import socket
from typing import Any, Callable

from adapters.gevent_tcp.listeners import Address, Listener

log = logging.getLogger(__name__)

MAX_ACCEPT = 16
"""How many connections are accepted in one turn of the loop, before the others are served."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try when the system could not accept."""

_READ = 1


class Acceptor:
    """Calls `connected` with the socket of each client of a listener, the kind of the address, and
    the client's name."""

    def __init__(
        self, listener: Listener, connected: Callable[[socket.socket, str, str], None]
    ) -> None:
        self._listener = listener
        self._connected = connected

    @property
    def address(self) -> Address:
        """Where the clients are accepted."""
        return self._listener.address

    def start(self, loop: Any) -> None:
        """Accept as long as the event loop runs."""
        self._loop = loop
        self._acceptable = loop.io(self._listener.sock.fileno(), _READ)
        self._pause = loop.timer(ACCEPT_PAUSE)
        self._acceptable.start(self.accept)

    def stop(self) -> None:
        """Accept no more, and free the address."""
        self._acceptable.stop()
        self._pause.stop()
        self._listener.close()

    def accept(self) -> int:
        """Accept clients that wait; returns how many there were, up to `MAX_ACCEPT`."""
        for count in range(MAX_ACCEPT):
            try:
                sock, address = self._listener.sock.accept()
            except BlockingIOError:
                return count
            except OSError as error:
                log.warning("cannot accept clients for now", extra={"why": str(error)})
                self._acceptable.stop()
                self._pause.close()
                self._pause = self._loop.timer(ACCEPT_PAUSE)
                self._pause.start(self._acceptable.start, self.accept)
                return 0
            self._connected(sock, self.address[0], _name(address))
        return MAX_ACCEPT


def _name(address: Any) -> str:
    """The client's name in logs; clients of a Unix socket have no address."""
    if not isinstance(address, tuple):
        return "unix"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
