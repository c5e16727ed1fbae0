"""More clients than there may be, and fewer descriptors than they need."""

from __future__ import annotations

import contextlib
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Iterator, List

import pytest

from tests.support import SERVER, TIMEOUT, Server, running_server
from tests.torture.peers import (
    MB,
    TELLER,
    Client,
    client_of,
    clients_of,
    cpu_seconds,
    descriptors,
    eventually,
    info,
    request,
)

PONG = {"ok": True, "result": "PONG"}


def test_clients_over_the_bound_are_told_so_and_the_others_are_served() -> None:
    with running_server("--max-clients", "20") as server, clients_of(server, 20) as clients:
        assert [client.ask("PING") for client in clients] == [PONG] * 20
        with clients_of(server, 5) as late:
            assert [client.code() for client in late] == ["TOO_MANY_CLIENTS"] * 5
            assert [client.rest() for client in late] == [b""] * 5
        assert [client.ask("PING") for client in clients] == [PONG] * 20
        figures = clients[0].ask("INFO")["result"]["server"]
        assert (figures["connected_clients"], figures["refused_clients"]) == (20, 5)
        clients.pop().close()
        eventually(lambda: is_served(server))


def is_served(server: Server) -> bool:
    with client_of(server) as client:
        return bool(client.ask("PING") == PONG)


@pytest.mark.timing
def test_clients_are_served_soon_after_a_crowd_over_the_bound(tell: TELLER) -> None:
    with running_server("--max-clients", "5") as server:
        with clients_of(server, 300):  # far more than are kept to be told
            pass
        started = time.monotonic()
        eventually(lambda: is_served_eventually(server))
        tell(served_after=f"{time.monotonic() - started:.2f} s")


def is_served_eventually(server: Server) -> bool:
    with contextlib.suppress(OSError, AssertionError):
        return is_served(server)
    return False


def with_descriptors(count: int) -> List[str]:
    """The server, started by a shell that allows it so many."""
    return ["sh", "-c", f'ulimit -n {count}; exec "$@"', "sh", *SERVER]


def test_a_server_with_few_descriptors_accepts_fewer_clients_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr, running_server(
        program=with_descriptors(150), stderr=stderr
    ) as server:
        eventually(lambda: "lowered max_clients" in log.read_text())
        fitting = info(server)["limits"]["max_clients"]
        assert 20 < fitting < 150
        with clients_of(server, fitting) as clients:
            assert [client.ask("PING") for client in clients] == [PONG] * fitting
            with clients_of(server, 20) as late:
                assert [client.code() for client in late] == ["TOO_MANY_CLIENTS"] * 20
        assert "cannot accept" not in log.read_text()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def short_of_descriptors(log: Path) -> Iterator[Server]:
    """A server that has five descriptors left, in spite of the reserve that it keeps."""
    with log.open("w") as stderr, running_server(stderr=stderr) as server:
        eventually(lambda: is_served(server))
        hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
        eventually(lambda: info(server)["server"]["connected_clients"] == 1)
        limit = descriptors(server) + 5
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
        yield server


@contextlib.contextmanager
def crowd(server: Server, count: int) -> Iterator[List[Client]]:
    """Clients of which each has asked something."""
    with clients_of(server, count) as clients:
        for client in clients:
            client.send(request("PING"))
        yield clients


@pytest.mark.timing
def test_a_server_without_descriptors_serves_its_clients_and_later_the_others(
    short_of_descriptors: Server, log: Path
) -> None:
    with crowd(short_of_descriptors, 20) as clients:
        eventually(lambda: "cannot accept clients" in log.read_text())
        assert clients[0].reply() == PONG
        assert clients[0].ask("PING") == PONG
        clients[0].close()
        for client in clients[1:]:
            assert client.reply() == PONG
            client.close()
    assert is_served(short_of_descriptors)
    assert short_of_descriptors.stop() == 0
    assert log.read_text().count("cannot accept clients") <= 12


@pytest.mark.timing
def test_a_server_without_descriptors_does_not_spin(
    short_of_descriptors: Server, log: Path, seconds: float, tell: TELLER
) -> None:
    with crowd(short_of_descriptors, 20):
        eventually(lambda: "cannot accept clients" in log.read_text())
        share = share_of_a_processor(short_of_descriptors, seconds / 2)
    tell(processor=f"{share:.0%}")
    assert share < 0.1


def share_of_a_processor(server: Server, seconds: float) -> float:
    """How much of one the server has in the next seconds."""
    before = cpu_seconds(server)
    time.sleep(seconds)
    return (cpu_seconds(server) - before) / seconds


@pytest.mark.timing
def test_a_server_without_descriptors_ends_cleanly(short_of_descriptors: Server, log: Path) -> None:
    with client_of(short_of_descriptors) as deaf:
        assert deaf.ask("SET", key="k", value="x" * MB)["ok"]
        deaf.send(request("GET", key="k") * 100)
        with crowd(short_of_descriptors, 20):
            eventually(lambda: "cannot accept clients" in log.read_text())
            short_of_descriptors.process.send_signal(signal.SIGTERM)
            eventually(lambda: "stopping" in log.read_text())
            assert share_of_a_processor(short_of_descriptors, 0.5) < 0.1
        assert deaf.rest().count(b"\n") == 100
        assert short_of_descriptors.process.wait(TIMEOUT) == 0


assert sys.platform == "linux"  # for the types of what only Linux has
