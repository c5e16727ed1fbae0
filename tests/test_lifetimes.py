"""The parts of a connection are freed when it is gone, by counting references alone.

A cycle among its objects would keep all that they hold until the collector runs, which ordinary
requests may not make it do for hours. So the collector is off here.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import socket
from typing import Any, Callable, Dict, Iterator, List, Optional

import gevent
import pytest

from adapters.client.loopback import LoopbackLink
from adapters.gevent_tcp.connection import Connection
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from application.commands import Command
from application.conversation import Conversation
from application.limits import Limits
from application.password import Password
from application.ports import Executor
from domain.errors import TooLarge
from tests.certificates import Files
from tests.support import TIMEOUT, Clock, answer, service_of
from tests.test_timeouts import PING, PONG, World, rest_of

SECRET = "secret"
RIGHT, WRONG = (b'{"type":"AUTH","password":"%b"}\n' % word for word in (b"secret", b"no"))
LONG_REQUEST = b'{"type":"MGET","keys":[%b"a"]}\n' % b"".join(
    b'"key:%d",' % n for n in range(19_999)
)
SET = b'{"type":"SET","key":"k","value":"%b"}\n' % (b"x" * 1_000_000)
GET = b'{"type":"GET","key":"k"}\n'


Reference = Callable[[], Optional[Any]]


class House(World):
    """A server, and the parts of its newest connection."""

    def __init__(self, connection: Any, files: Optional[Files], **settings: Any) -> None:
        tls = {"tls_cert": files.server.certificate, "tls_key": files.server.key} if files else {}
        super().__init__(connection, {**settings, **tls}, self._keep)

    def _keep(self, container: Any) -> None:
        self.container = container

    def parts(self) -> List[Any]:
        """The one connection beside that which asks, its conversations and its codec."""
        (connection,) = (one for one in self.server._connections if one.name != self._own_name())
        outer = connection.conversation
        inner = getattr(outer, "_inner", outer)
        assert isinstance(inner, Conversation)
        return [connection, outer, inner, inner._codec, connection.account]

    def _own_name(self) -> str:
        host, port = self._asking.getsockname()[:2]
        return f"{host}:{port}"


def hang_up(here: House, sock: Any) -> None:
    sock.close()


def reset(here: House, sock: Any) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def break_the_protocol(here: House, sock: Any) -> None:
    sock.sendall(b"{" * 2000)
    assert b"TOO_LARGE" in rest_of(sock)
    sock.close()


def linger_too_long(here: House, sock: Any) -> None:
    sock.sendall(b"{" * 2000)
    assert b"TOO_LARGE" in rest_of(sock)
    here.pass_time(8)


def send_half_a_request(here: House, sock: Any) -> None:
    sock.sendall(b'{"type":')
    here.pass_time(33)
    assert b"TIMEOUT" in rest_of(sock)
    sock.close()


def be_idle(here: House, sock: Any) -> None:
    here.pass_time(110)


def hold_too_much(here: House, sock: Any) -> None:
    account = here.parts()[-1]
    account.change(here.container.limits().max_input_bytes + 1)


def leave_many_lines_unanswered(here: House, sock: Any) -> None:
    sock.sendall(b'{"type":"COUNT"}\n' * 20_000)
    gevent.sleep(0)
    reset(here, sock)


def hit_a_bug(here: House, sock: Any) -> None:
    codec = here.parts()[3]
    del codec.buffered
    sock.sendall(PING)


def be_there_at_a_shutdown(here: House, sock: Any) -> None:
    here.server.stop(grace=0.01)


def be_there_at_a_shutdown_with_half_a_request(here: House, sock: Any) -> None:
    sock.sendall(b'{"type":')
    here.settle()
    here.server.stop(grace=0.01)


End = Callable[[House, Any], None]
ENDS: List[End] = [
    hang_up,
    reset,
    break_the_protocol,
    linger_too_long,
    send_half_a_request,
    be_idle,
    hold_too_much,
    leave_many_lines_unanswered,
    hit_a_bug,
    be_there_at_a_shutdown,
    be_there_at_a_shutdown_with_half_a_request,
]


@pytest.fixture(params=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, files: Files) -> Optional[Files]:
    return files if request.param == "TLS" else None


@pytest.fixture(params=[Connection, GreenletConnection])
def connection(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def _collector_off() -> Iterator[None]:
    logging.disable()  # pytest keeps what is logged, and with an exception all that led to it
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)


pytestmark = pytest.mark.usefixtures("_collector_off")


def all_freed(here: House, parts: List[Reference]) -> bool:
    """Whether they are, once the server has had its turns."""
    with gevent.Timeout(TIMEOUT):
        while len(here.server._connections) > 1:
            gevent.sleep(0.001)
    for _ in range(10):
        gevent.sleep(0)
    return [part() for part in parts] == [None] * len(parts)


def refer(parts: List[Any]) -> List[Reference]:
    """Returns each part as long as it is there; what has `__slots__` takes no weak reference."""

    def reference(kind: type, number: int) -> Reference:
        def get() -> Optional[Any]:
            at_place = (each for each in gc.get_objects() if id(each) == number)
            return next((each for each in at_place if type(each) is kind), None)

        return get

    return [reference(type(part), id(part)) for part in parts]


SETTINGS: Dict[str, Any] = {
    "request_timeout": 30,
    "send_timeout": 60,
    "idle_timeout": 100,
    "max_request_bytes": 1000,
    "max_reply_bytes": 100_000,
    "max_input_bytes": 100_000,
    "max_key_bytes": 100,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_served_connection_is_freed_at_any_end(
    connection: Any, tls: Optional[Files], end: End
) -> None:
    here = House(connection, tls, **SETTINGS)
    with contextlib.closing(here), here.connect_to_talk() as sock:
        sock.sendall(PING)
        assert sock.recv(100) == PONG
        parts = refer(here.parts())
        end(here, sock)
        assert all_freed(here, parts)


@pytest.mark.parametrize("end", [reset, be_idle, hold_too_much, be_there_at_a_shutdown])
@pytest.mark.parametrize("sent", [PING + WRONG, WRONG * 9], ids=["refused", "parked"])
def test_an_unauthenticated_connection_is_freed_at_any_end(
    connection: Any, tls: Optional[Files], end: End, sent: bytes
) -> None:
    settings = {**SETTINGS, "password": SECRET}
    with contextlib.closing(House(connection, tls, **settings)) as here:
        here.ask(RIGHT)
        with here.connect_to_talk() as sock:
            sock.sendall(sent)
            here.settle()
            parts = refer(here.parts())
            end(here, sock)
            if end is reset:
                here.pass_time(35)  # which the attempts that wait take
            assert all_freed(here, parts)


class Broken(Executor):
    def execute(self, command: Command[Any]) -> Any:
        try:
            raise ValueError("the cause")
        except ValueError as error:
            is_bug = getattr(command, "key", "") == "a bug"
            raise (RuntimeError if is_bug else TooLarge)("no") from error


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"NO"}\n',
        b"bad\n",
        b'{"type":"GET"}\n',
        b'{"type":"INCR","key":"refused"}\n',
        b'{"type":"INCR","key":"a bug"}\n',
        b'{"type":"GET","key":"refused"}\n',
        b'{"type":"GET","key":"a bug"}\n',
        b'{"type":"COUNT"}\n',
        WRONG,
        LONG_REQUEST,
        b"x" * 300_000,
    ],
    ids=range(11),
)
@pytest.mark.parametrize("gated", [False, True])
def test_no_request_leaves_a_cycle_behind(line: bytes, gated: bool) -> None:
    clock = Clock()
    secret = Password(SECRET, clock) if gated else None
    limits = Limits(max_request_bytes=250_000)
    conversation = Conversation(service_of(Broken(), limits, clock, secret), LoopbackLink())
    parts = refer([conversation, conversation._codec])
    answer(conversation, [line])
    parts += refer([conversation._codec])
    answer(conversation, [PING, line])
    del conversation
    assert [part() for part in parts] == [None] * 3


LARGE: Dict[str, Any] = {**SETTINGS, "max_request_bytes": 2_000_000, "max_reply_bytes": 9_000_000}


@pytest.mark.parametrize("end", [reset, hold_too_much, be_there_at_a_shutdown])
@pytest.mark.parametrize("is_parked", [True, False])
def test_a_connection_with_a_long_request_is_freed_at_any_end(
    connection: Any, tls: Optional[Files], is_parked: bool, end: End
) -> None:
    settings = {**LARGE, "max_input_bytes": 50_000_000}
    with contextlib.closing(House(connection, tls, **settings)) as here:
        long_requests = here.container.long_requests()
        tickets = [long_requests.enter(lambda: None) for _ in range(8 * is_parked)]
        with here.connect_to_talk() as sock:
            sock.sendall(PING)
            assert sock.recv(100) == PONG
            parts = refer(here.parts())
            sock.sendall(LONG_REQUEST)
            wait_until_under_way(parts[2])
            end(here, sock)
            if end is reset:
                for ticket in tickets:
                    long_requests.leave(ticket)
                tickets = []
            assert all_freed(here, parts)
        for ticket in tickets:
            long_requests.leave(ticket)
        assert long_requests._free == 8
        assert not long_requests._waiting


def wait_until_under_way(conversation: Reference) -> None:
    with gevent.Timeout(TIMEOUT):
        while not conversation()._work:  # type: ignore[union-attr]
            gevent.sleep(0)


@pytest.mark.parametrize("end", [reset, be_there_at_a_shutdown, hold_too_much])
def test_a_connection_that_takes_no_replies_is_freed_at_any_end(
    connection: Any, tls: Optional[Files], end: End
) -> None:
    settings = {**LARGE, "max_input_bytes": 50_000_000}
    here = House(connection, tls, **settings)
    with contextlib.closing(here), here.connect_to_talk() as sock:
        sock.sendall(SET + GET * 30)
        here.settle()
        parts = refer(here.parts())
        assert parts[-1]().held > 0  # type: ignore[union-attr]
        end(here, sock)
        assert all_freed(here, parts)
        assert here.container.ledger().held == 0
