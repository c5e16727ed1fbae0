"""What a client, or many together, can make the server hold."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Iterator, List

import pytest

from tests.support import TIMEOUT, Server, running_server
from tests.torture.peers import (
    MB,
    TELLER,
    Client,
    calm,
    client_of,
    clients_of,
    flooding,
    growing,
    info,
    pinging,
    request,
    with_changes,
)

ONE_READ = 1
"""MB that the server reads at once, at the most."""

SLACK = 12
"""MB that come and go with whatever a process does."""


def test_a_line_without_end_is_cut_off_at_the_bound(tell: TELLER) -> None:
    with running_server() as server, client_of(server) as client:
        with growing(server) as growth:
            client.send(b'{"type":"SET","key":"k","value":"')
            for _ in range(64):
                client.send(b"x" * MB)
            assert client.code() == "TOO_LARGE"
            assert client.rest() == b""
        tell(memory_grew=growth, bound="8 MiB")
        assert growth.mb < 8 + ONE_READ + SLACK
        with client_of(server) as other:
            assert other.ask("GET", key="k") == {"ok": True}


@pytest.mark.timing
def test_a_client_that_goes_on_sending_after_a_refusal_is_closed(tell: TELLER) -> None:
    sooner = with_changes("import adapters.gevent_tcp.connection as c; c.LINGER = 0.5")
    settings = ("--max-request-bytes", "1000", "--send-timeout", "1")  # looks every 0.25 s
    with running_server(*settings, program=sooner) as server, client_of(server) as client:
        started = time.monotonic()
        with growing(server) as growth, contextlib.suppress(ConnectionError):
            while time.monotonic() < started + TIMEOUT:
                client.send(b"{" * MB)
        took = time.monotonic() - started
        tell(memory_grew=growth, after=f"{took:.1f} s")
        assert 0.4 < took < 10
        assert growth.mb < ONE_READ + SLACK


KEYS = [f"large:{number}" for number in range(100)]


@pytest.fixture(scope="module")
def laden() -> Iterator[Server]:
    """A server with 1 MB at each of `KEYS`, which none of these tests changes."""
    with running_server() as server, client_of(server) as client:
        for key in KEYS:
            assert client.ask("SET", key=key, value="x" * MB)["ok"]
        yield server


def test_a_reply_over_the_bound_is_refused_before_it_is_built(laden: Server, tell: TELLER) -> None:
    with client_of(laden) as client:
        with growing(laden) as growth:
            client.send(request("MGET", keys=KEYS))
            assert client.code() == "TOO_LARGE"
        tell(memory_grew=growth, reply="100 MB")
        assert growth.mb < SLACK
        assert client.ask("MGET", keys=KEYS[:1])["ok"]


def test_a_batch_whose_reply_is_over_the_bound_is_refused_before_it_is_built(
    laden: Server, tell: TELLER
) -> None:
    with client_of(laden) as client:
        with growing(laden) as growth:
            client.send(request("BATCH", commands=[{"type": "GET", "key": key} for key in KEYS]))
            assert client.code() == "TOO_LARGE"
        tell(memory_grew=growth, reply="100 MB")
        assert growth.mb < SLACK


def test_a_batch_whose_reply_is_over_the_bound_has_no_effect(laden: Server) -> None:
    with client_of(laden) as client:
        commands = [
            {"type": "SET", "key": "new", "value": 1},
            {"type": "DELETE", "key": KEYS[0]},
            {"type": "SET", "key": KEYS[1], "value": 1},
            {"type": "MGET", "keys": KEYS},
        ]
        error = client.ask("BATCH", commands=commands)["error"]
        assert (error["code"], error["index"]) == ("TOO_LARGE", 3)
        assert client.ask("GET", key="new") == {"ok": True}
        assert client.ask("EXISTS", key=KEYS[0])["result"] is True
        assert client.ask("GET", key=KEYS[1])["result"] == "x" * MB


def test_half_sent_lines_of_all_clients_together_have_a_bound(tell: TELLER) -> None:
    settings = ("--max-request-bytes", str(1 * MB), "--max-input-bytes", str(4 * MB))
    with running_server(*settings) as server, clients_of(server, 20) as clients:
        with growing(server) as growth:
            for client in clients:
                with contextlib.suppress(OSError):  # some are cut while they send
                    client.send(b'{"type":"SET","key":"k","value":"' + b"x" * 900_000)
            cut = wait_for_answers(clients, 16)
        survivors = [client for client in clients if client not in cut]
        tell(memory_grew=growth, cut=len(cut), of=len(clients))
        assert growth.mb < 4 + ONE_READ + SLACK
        assert survivors
        for client in survivors:
            client.send(b'"}\n')
            assert client.reply() == {"ok": True, "result": True}


def wait_for_answers(clients: List[Client], count: int) -> List[Client]:
    """Those that were answered, when there are `count` and no more have come for a while."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        sockets = [client.sock for client in clients]
        readable, _, _ = select.select(sockets, [], [], 0)
        if len(readable) >= count:
            return [client for client in clients if client.sock in readable]
        time.sleep(0.05)
    raise AssertionError("too few were answered")


