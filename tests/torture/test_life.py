"""A server's start and end as its service manager and its clients see them, under load."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import Iterator, List

import pytest

from tests.support import TIMEOUT, Server, running_server
from tests.torture.peers import (
    MB,
    TELLER,
    Client,
    client_of,
    eventually,
    fill,
    flooding,
    request,
    strictly,
    with_changes,
)


class Counter(threading.Thread):
    """A client that counts at some keys in turn, one request at a time, until it is hung up on."""

    def __init__(self, server: Server, *keys: str) -> None:
        super().__init__()
        self._server = server
        self._keys = keys
        self.acknowledged: List[List[int]] = [[] for _ in keys]
        self.half_a_reply = b""
        self.in_doubt = False

    def run(self) -> None:
        with contextlib.suppress(OSError), client_of(self._server) as client:
            while all(map(partial(self._count, client), self._keys, self.acknowledged)):
                pass

    def _count(self, client: Client, key: str, seen: List[int]) -> bool:
        self.in_doubt = True
        client.send(request("INCR", key=key))
        line = client.line()
        if not line.endswith(b"\n"):
            self.half_a_reply = line
            return False
        self.in_doubt = False
        seen.append(strictly(line)["result"])
        return True


@contextlib.contextmanager
def counting(server: Server, count: int) -> Iterator[List[Counter]]:
    """Clients with a key of their own each, and one that all count at; joined at the end."""
    counters = [Counter(server, f"own:{number}", "shared") for number in range(count)]
    for counter in counters:
        counter.start()
    try:
        yield counters
    finally:
        server.process.kill()
        for counter in counters:
            counter.join(TIMEOUT)


@pytest.mark.timing
def test_every_count_that_was_acknowledged_took_place_once(seconds: float, tell: TELLER) -> None:
    """The numbers die with the server, so it is the replies that have to agree with one another.

    A request that got no reply may have been counted or not: one for each client, at the most.
    """
    with running_server() as server, counting(server, 6) as counters:
        time.sleep(seconds / 2)
        started = time.monotonic()
        assert server.stop() == 0
        took = time.monotonic() - started
    own = [counter.acknowledged[0] for counter in counters]
    shared = sorted(number for counter in counters for number in counter.acknowledged[1])
    in_doubt = sum(counter.in_doubt for counter in counters)
    tell(acknowledged=sum(map(len, own)) + len(shared), in_doubt=in_doubt, took=f"{took:.2f} s")
    assert took < 5.0
    assert [counter.half_a_reply for counter in counters] == [b""] * 6
    assert own == [list(range(1, len(numbers) + 1)) for numbers in own]
    assert all(own)
    assert len(set(shared)) == len(shared)
    assert shared[-1] - len(shared) <= in_doubt <= 6


def test_clients_that_pipeline_get_whole_replies_up_to_the_end(tell: TELLER) -> None:
    received: List[bytes] = []

    def pipeline(server: Server) -> None:
        with server.connect() as sock:
            sock.sendall(request("GET", key="key:000000000000") * 20_000)
            received.append(b"".join(iter(lambda: sock.recv(1 << 20), b"")))

    with running_server() as server:
        fill(server, 1, value="x" * 1000)
        threads = [threading.Thread(target=pipeline, args=(server,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        code = server.stop()
        for thread in threads:
            thread.join(TIMEOUT)
    lines = b"".join(received).split(b"\n")
    tell(replies=len(lines) - 1)
    assert code == 0
    assert lines.pop() == b""
    assert set(lines) <= {b'{"ok":true,"result":"%b"}' % (b"x" * 1000)}


@pytest.mark.timing
def test_a_server_under_a_flood_ends_within_its_grace(tell: TELLER) -> None:
    with running_server("--shutdown-grace", "0.5") as server:
        with flooding(server, request("PING")), flooding(server, request("PING"), deaf=True):
            time.sleep(0.3)
            started = time.monotonic()
            assert server.stop() == 0
        took = time.monotonic() - started
    tell(took=f"{took:.2f} s")
    assert took < 2.5


@pytest.mark.timing
def test_a_second_signal_ends_the_server_at_once(tmp_path: Path, tell: TELLER) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr, running_server(
        "--shutdown-grace", "60", stderr=stderr
    ) as server, client_of(server) as client:
        client.ask("SET", key="k", value="x" * MB)
        client.send(request("GET", key="k") * 100)  # and never takes a reply
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: "stopping" in log.read_text())
        time.sleep(0.3)
        assert server.process.poll() is None
        started = time.monotonic()
        assert server.stop() == -signal.SIGTERM
        took = time.monotonic() - started
    tell(took=f"{took:.3f} s")
    assert took < 1.0


def test_the_service_manager_is_told_of_the_start_and_of_the_end(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(TIMEOUT)
        manager.bind(address)
        with running_server(NOTIFY_SOCKET=address) as server:
            assert manager.recv(100) == b"READY=1"
            assert server.ask(request("PING")) == b'{"ok":true,"result":"PONG"}\n'
            assert server.stop() == 0
            assert manager.recv(100) == b"STOPPING=1"


def test_a_server_serves_without_its_service_manager(tmp_path: Path) -> None:
    with running_server(NOTIFY_SOCKET=str(tmp_path / "gone")) as server:
        assert server.ask(request("PING")) == b'{"ok":true,"result":"PONG"}\n'


@pytest.mark.timing
def test_a_server_whose_log_is_not_read_ends() -> None:
    reader, writer = os.pipe()
    talkative = with_changes("import adapters.logs; adapters.logs.RATE_LIMIT = 10**9")
    try:
        with running_server(program=talkative, stderr=writer) as server:
            for _ in range(700):
                server.ask(b"[hello\n")
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(2.0) == 0
    finally:
        os.close(reader)
        os.close(writer)
