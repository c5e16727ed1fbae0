"""Conversations that are parked and woken, on real sockets.

The conversation here answers each line by the same line, once the test has allowed it.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Callable, Dict, Iterator, List, Optional

import gevent
import pytest
from dependency_injector import providers
from msgspec import UNSET

from adapters.gevent_tcp.connection import Connection
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from application import ports
from application.conversation import Conversation
from application.ports import Link, Received, Wants
from entrypoints.server.container import ServerContainer
from tests.certificates import Files
from tests.support import TIMEOUT
from tests.test_timeouts import World, rest_of

BYTES = 30_000_000
"""Of a reply that no buffers of the system take."""


class Later:
    """Answers later. `calls` are those that the transport made."""

    partial_request_id = 0
    is_listening = False
    may_take_long = True

    def __init__(self, link: Link) -> None:
        self.link = link
        self.wants = Wants.INPUT
        self.calls: List[str] = []
        self.allowed = 0
        self.is_closed = False
        self.while_received: Callable[[], None] = lambda: None
        self._asked = b""

    def allow(self, count: int) -> None:
        self.allowed += count
        self.link.wake()

    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        assert self.wants is Wants.INPUT
        self.calls.append("receive")
        self._asked += data
        self.while_received()
        return self._answer()

    codec, reply = ports.Conversation.codec, ports.Conversation.reply

    def advance(self) -> bytes:
        self.calls.append("advance")
        return self._answer()

    def _answer(self) -> bytes:
        sent = b""
        while self.allowed and b"\n" in self._asked:
            line, _, self._asked = self._asked.partition(b"\n")
            sent += line * (BYTES // len(line) if line == b"long" else 1) + b"\n"
            self.allowed -= 1
        self.wants = Wants.WAKE if b"\n" in self._asked else Wants.INPUT
        return sent

    def time_out(self) -> None:
        self.calls.append("time_out")

    def abort(self, reason: str) -> None:
        self.calls.append(f"abort: {reason}")

    def close(self) -> None:
        self.is_closed = True


class Parking(World):
    """A server of such conversations, and of an ordinary one to look at it through."""

    def __init__(self, connection: Any, files: Optional[Files]) -> None:
        self._made: List[Later] = []
        tls = {"tls_cert": files.server.certificate, "tls_key": files.server.key} if files else {}
        settings: Dict[str, Any] = {"request_timeout": 30, "send_timeout": 30, "idle_timeout": 500}
        super().__init__(connection, {**settings, **tls}, self._swap)

    def _swap(self, container: ServerContainer) -> None:
        first: List[bool] = [True]

        def new(link: Link) -> Any:
            if first:
                first.clear()
                return Conversation(container.service(), link)
            self._made.append(Later(link))
            return self._made[-1]

        container.plain_conversation.override(providers.Callable(new))

    @contextlib.contextmanager
    def talk(self, *lines: bytes) -> Iterator[Any]:
        """A client that has sent lines, and the conversation with it."""
        with self.connect_to_talk() as sock:
            if lines:
                sock.sendall(b"".join(lines))
            self.settle()
            self.settle()
            yield sock, self._made[-1]


@pytest.fixture(params=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, files: Files) -> Optional[Files]:
    return files if request.param == "TLS" else None


@pytest.fixture(params=[Connection, GreenletConnection])
def here(request: pytest.FixtureRequest, tls: Optional[Files]) -> Iterator[Parking]:
    with contextlib.closing(Parking(request.param, tls)) as parking:
        yield parking


def receive(sock: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(min(size - len(data), 65_536))
        assert piece, data
        data += piece
    return bytes(data)


def advance_after_a_while(here: Parking, sock: Any, later: Later) -> None:
    """Sends a line whose conversation asks to be woken, and waits until it is."""
    later.while_received = lambda: later.link.wake_after(0.001)
    sock.sendall(b"one\n")
    here.settle()
    with gevent.Timeout(TIMEOUT):
        while "advance" not in later.calls:
            here.settle()


def test_replies_come_in_order_each_when_its_conversation_is_woken(here: Parking) -> None:
    with here.talk(b"one\n", b"two\n", b"three\n") as (sock, later):
        for line in (b"one\n", b"two\n", b"three\n"):
            later.allow(1)
            assert receive(sock, len(line)) == line
        sock.sendall(b"four\n")
        here.settle()
        later.allow(1)
        assert receive(sock, 5) == b"four\n"
        assert later.calls.count("advance") == 4


def test_a_parked_conversation_is_not_called_and_reads_nothing(here: Parking) -> None:
    with here.talk(b"one\n") as (sock, later):
        before = list(later.calls)
        sock.sendall(b"two\n" * 1000)
        for _ in range(20):
            here.settle()
        assert later.calls == before
        later.allow(1001)
        assert receive(sock, 4004) == b"one\n" + b"two\n" * 1000


def test_a_parked_conversation_woken_often_advances_once(here: Parking) -> None:
    with here.talk(b"one\n") as (sock, later):
        for _ in range(5):
            later.allow(1)
        assert receive(sock, 4) == b"one\n"
        here.settle()
        assert later.calls.count("advance") == 1


def test_a_conversation_woken_before_it_parks_advances(here: Parking) -> None:
    with here.talk() as (sock, later):
        later.while_received = later.link.wake
        sock.sendall(b"one\n")
        here.settle()
        assert later.calls == ["receive", "advance"]
        later.allow(1)
        assert receive(sock, 4) == b"one\n"


def test_a_conversation_woken_without_need_goes_on(here: Parking) -> None:
    with here.talk() as (sock, later):
        later.link.wake()
        here.settle()
        later.allowed = 1
        sock.sendall(b"one\n")
        assert receive(sock, 4) == b"one\n"
    with here.talk(b"one\n") as (sock, later):
        later.link.wake()
        here.settle()
        assert later.wants is Wants.WAKE
        later.allow(1)
        assert receive(sock, 4) == b"one\n"


def test_a_conversation_is_woken_after_the_time_that_it_asked_for(here: Parking) -> None:
    with here.talk() as (sock, later):
        advance_after_a_while(here, sock, later)
        later.allow(1)
        assert receive(sock, 4) == b"one\n"


def test_a_parked_conversation_with_pending_output_is_not_called(here: Parking) -> None:
    with here.talk(b"long\n", b"two\n") as (sock, later):
        later.allow(1)
        here.settle()
        before = list(later.calls)
        for _ in range(5):
            later.allow(1)
            here.settle()
        assert later.calls == before
        receive(sock, BYTES // 4 * 4 + 1)
        assert receive(sock, 4) == b"two\n"


def test_the_client_of_a_parked_conversation_does_not_time_out(here: Parking) -> None:
    with here.talk(b"one\n") as (sock, later):
        here.pass_time(2000)
        later.allow(1)
        assert receive(sock, 4) == b"one\n"
        here.pass_time(490)
        assert not later.is_closed
        here.pass_time(20)
        assert later.is_closed
        assert [call[:16] for call in later.calls[-1:]] == ["abort: it was id"]


def test_a_conversation_woken_during_a_shutdown_sends_its_reply(here: Parking) -> None:
    with here.talk(b"one\n") as (sock, later):
        stopping = gevent.spawn(here.server.stop, TIMEOUT)
        gevent.sleep(0)
        assert not later.is_closed
        later.allow(1)
        assert receive(sock, 4) == b"one\n"
        assert rest_of(sock) == b""
        stopping.get(timeout=TIMEOUT)
        assert later.is_closed


def test_a_conversation_never_woken_ends_with_the_shutdown_grace(here: Parking) -> None:
    with here.talk(b"one\n") as (sock, later):
        here.server.stop(grace=0.01)
        assert later.is_closed
        assert rest_of(sock) == b""
        assert "advance" not in later.calls[1:]


def test_a_conversation_woken_after_its_peer_left_is_closed_without_an_error(
    here: Parking, caplog: pytest.LogCaptureFixture
) -> None:
    with here.talk(b"long\n") as (sock, later):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset
    here.settle()
    later.allow(1)
    with gevent.Timeout(TIMEOUT):
        while not later.is_closed:
            here.settle()
    assert "bug" not in caplog.text
    assert here.connections() == 1


@pytest.mark.parametrize("tls", ["plain"], indirect=True)
def test_a_peer_that_only_ended_its_side_gets_the_reply(here: Parking) -> None:
    with here.talk(b"one\n") as (sock, later):
        sock.shutdown(socket.SHUT_WR)
        here.settle()
        later.allow(1)
        assert rest_of(sock) == b"one\n"
        assert later.is_closed


def test_a_closed_conversation_is_not_called_by_any_pending_wake(here: Parking) -> None:
    with here.talk() as (sock, later):
        advance_after_a_while(here, sock, later)
        later.link.wake_after(0.001)
        later.link.wake()
        (connection,) = (one for one in here.server._connections if one.name == later.link.name)
        connection.close()
        before = list(later.calls)
        later.link.wake()
        gevent.sleep(0.005)
        here.settle()
        assert later.calls == before
