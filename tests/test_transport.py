"""The TCP server and client against peers that are slow, rude or gone."""

from __future__ import annotations

import contextlib
import socket
import time
from types import SimpleNamespace
from typing import Any, Callable, Iterator, List, Optional, Tuple

import gevent
import gevent.socket
import pytest
from dependency_injector import providers
from gevent.event import Event
from gevent.pool import Group
from msgspec import UNSET, Raw

from adapters.client.tcp import TcpClient
from adapters.gevent_tcp.acceptor import MAX_ACCEPT, Acceptor
from adapters.gevent_tcp.connection import Connection
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from adapters.gevent_tcp.housekeeper import GeventHousekeeper
from adapters.gevent_tcp.listeners import BACKLOG
from adapters.gevent_tcp.turns import Turns
from application.commands import Get, MSet, Ping, Set
from application.conversation import Conversation
from application.ports import Received
from domain.errors import KvError, TimedOut, Unavailable
from tests.model import ModelStore
from tests.support import (
    TIMEOUT,
    Clock,
    bound,
    client_container,
    new_client,
    served,
    server_container,
    serving,
)

Peer = Callable[[Any], None]


@contextlib.contextmanager
def fake_server(*peers: Peer) -> Iterator[TcpClient]:
    """A client whose first connection is served by the first of `peers`, and so on."""
    listener = gevent.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    greenlets = Group()

    def carry(peer: Peer, sock: Any) -> None:
        with sock:
            peer(sock)

    def accept() -> None:
        for peer in peers:
            greenlets.spawn(carry, peer, listener.accept()[0])

    greenlets.spawn(accept)
    try:
        with new_client(listener.getsockname(), timeout=0.3) as client:
            yield client
    finally:
        greenlets.kill()
        listener.close()


def honest(sock: Any) -> None:
    """Answers a client's first request on the connection."""
    while sock.recv(1000):
        sock.sendall(b'{"id":0,"ok":true,"result":"right"}\n')


def answers_late(sock: Any) -> None:
    sock.recv(1000)
    gevent.sleep(0.5)
    with contextlib.suppress(OSError):
        sock.sendall(b'{"id":0,"ok":true,"result":"late"}\n')


def hangs_up(sock: Any) -> None:
    sock.recv(1000)


def cuts_its_reply(sock: Any) -> None:
    sock.recv(1000)
    sock.sendall(b'{"id":0,"ok":true,"res')


def talks_too_much(sock: Any) -> None:
    sock.recv(1000)
    sock.sendall(b'{"id":0,"ok":true,"result":"one"}\n{"ok":true,"result":"two"}\n')
    gevent.sleep(1)


@pytest.mark.parametrize(
    ("peer", "error"),
    [
        (answers_late, TimedOut),
        (hangs_up, Unavailable),
        (cuts_its_reply, Unavailable),
        (talks_too_much, Unavailable),
    ],
)
def test_the_reply_after_any_fault_matches_its_request(peer: Peer, error: Any) -> None:
    with fake_server(peer, honest) as client:
        with pytest.raises(error):
            client.execute(Get("first"))
        assert client.execute(Get("second")) == b'"right"'


def test_a_command_that_is_interrupted_leaves_no_answer_behind() -> None:
    with fake_server(answers_late, honest) as client:
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
            client.execute(Get("first"))
        assert client.execute(Get("second")) == b'"right"'


def test_a_missing_server_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address: Tuple[str, int] = unused.getsockname()
    with pytest.raises(Unavailable, match="refused"):
        client_container(*address).executor().execute(Ping())


def test_a_pipeline_returns_results_in_order_with_errors_in_their_place() -> None:
    with served(server_container()) as client:
        commands: Any = [Set("k", Raw(b"1")), Set("k", Raw(b"1e999")), Get("k"), Get("no"), Ping()]
        stored, refused, found, missing, pong = client.execute_all(commands)
        assert (stored, found, missing, pong) == (True, b"1", UNSET, "PONG")
        assert isinstance(refused, KvError)
        assert client.execute_all([]) == []


