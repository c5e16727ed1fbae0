"""The listening socket, and the connections that come of it.

Rule: every client has a connection and a conversation of its own. The server accepts them, sweeps
over them for their time-outs, and lets them finish at the end, within a grace.
"""

from __future__ import annotations

import logging
import socket
from typing import Any, Callable, List, Set, Tuple, Type

import gevent
from gevent.event import Event

from adapters.gevent_tcp.connection import Connection, Host
from adapters.gevent_tcp.timeouts import OwnTime
from adapters.gevent_tcp.turns import Turns
from application.ledger import Ledger
from application.limits import Limits
from application.ports import Conversation, Link

log = logging.getLogger(__name__)

BACKLOG = 1024
MAX_ACCEPT = 16
"""How many connections are accepted in one turn of the loop, before the others are served."""

ACCEPT_PAUSE = 0.1
"""Seconds until the next try when the system could not accept (out of descriptors)."""

TIMEOUT_SWEEP_SLICES = 8
"""In how many slices a sweep visits the connections, one after another."""

REJECT_RESERVE = 32
"""How many connections beyond `max_clients` are kept as long as it takes to tell them so."""

_READ = 1


class GeventServer:
    """Listens on one address, and gives every client a connection. `clock` returns seconds."""

    def __init__(
        self,
        host: str,
        port: int,
        new_conversation: Callable[[Link], Conversation],
        limits: Limits,
        ledger: Ledger,
        clock: Callable[[], float],
        connection: Type[Connection] = Connection,
    ) -> None:
        self._address = (host, port)
        self._new_conversation = new_conversation
        self._limits = limits
        self._ledger = ledger
        self._clock = clock
        self._connection = connection
        self._connections: Set[Connection] = set()
        self._to_sweep: List[Connection] = []
        self._all_closed = Event()

    def bind(self) -> Tuple[str, int]:
        """Take the address, so that clients can connect; gives it, with the port that was picked
        for port 0. Raises `OSError` when it is in use or not to be had."""
        family, _, _, _, address = socket.getaddrinfo(
            *self._address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
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
        self._host = Host(
            loop,
            Turns(loop, self._clock),
            self._limits,
            self._ledger,
            self._new_conversation,
            self._forget,
        )
        self._acceptable = loop.io(self._listener.fileno(), _READ)
        self._pause = loop.timer(ACCEPT_PAUSE)
        self._acceptable.start(self._accept)
        period = _sweep_period(self._limits) / TIMEOUT_SWEEP_SLICES
        self._own_time = OwnTime(period)
        self._sweeps = loop.timer(period, period)
        self._sweeps.start(self._sweep)

    def stop(self, grace: float) -> None:
        """Accept no more clients, answer what has arrived, and close; cut after `grace` seconds."""
        end = self._clock() + grace
        for _ in range(BACKLOG // MAX_ACCEPT):
            if not self._accept() or self._clock() > end:
                break
        self._acceptable.stop()
        self._pause.stop()
        self._listener.close()
        for connection in list(self._connections):
            connection.end()
        if self._connections:
            self._all_closed.clear()
            self._all_closed.wait(max(0.0, end - self._clock()))
        self._sweeps.stop()
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
            if len(self._connections) < self._limits.max_clients + REJECT_RESERVE:
                self._open(sock, _name(address))
            else:
                log.warning("turned a client away", extra={"client": _name(address)})
                sock.close()
        return MAX_ACCEPT

    def _open(self, sock: socket.socket, name: str) -> None:
        sock.setblocking(False)
        connection = self._connection(sock, name, self._host)
        self._connections.add(connection)
        connection.start()

    def _forget(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_closed.set()

    def _sweep(self) -> None:
        """Visits the next slice of all connections, so that no sweep is one long step."""
        now = self._own_time.at(self._clock())
        self._to_sweep = self._to_sweep or list(self._connections)
        size = max(100, len(self._connections) // TIMEOUT_SWEEP_SLICES)
        for connection in self._to_sweep[-size:]:
            connection.check_timeouts(now)
        del self._to_sweep[-size:]


def _name(address: Tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _sweep_period(limits: Limits) -> float:
    """Seconds between two sweeps: often enough for the shortest time-out, at most once a second."""
    timeouts = (limits.request_timeout, limits.send_timeout, limits.idle_timeout)
    return min([1.0, *(timeout / 4 for timeout in timeouts if timeout)])


def _keep_alive(listener: socket.socket, seconds: int) -> None:
    """Let the system probe silent peers, and hang up when they are gone."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", 30), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
