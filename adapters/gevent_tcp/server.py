"""The listening socket, and the connections that come of it.

Rule: every client has a connection with a session of its own; the server says who may come, visits
them all for their time-outs, and at the end lets them finish.
"""

from __future__ import annotations

import logging
import socket
from typing import Any, Callable, List, Set, Tuple, Type

import gevent
from gevent.event import Event

from adapters.gevent_tcp.connection import Connection, Session
from application.limits import Limits

log = logging.getLogger(__name__)

BACKLOG = 1024
MAX_ACCEPT = 16
"""How many connections are accepted in one turn of the loop, before the others are served."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try when the system could not accept (out of descriptors)."""

PARTS = 8
"""In how many parts the patrol visits the connections, one after another."""

SPARE = 32
"""How many connections beyond `max_clients` are kept as long as it takes to tell them so."""

_READ = 1


class GeventServer:
    """Listens on one address and gives every client a connection with a session of its own.

    `new_session` is given what the client is called in logs. `clock` gives seconds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        new_session: Callable[[str], Session],
        limits: Limits,
        clock: Callable[[], float],
        connection: Type[Connection] = Connection,
    ) -> None:
        self._host = host
        self._port = port
        self._new_session = new_session
        self._limits = limits
        self._clock = clock
        self._connection = connection
        self._connections: Set[Connection] = set()
        self._to_visit: List[Connection] = []
        self._all_closed = Event()

    def bind(self) -> Tuple[str, int]:
        """Take the address, so that clients can connect; gives it, with the port that was picked
        for port 0. Raises `OSError` when it is in use or not to be had."""
        family, _, _, _, address = socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        self._listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        # What is set on a listening socket is so from the start on those that it accepts.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._limits.tcp_keepalive:
            _keep_alive(self._listener, int(self._limits.tcp_keepalive))
        host, port = self._listener.getsockname()[:2]
        return host, port

    def start(self) -> None:
        """Serve whoever connects, as long as the event loop runs."""
        loop = gevent.get_hub().loop
        self._acceptable = loop.io(self._listener.fileno(), _READ)
        self._pause = loop.timer(ACCEPT_PAUSE)
        self._acceptable.start(self._accept)
        period = _patrol_period(self._limits) / PARTS
        self._rounds = loop.timer(period, period)
        self._rounds.start(self._patrol)

    def stop(self, grace: float) -> None:
        """Accept no more clients, answer what has arrived, and close; cut after `grace` seconds."""
        while self._accept():
            pass
        self._acceptable.stop()
        self._pause.stop()
        self._listener.close()
        for connection in list(self._connections):
            connection.end()
        if self._connections:
            self._all_closed.clear()
            self._all_closed.wait(grace)
        self._rounds.stop()
        for connection in list(self._connections):
            connection.close()

    def _accept(self) -> int:
        """Take clients that wait to be accepted; how many there were, up to `MAX_ACCEPT`."""
        for count in range(MAX_ACCEPT):
            try:
                sock, address = self._listener.accept()
            except BlockingIOError:
                return count
            except OSError as error:
                log.warning("cannot accept clients for now", extra={"why": str(error)})
                self._acceptable.stop()
                self._pause.close()
                self._pause = gevent.get_hub().loop.timer(ACCEPT_PAUSE)
                self._pause.start(self._acceptable.start, self._accept)
                return 0
            if len(self._connections) < self._limits.max_clients + SPARE:
                self._welcome(sock, _name(address))
            else:
                log.warning("turned a client away", extra={"client": _name(address)})
                sock.close()
        return MAX_ACCEPT

    def _welcome(self, sock: socket.socket, client: str) -> None:
        sock.setblocking(False)
        connection = self._connection(sock, self._new_session(client), self._limits, self._forget)
        self._connections.add(connection)
        connection.start()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def _patrol(self) -> None:
        """Visit the next part of all connections, so that no round is one long step."""
        now = self._clock()
        self._to_visit = self._to_visit or list(self._connections)
        part = max(100, len(self._connections) // PARTS)
        for connection in self._to_visit[-part:]:
            connection.patrol(now)
        del self._to_visit[-part:]


def _name(address: Tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _patrol_period(limits: Limits) -> float:
    """Seconds between two rounds: often enough for the shortest time-out, at most once a second."""
    timeouts = (limits.request_timeout, limits.send_timeout, limits.idle_timeout)
    return min([1.0, *(timeout / 4 for timeout in timeouts if timeout)])


def _keep_alive(listener: socket.socket, seconds: int) -> None:
    """Let the system probe silent peers, and hang up when they are gone."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