def test_a_pipeline_with_large_replies_does_not_lock_up() -> None:
    with served(server_container()) as client:
        large = Raw(b'"%b"' % (b"x" * 100_000))
        client.execute(MSet({"k": large}))
        assert client.execute_all([Get("k")] * 1000) == [bytes(large)] * 1000
        large_requests = [Set("k", large)] * 100
        assert client.execute_all(large_requests) == [True] * 100


def test_requests_of_a_client_that_does_not_read_wait_and_others_are_served() -> None:
    with serving(server_container()) as address, new_client(address) as client:
        client.execute(MSet({"k": Raw(b'"%b"' % (b"x" * 100_000))}))
        with gevent.socket.create_connection(address, TIMEOUT) as rude:
            rude.sendall(b'{"type":"GET","key":"k"}\n' * 500)
            for _ in range(10):
                assert client.execute(Ping()) == "PONG"
            received = 0
            while received < 500 * 100_000:
                received += len(rude.recv(1 << 20))


@pytest.mark.parametrize("connection", [Connection, GreenletConnection])
def test_one_that_waited_for_a_turn_waits_for_no_other_to_be_read(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all who wait are read before any is answered, again and again."""
    waits: List[bool] = []
    add = Turns.add

    def noted(turns: Turns, step: Callable[[], None], may_be_long: bool) -> None:
        waits.append(may_be_long)
        add(turns, step, may_be_long)

    monkeypatch.setattr(Turns, "add", noted)
    monkeypatch.setattr(Turns, "has_time", lambda turns: False)
    container = server_container()
    container.connection.override(connection)
    with served(container) as client:
        for _ in range(4):
            assert client.execute(Set("k", Raw(b'"%b"' % (b"x" * 8_000))))
        assert waits[-3:] == [True] * 3


class StuckStore(ModelStore):
    """A store in which a GET waits."""

    def __init__(self) -> None:
        super().__init__(time.monotonic)
        self.asked, self.go_on = Event(), Event()

    def get(self, key: str) -> Optional[bytes]:
        self.asked.set()
        self.go_on.wait()
        return b'"at last"'


def test_a_store_that_blocks_does_not_delay_other_clients() -> None:
    store = StuckStore()
    container = server_container()
    container.store.override(store)
    container.connection.override(GreenletConnection)
    with serving(container) as address, new_client(address) as one, new_client(address) as other:
        getting = gevent.spawn(one.execute, Get("k"))
        assert store.asked.wait(TIMEOUT)
        assert other.execute(Ping()) == "PONG"
        store.go_on.set()
        assert getting.get(timeout=TIMEOUT) == b'"at last"'


@pytest.mark.parametrize("connection", [Connection, GreenletConnection])
def test_stopping_answers_what_has_arrived_and_closes(connection: Any) -> None:
    container = server_container()
    container.connection.override(connection)
    server = container.server()
    address = bound(server)
    server.start()
    with gevent.socket.create_connection(address, TIMEOUT) as sock:
        sock.sendall(b'{"type":"PING"}\n' * 1000 + b'{"type":')
        server.stop(grace=TIMEOUT)
        received = b"".join(iter(lambda: sock.recv(1 << 20), b""))
        assert received == b'{"ok":true,"result":"PONG"}\n' * 1000


@pytest.mark.parametrize("connection", [Connection, GreenletConnection])
def test_stopping_waits_for_no_request_that_comes_later(connection: Any) -> None:
    """Clients that ask as soon as they are answered have always one on its way."""
    container = server_container()
    container.connection.override(connection)
    server = container.server()
    address = bound(server)
    server.start()

    def ask_on() -> None:
        with gevent.socket.create_connection(address, TIMEOUT) as sock:
            reply = ping = b'{"type":"PING"}\n'
            with contextlib.suppress(ConnectionError):
                while reply.endswith(b"\n"):
                    sock.sendall(ping)
                    reply = sock.recv(100)

    clients = [gevent.spawn(ask_on) for _ in range(40)]
    gevent.sleep(0.05)
    before = time.monotonic()
    server.stop(grace=TIMEOUT)
    assert time.monotonic() - before < TIMEOUT / 2
    gevent.joinall(clients, timeout=TIMEOUT, raise_error=True)


def test_stopping_cuts_a_client_that_does_not_take_its_replies() -> None:
    server = server_container().server()
    address = bound(server)
    server.start()
    with gevent.socket.create_connection(address, TIMEOUT) as sock:
        sock.sendall(b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 1_000_000))
        sock.sendall(b'{"type":"GET","key":"k"}\n' * 100)
        gevent.sleep(0.01)
        server.stop(grace=0.05)
        received = sum(map(len, iter(lambda: sock.recv(1 << 20), b"")))
        assert received < 100 * 1_000_000


def test_stopping_cuts_a_turn_that_does_not_end_and_logs_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = StuckStore()
    container = server_container()
    container.store.override(store)
    container.connection.override(GreenletConnection)
    server = container.server()
    address = bound(server)
    server.start()
    with gevent.socket.create_connection(address, TIMEOUT) as sock:
        sock.sendall(b'{"type":"GET","key":"k"}\n')
        assert store.asked.wait(TIMEOUT)
        server.stop(grace=0.01)
        store.go_on.set()
        gevent.sleep(0.01)
        assert sock.recv(100) == b""
    assert caplog.text == ""


class Flood:
    """A listening socket at which clients come without end; each takes a while to accept."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self.accepted = 0
        self._peers: List[socket.socket] = []

    def accept(self) -> Tuple[socket.socket, Tuple[str, int]]:
        self.accepted += 1
        self._clock.now += self._seconds
        ours, theirs = socket.socketpair()
        self._peers.append(theirs)
        return ours, ("192.0.2.1", self.accepted)

    def close(self) -> None:
        for peer in self._peers:
            peer.close()


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.1, 1.0])
def test_stopping_keeps_its_grace_under_a_flood_of_connects(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    container = server_container(max_clients=10)
    container.clock.override(clock)
    server = container.server()
    server.bind()
    server.start()
    (acceptor,) = server._acceptors
    listener, flood = acceptor._listener, Flood(clock, seconds)
    monkeypatch.setattr(acceptor, "_listener", SimpleNamespace(sock=flood, close=flood.close))
    monkeypatch.setattr(Acceptor, "address", listener.address)
    started = clock.now
    with gevent.Timeout(TIMEOUT), contextlib.closing(listener):
        server.stop(grace=5.0)
    assert clock.now - started <= 5.0 + MAX_ACCEPT * seconds
    assert flood.accepted <= BACKLOG
    assert not server._connections


def test_the_last_reply_reaches_a_client_that_goes_on_sending() -> None:
    container = server_container(max_request_bytes=100)
    with serving(container) as address, gevent.socket.create_connection(address, TIMEOUT) as sock:
        sock.sendall(b"{" * 3_000_000)
        sock.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: sock.recv(1000), b""))
        assert b"TOO_LARGE" in received
        assert received.count(b"\n") == 1


