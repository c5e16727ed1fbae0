"""A client's socket that busy-polls for a short time before it blocks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from adapters.client.busy_poll_socket import MAX_SKIPPED_POLLS, BusyPollSocket
from tests.support import ROOT, TIMEOUT, Server, client_container, environment

FOREVER = 1e9

Pair = Tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(TIMEOUT)
        yield ours, theirs


class Others:
    """Who else wants the processor: does something when it has its turn, and counts its turns."""

    def __init__(self, *deeds: Callable[[], object]) -> None:
        self._deeds = list(deeds)
        self.turns = 0

    def __call__(self) -> None:
        self.turns += 1
        if self._deeds:
            self._deeds.pop(0)()


def nothing() -> None:
    """What many do with their turn."""


def test_an_answer_that_comes_soon_is_taken_without_blocking(pair: Pair) -> None:
    ours, theirs = pair
    others = Others(nothing, nothing, lambda: theirs.sendall(b"answer"))
    sock = BusyPollSocket(ours, others, FOREVER)
    assert sock.send(b"question") == 8
    assert sock.recv(100) == b"answer"
    assert others.turns == 3
    assert theirs.recv(100) == b"question"


def test_a_reply_that_takes_longer_than_the_poll_is_waited_for_blocking(pair: Pair) -> None:
    ours, theirs = pair
    others = Others()
    sock = BusyPollSocket(ours, others, poll_seconds=0.001)
    later = threading.Timer(0.05, theirs.sendall, [b"answer"])
    later.start()
    assert sock.recv(100) == b"answer"
    later.join()
    assert others.turns


def test_slow_replies_make_the_socket_skip_more_and_more_polls(pair: Pair) -> None:
    ours, theirs = pair
    others = Others()
    polled: List[int] = []
    with _Slow(ours, others) as slow:
        sock = BusyPollSocket(slow, others, poll_seconds=0.0)
        for number in range(150):
            before = others.turns
            theirs.sendall(b"slow")
            assert sock.recv(100) == b"slow"
            if others.turns > before:
                polled.append(number)
    waits = [later - earlier - 1 for earlier, later in zip(polled, polled[1:])]
    assert waits == [1, 3, 7, 15, 31, MAX_SKIPPED_POLLS]


class _Slow(socket.socket):
    """No reply is there yet when it is polled for, and each when it is blocked for."""

    def __init__(self, sock: socket.socket, others: Others) -> None:
        super().__init__(fileno=os.dup(sock.fileno()))
        self.settimeout(TIMEOUT)
        self._others = others
        self._turns = others.turns

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self._others.turns > self._turns:
            self._turns = self._others.turns
            raise BlockingIOError
        return super().recv(size, flags)


@pytest.mark.parametrize("poll_seconds", [0.0, 0.001])
def test_a_reply_that_does_not_come_in_time_is_timed_out(pair: Pair, poll_seconds: float) -> None:
    sock = BusyPollSocket(pair[0], nothing, poll_seconds)
    sock.settimeout(0.05)
    for _ in range(3):
        with pytest.raises(socket.timeout):
            sock.recv(100)


def test_a_peer_that_takes_nothing_is_timed_out(pair: Pair) -> None:
    sock = BusyPollSocket(pair[0], nothing, 0.0)
    sock.settimeout(0.05)
    with pytest.raises(socket.timeout):
        sum(sock.send(bytes(1 << 20)) for _ in range(1000))


def test_a_socket_without_a_timeout_waits_for_any_time(pair: Pair) -> None:
    ours, theirs = pair
    sock = BusyPollSocket(ours, nothing, 0.0)
    sock.settimeout(0.01)
    sock.settimeout(None)
    later = threading.Timer(0.1, theirs.sendall, [b"answer"])
    later.start()
    assert sock.recv(100) == b"answer"
    later.join()


def test_the_end_of_the_connection_is_seen(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    assert BusyPollSocket(ours, nothing, FOREVER).recv(100) == b""


@pytest.mark.parametrize(
    ("settings", "awake"),
    [({}, True), ({"busy_poll": 0.0}, False), ({"network": "gevent"}, False)],
)
def test_threaded_clients_busy_poll_unless_it_is_disabled(
    shared_server: Server, settings: Dict[str, Any], awake: bool
) -> None:
    container = client_container(
        "127.0.0.1", shared_server.port, **{"network": "threads", **settings}
    )
    sock = container.network().connect(container.address(), TIMEOUT)
    assert isinstance(sock, BusyPollSocket) is awake
    sock.close()


def test_a_program_patched_by_gevent_does_not_busy_poll(shared_server: Server) -> None:
    program = (
        "import sys\n"
        "from kvjson import Client\n"
        "client = Client(port=int(sys.argv[1]))\n"
        "pool = client._executor\n"
        "network, address = pool.lender._network, pool.lender._new_connection()._address\n"
        "print(type(network.connect(address, 9)).__name__)\n"
        "from gevent import monkey; monkey.patch_all()\n"
        "print(type(network.connect(address, 9)).__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(shared_server.port)],
        cwd=ROOT,
        env=environment(),
        timeout=TIMEOUT,
        check=True,
        stdout=subprocess.PIPE,
    )
    assert done.stdout == b"BusyPollSocket\ngevent._socket3\n"