def words(*arguments: bytes) -> bytes:
    """A request of a Redis client."""
    parts = [b"$%d\r\n%b\r\n" % (len(each), each) for each in arguments]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


@contextlib.contextmanager
def subscribers(server: Server, count: int, n_channels: int) -> Iterator[List[socket.socket]]:
    """Clients that are subscribed to one of some channels each."""
    with contextlib.ExitStack() as opened:
        socks = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
            for _ in range(count)
        ]
        for number, sock in enumerate(socks):
            sock.sendall(words(b"SUBSCRIBE", b"c%d" % (number % n_channels)))
            assert sock.recv(100)
        yield socks


@pytest.mark.parametrize("n_channels", [1, 5, 50])
def test_subscribers_that_never_read_hold_bounded_memory(n_channels: int, tell: TELLER) -> None:
    """At first the system holds what was sent to each of them, some MB."""
    settings = ("--max-input-bytes", str(16 * MB))
    with running_server(*settings) as server, subscribers(server, 50, n_channels):
        with growing(server) as growth, client_of(server) as publisher:
            for _ in range(5000 // n_channels if n_channels < 50 else 100):
                for channel in range(n_channels):
                    publisher.send(words(b"PUBLISH", b"c%d" % channel, b"x" * 100_000))
                    assert publisher.sock.recv(100)
        cut = info(server)["server"]["cut_clients"]
        tell(memory_grew=growth, cut=cut)
        assert cut
        assert growth.mb < 16 + ONE_READ + SLACK


def test_one_message_reaches_all_subscribers_that_read(tell: TELLER) -> None:
    settings = ("--max-input-bytes", str(16 * MB))
    with running_server(*settings) as server, subscribers(server, 100, 1) as socks:
        with growing(server) as growth, client_of(server) as publisher:
            publisher.send(words(b"PUBLISH", b"c0", b"x" * MB))
            assert publisher.sock.recv(100) == b":100\r\n"
            for sock in socks:
                with sock.makefile("rb") as received:
                    assert len(received.read(MB)) == MB
        tell(memory_grew=growth)
        assert info(server)["server"]["cut_clients"] == 0
        assert growth.mb < 16 + ONE_READ + SLACK


@pytest.mark.timing
def test_a_client_that_pipelines_and_never_reads_costs_bounded_memory(
    seconds: float, long: bool, tell: TELLER
) -> None:
    with running_server() as server:
        with client_of(server) as client:
            client.ask("SET", key="k", value="x" * 1000)
        flood_it = flooding(server, request("GET", key="k"), deaf=True)
        with growing(server) as growth, pinging(server) as waits, flood_it as flood:
            time.sleep(seconds)
        tell(memory_grew=growth, others_waited=waits)
        assert not flood.was_cut
        assert growth.mb < 64
        calm(waits, long)


@pytest.mark.timing
def test_a_client_that_takes_nothing_for_the_send_timeout_is_cut_and_counted(tell: TELLER) -> None:
    with running_server("--send-timeout", "1") as server:
        with client_of(server) as client:
            client.ask("SET", key="k", value="x" * 1000)
        with flooding(server, request("GET", key="k"), deaf=True) as flood:
            started = time.monotonic()
            while not info(server)["server"]["cut_clients"]:
                assert time.monotonic() < started + TIMEOUT
                time.sleep(0.02)
            took = time.monotonic() - started
            time.sleep(0.1)
        tell(cut_after=f"{took:.1f} s")
        assert flood.was_cut
        assert took > 0.9
        figures = info(server)["server"]
        assert (figures["cut_clients"], figures["connected_clients"]) == (1, 1)