class Broken(Conversation):
    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        raise RuntimeError("a bug")


def test_a_bug_in_a_conversation_closes_that_connection_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    container = server_container()
    made = [Conversation, Broken]
    container.plain_conversation.override(
        providers.Callable(lambda service, link: made.pop(0)(service, link), container.service)
    )
    with serving(container) as address, new_client(address) as client:
        assert client.execute(Ping()) == "PONG"
        with new_client(address) as unlucky, pytest.raises(Unavailable):
            unlucky.execute(Ping())
        assert client.execute(Ping()) == "PONG"
    assert "a bug in the server" in caplog.text


def test_the_housekeeper_runs_until_nothing_is_left_and_yields_to_others() -> None:
    left, served_between = [3], [0]

    def run_maintenance() -> bool:
        left[0] = max(0, left[0] - 1)
        return left[0] > 0

    def serve() -> None:
        while True:
            served_between[0] += 1
            gevent.sleep(0.0001)

    late: List[float] = []
    clock = Clock()
    housekeeper = GeventHousekeeper(run_maintenance, clock, late.append)
    other = gevent.spawn(serve)
    housekeeper.start()
    with gevent.Timeout(TIMEOUT):
        while left[0]:
            gevent.sleep(0.001)
    assert served_between[0] > 1
    assert set(late) == {0.0}
    housekeeper.stop()
    other.kill()
