"""Connections that take too long, on real sockets and a clock that a test moves.

The server's own sweeps go on by the real clock, and find that no time has passed.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from typing import Any, Callable, Dict, Iterator

import gevent.socket
import gevent.ssl
import pytest

from adapters.gevent_tcp.connection import Connection
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from adapters.gevent_tcp.timeouts import LINGER
from application import password
from application.long_requests import MAX_LONG_REQUESTS
from entrypoints.server.container import ServerContainer
from tests.certificates import HOST, Files
from tests.support import TIMEOUT, Clock, bound, server_container

KINDS = pytest.mark.parametrize("kind", [Connection, GreenletConnection])

PING, PONG = b'{"type":"PING"}\n', b'{"ok":true,"result":"PONG"}\n'
GET = b'{"type":"GET","key":"k"}\n'
ROUND = 1.0
"""Seconds between two sweeps, at most."""


class World:
    """A server in this thread, and the time in it."""

    def __init__(
        self,
        connection: Any,
        settings: Dict[str, Any],
        prepare: Callable[[ServerContainer], object] = lambda container: None,
    ) -> None:
        """`prepare` may swap parts of the server before any is built."""
        self.clock = Clock()
        container = server_container(**settings)
        prepare(container)
        container.clock.override(self.clock)
        container.connection.override(connection)
        self._in_tls = bool(container.config.tls_cert())
        if self._in_tls:
            container.certificates().load()
        self.password = container.password()
        self.long_requests = container.long_requests()
        self.server = container.server()
        self.address = bound(self.server)
        self.server.start()
        self._asking = self.connect_to_talk()

    def connect(self) -> Any:
        return gevent.socket.create_connection(self.address, TIMEOUT)

    def connect_to_talk(self) -> Any:
        """A connection in TLS, where that is what the server speaks."""
        context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(self.connect()) if self._in_tls else self.connect()

    def close(self) -> None:
        self._asking.close()
        self.server.stop(grace=0.05)

    def pass_time(self, seconds: float) -> None:
        """Time passes as it does for a server: it sweeps over its connections meanwhile."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.settle()
            second = self.clock.now + ROUND
            while self.clock.now < second:
                self.clock.now += self.server._own_time.period
                self.server._sweep()
        self.settle()

    def stand_still(self, seconds: float) -> None:
        """The server does nothing for a while, as when the machine is suspended."""
        self.clock.now += seconds
        self.server._sweep()

    def settle(self) -> None:
        """Run the server until it has processed all that was sent to it."""
        for _ in range(3):
            self.ask(PING)

    def info(self) -> Any:
        return self.ask(b'{"type":"INFO"}\n')["result"]["server"]

    def connections(self) -> int:
        """How many sockets it holds; INFO does not count those of ended conversations."""
        return len(self.server._connections)

    def ask(self, line: bytes) -> Any:
        self._asking.sendall(line)
        return json.loads(self._asking.recv(10_000))


@pytest.fixture(params=[Connection, GreenletConnection])
def connection(request: pytest.FixtureRequest) -> Any:
    return request.param


def world(connection: Any, **settings: Any) -> contextlib.closing[World]:
    return contextlib.closing(World(connection, settings))


