"""The listening sockets, and the connections accepted on them.

Rule: every client has a connection and a conversation of its own. The server accepts them, sweeps
over them for their time-outs, and lets them finish at the end, within a grace.
"""

from __future__ import annotations

import logging
import socket
from typing import Any, Callable, List, Sequence, Set, Type

import gevent
from gevent.event import Event

from adapters.gevent_tcp.acceptor import MAX_ACCEPT, Acceptor
from adapters.gevent_tcp.arrivals import Arrivals
from adapters.gevent_tcp.connection import Connection, Host
from adapters.gevent_tcp.listeners import BACKLOG, Address, bind_all
from adapters.gevent_tcp.timeouts import OwnTime
from adapters.gevent_tcp.turns import Turns
from application.ledger import Ledger
from application.limits import Limits
from application.ports import Conversation, Link
from application.together import Together

log = logging.getLogger(__name__)

TIMEOUT_SWEEP_SLICES = 8
"""In how many slices a sweep visits the connections, one after another."""

REJECT_RESERVE = 32
"""How many connections beyond `max_clients` are kept as long as it takes to tell them so."""


class GeventServer:
    """Listens on addresses, and opens a connection for every client; one on a Unix socket, where
    there is no network to protect, has a `new_unix_conversation`. `clock` returns seconds."""

    def __init__(
        self,
        addresses: Sequence[Address],
        new_conversation: Callable[[Link], Conversation],
        new_unix_conversation: Callable[[Link], Conversation],
        limits: Limits,
        ledger: Ledger,
        clock: Callable[[], float],
        together: Together[Any],
        connection: Type[Connection] = Connection,
    ) -> None:
        self._addresses = addresses
        self._new_conversation = {"tcp": new_conversation, "unix": new_unix_conversation}
        self._limits = limits
        self._ledger = ledger
        self._clock = clock
        self._together = together
        self._connection = connection
        self._connections: Set[Connection] = set()
        self._to_sweep: List[Connection] = []
        self._all_closed = Event()

    def bind(self) -> List[Address]:
        """Take the addresses, so that clients can connect; returns them, with the port that was
        picked for port 0. Raises `OSError`, whose `filename` is the address that was refused."""
        listeners = bind_all(self._addresses, int(self._limits.tcp_keepalive))
        self._acceptors = [Acceptor(listener, self._connected) for listener in listeners]
        return [acceptor.address for acceptor in self._acceptors]

    def start(self) -> None:
        """Serve all clients that connect, as long as the event loop runs."""
        loop = gevent.get_hub().loop
        turns, self._arrivals = Turns(loop, self._clock), Arrivals(loop, self._together)
        shared = (loop, turns, self._arrivals, self._limits, self._ledger)
        self._hosts = {
            kind: Host(*shared, new_conversation, self._forget)
            for kind, new_conversation in self._new_conversation.items()
        }
        for acceptor in self._acceptors:
            acceptor.start(loop)
        period = _sweep_period(self._limits) / TIMEOUT_SWEEP_SLICES
        self._own_time = OwnTime(period)
        self._sweeps = loop.timer(period, period)
        self._sweeps.start(self._sweep)

    def stop(self, grace: float) -> None:
        """Accept no more clients, answer what has arrived, and close; cut after `grace` seconds."""
        end = self._clock() + grace
        for acceptor in self._acceptors:
            for _ in range(BACKLOG // MAX_ACCEPT):
                if not acceptor.accept() or self._clock() > end:
                    break
            acceptor.stop()
        for connection in list(self._connections):
            connection.end()
        if self._connections:
            self._all_closed.clear()
            self._all_closed.wait(max(0.0, end - self._clock()))
        self._sweeps.stop()
        self._arrivals.stop()
        for connection in list(self._connections):
            connection.close()

    def _connected(self, sock: socket.socket, kind: str, name: str) -> None:
        if len(self._connections) >= self._limits.max_clients + REJECT_RESERVE:
            log.warning("refused a client", extra={"client": name})
            sock.close()
            return
        sock.setblocking(False)
        connection = self._connection(sock, name, self._hosts[kind])
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


def _sweep_period(limits: Limits) -> float:
    """Seconds between two sweeps: often enough for the shortest time-out, at most once a second."""
    timeouts = (limits.request_timeout, limits.send_timeout, limits.idle_timeout)
    return min([1.0, *(timeout / 4 for timeout in timeouts if timeout)])