def rest_of(sock: Any) -> bytes:
    """All that is still to come on a connection that the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        for data in iter(lambda: sock.recv(1 << 20), b""):
            received += data
    return received


def is_open(world: World, sock: Any) -> bool:
    """Whether the server still listens to a client to which it owes nothing."""
    try:
        sock.sendall(PING)
        return bool(sock.recv(len(PONG)) == PONG)
    except OSError:
        return False


class TestRequest:
    """A request has its time from the first byte to the last."""

    def test_a_partial_request_gets_timeout_and_the_connection_is_closed(
        self, connection: Any
    ) -> None:
        with world(connection, request_timeout=30) as here, here.connect() as sock:
            sock.sendall(PING + b'{"type":')
            here.pass_time(29)
            sock.sendall(b'"PING"')
            here.pass_time(4)
            assert sock.recv(len(PONG)) == PONG
            (reply,) = rest_of(sock).splitlines()
            assert json.loads(reply)["error"]["code"] == "TIMEOUT"

    def test_a_trickling_request_gets_no_more_time(self, connection: Any) -> None:
        with world(connection, request_timeout=30) as here, here.connect() as sock:
            sock.sendall(b'{"type":"SET","key":"')
            for _ in range(29):
                sock.sendall(b"k")
                here.pass_time(1)
            assert here.info()["connected_clients"] == 2
            sock.sendall(b"k")
            here.pass_time(3)
            assert b"TIMEOUT" in rest_of(sock)

    def test_a_request_in_time_is_answered_and_the_next_has_its_own_time(
        self, connection: Any
    ) -> None:
        with world(connection, request_timeout=30) as here, here.connect() as sock:
            for _ in range(3):
                sock.sendall(PING[:5])
                here.pass_time(29)
                sock.sendall(PING[5:])
                assert sock.recv(100) == PONG
                here.pass_time(29)

    def test_a_busy_client_with_a_partial_request_at_all_times_is_not_cut(
        self, connection: Any
    ) -> None:
        with world(connection, request_timeout=30) as here, here.connect() as sock:
            sock.sendall(PING[:5])
            for _ in range(10):
                here.pass_time(20)
                sock.sendall(PING[5:] + PING + PING[:5])
                assert sock.recv(2 * len(PONG), socket.MSG_WAITALL) == 2 * PONG
            assert here.info()["cut_clients"] == 0

    def test_a_request_timeout_of_0_never_ends_a_request(self, connection: Any) -> None:
        with world(connection, request_timeout=0) as here, here.connect() as sock:
            sock.sendall(PING[:5])
            here.pass_time(500)
            sock.sendall(PING[5:])
            assert sock.recv(100) == PONG

    def test_untaken_replies_stop_the_time_of_the_next_request(self, connection: Any) -> None:
        """The server would not read the rest of it."""
        limits = {"request_timeout": 30, "send_timeout": 0}
        with world(connection, **limits) as here, slow_reader(here, more=PING[:5]) as sock:
            here.pass_time(100)
            take(sock, REPLIES)
            here.pass_time(25)
            sock.sendall(PING[5:])
            assert sock.recv(100) == PONG

    def test_a_waiting_long_request_stops_the_time_of_the_next_request(
        self, connection: Any
    ) -> None:
        long = b'{"type":"MGET","keys":[%b"a"]}\n' % (b'"a key",' * 19_999)
        with world(connection, request_timeout=30) as here, here.connect() as sock:
            tickets = [here.long_requests.enter(lambda: None) for _ in range(MAX_LONG_REQUESTS)]
            sock.sendall(PING)
            assert sock.recv(100) == PONG
            sock.sendall(long + PING[:5])
            here.pass_time(100)
            here.long_requests.leave(tickets[0])
            assert sock.recv(100) == b'{"ok":true,"result":{}}\n'
            here.pass_time(25)
            sock.sendall(PING[5:])
            assert sock.recv(100) == PONG

    def test_a_login_is_one_request_whether_the_client_is_silent_or_not(
        self, connection: Any
    ) -> None:
        with world(connection, request_timeout=30, password="secret") as here:
            here.ask(b'{"type":"AUTH","password":"secret"}\n')
            with here.connect() as silent, here.connect() as talking:
                for _ in range(6):
                    talking.sendall(PING)
                    here.pass_time(4)
                assert here.info()["connected_clients"] == 3
                here.pass_time(8)
                assert b"TIMEOUT" in rest_of(silent)
                assert b"TIMEOUT" in rest_of(talking)

    def test_a_tls_handshake_has_the_time_of_a_request(self, connection: Any, files: Files) -> None:
        tls = {"tls_cert": files.server.certificate, "tls_key": files.server.key}
        with world(connection, request_timeout=30, **tls) as here, here.connect() as sock:
            sock.sendall(b"\x16\x03\x01")
            here.pass_time(29)
            assert here.connections() == 2
            sock.sendall(b"\x02")
            here.pass_time(4)
            assert rest_of(sock) == b""
            assert here.info()["cut_clients"] == 1


REPLIES = 40_000_000
"""Bytes of replies that no buffers of the system take."""


@contextlib.contextmanager
def slow_reader(here: World, more: bytes = b"") -> Iterator[Any]:
    """A client that reads none of many replies until `take` is called; `more` follows their
    requests, and is read with them."""
    value = b'"%b"' % (b"x" * (1_000_000 - len(b'{"ok":true,"result":""}\n')))
    with here.connect() as sock:
        sock.sendall(b'{"type":"SET","key":"k","value":%b}\n' % value)
        assert sock.recv(1000) == b'{"ok":true,"result":true}\n'
        sock.sendall(GET * (REPLIES // 1_000_000) + more)
        here.settle()
        yield sock


def take(sock: Any, size: int) -> None:
    while size > 0:
        data = sock.recv(min(size, 1 << 20))
        assert data
        size -= len(data)


class TestReplies:
    """A client takes something of its replies within a time."""

    def test_a_client_that_takes_no_replies_is_cut(
        self, connection: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with world(connection, send_timeout=30) as here, slow_reader(here) as sock:
            here.pass_time(29)
            assert here.info()["connected_clients"] == 2
            here.pass_time(4)
            assert here.info()["connected_clients"] == 1
            assert here.info()["cut_clients"] == 1
            assert len(rest_of(sock)) < REPLIES
        assert "took none" in repr([vars(record) for record in caplog.records])

    def test_a_client_that_takes_replies_slowly_gets_all(self, connection: Any) -> None:
        with world(connection, send_timeout=30) as here, slow_reader(here) as sock:
            for _ in range(4):
                here.pass_time(25)
                take(sock, REPLIES // 4)
            assert here.info()["cut_clients"] == 0
            assert is_open(here, sock)

    def test_a_send_timeout_of_0_never_cuts_a_client(self, connection: Any) -> None:
        with world(connection, send_timeout=0) as here, slow_reader(here) as sock:
            here.pass_time(500)
            take(sock, REPLIES)
            assert is_open(here, sock)

    def test_a_client_without_pending_replies_is_not_cut(self, connection: Any) -> None:
        with world(connection, send_timeout=3) as here, here.connect() as sock:
            here.pass_time(100)
            assert is_open(here, sock)


class TestStandstill:
    """A pause of the server itself counts against no client."""

    def test_a_request_that_arrived_during_the_standstill_is_answered(
        self, connection: Any
    ) -> None:
        limits = {"request_timeout": 30, "send_timeout": 30, "idle_timeout": 30}
        with world(connection, **limits) as here, here.connect() as sock, here.connect() as idle:
            sock.sendall(PING[:5])
            here.pass_time(20)
            sock.sendall(PING[5:])
            here.stand_still(1000)
            assert sock.recv(100) == PONG
            here.pass_time(5)
            assert is_open(here, idle)

    def test_a_slow_reader_is_not_cut_for_the_standstill(self, connection: Any) -> None:
        with world(connection, send_timeout=30) as here, slow_reader(here) as sock:
            here.pass_time(20)
            here.stand_still(1000)
            here.pass_time(5)
            take(sock, REPLIES)
            assert here.info()["cut_clients"] == 0

    def test_the_time_before_the_standstill_counts(self, connection: Any) -> None:
        with world(connection, request_timeout=30) as here, here.connect() as sock:
            sock.sendall(PING[:5])
            here.pass_time(20)
            here.stand_still(1000)
            here.pass_time(13)
            assert b"TIMEOUT" in rest_of(sock)


class TestIdle:
    def test_an_idle_client_is_cut_with_an_idle_timeout(
        self, connection: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with world(connection, idle_timeout=60) as here, here.connect() as sock:
            assert is_open(here, sock)
            here.pass_time(59)
            assert is_open(here, sock)
            here.pass_time(59)
            assert here.info()["cut_clients"] == 0
            here.pass_time(4)
            assert here.info()["cut_clients"] == 1
            assert rest_of(sock) == b""
        assert "idle" in repr([vars(record) for record in caplog.records])

    def test_a_client_that_never_sent_anything_is_cut_with_an_idle_timeout(
        self, connection: Any
    ) -> None:
        with world(connection, idle_timeout=60) as here, here.connect() as sock:
            here.pass_time(63)
            assert rest_of(sock) == b""

    def test_a_subscriber_may_be_silent(self, connection: Any) -> None:
        with world(connection, idle_timeout=60) as here, here.connect() as sock:
            sock.sendall(b"SUBSCRIBE c\r\n")
            assert sock.recv(1) == b"*"
            here.pass_time(600)
            sock.sendall(b"UNSUBSCRIBE\r\n")
            here.pass_time(50)
            assert here.info()["cut_clients"] == 0
            here.pass_time(20)
            assert here.info()["cut_clients"] == 1

    def test_an_idle_client_is_not_cut_by_default(self, connection: Any) -> None:
        with world(connection) as here, here.connect() as sock:
            here.pass_time(500)
            assert is_open(here, sock)

    def test_all_timeouts_may_be_0(self, connection: Any) -> None:
        with world(connection, request_timeout=0, send_timeout=0, idle_timeout=0) as here:
            here.pass_time(100)


class TestRest:
    """An attempt at the password that is delayed."""

    SECRET = "secret"
    RIGHT, WRONG = (b'{"type":"AUTH","password":"%b"}\n' % word for word in (b"secret", b"no"))

    def test_delayed_attempts_are_answered_in_order(
        self, connection: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(password, "FIRST_DELAY", 0.001)
        with world(connection, password=self.SECRET) as here, here.connect() as sock:
            here.ask(self.RIGHT)
            sock.sendall(self.WRONG * 5 + self.RIGHT + PING)
            here.settle()
            said = [sock.recv(1000)]
            while b"PONG" not in said[-1]:
                said.append(sock.recv(1000))
            told = [json.loads(line)["ok"] for line in b"".join(said).splitlines()]
            assert told == [False] * 5 + [True, True]

    def test_a_client_with_a_delayed_attempt_may_hang_up(self, connection: Any) -> None:
        with world(connection, password=self.SECRET) as here, here.connect() as sock:
            here.ask(self.RIGHT)
            sock.sendall(self.WRONG * 4)
            here.settle()
            sock.close()
            here.pass_time(40)
            assert here.connections() == 1

    def test_an_attempt_delayed_beyond_the_request_timeout_gets_timeout(
        self, connection: Any
    ) -> None:
        limits = {"request_timeout": 2, "send_timeout": 60}
        with world(connection, password=self.SECRET, **limits) as here, here.connect() as sock:
            here.ask(self.RIGHT)
            for _ in range(8):
                here.password.wait(HOST)
            sock.sendall(self.RIGHT)
            here.pass_time(4)
            sock.settimeout(0.05)
            assert b"TIMEOUT" in sock.recv(1000)


class TestLinger:
    """A client has a while to take the final reply."""

    def refused(self, here: World) -> Any:
        sock = here.connect()
        sock.sendall(b"no JSON\n")
        assert b"BAD_JSON" in rest_of(sock)
        return sock

    def test_a_refused_connection_is_closed_after_the_linger_time(self, connection: Any) -> None:
        with world(connection) as here, contextlib.closing(self.refused(here)):
            here.pass_time(LINGER - ROUND)
            assert here.connections() == 2
            here.pass_time(3 * ROUND)
            assert here.connections() == 1

    @KINDS
    def test_a_refused_client_that_goes_on_sending_is_closed_after_the_linger_time(
        self, kind: Any
    ) -> None:
        with world(kind) as here, contextlib.closing(self.refused(here)) as sock:
            for _ in range(int(LINGER - ROUND)):
                sock.sendall(b"x" * 1000)
                here.pass_time(ROUND)
            assert here.connections() == 2
            here.pass_time(3 * ROUND)
            assert here.connections() == 1

    @KINDS
    def test_a_refused_connection_is_closed_as_soon_as_the_client_hangs_up(self, kind: Any) -> None:
        with world(kind) as here, contextlib.closing(self.refused(here)) as sock:
            sock.sendall(b"x")
            here.settle()
            assert here.connections() == 2
            sock.close()
            here.settle()
            assert here.connections() == 1
