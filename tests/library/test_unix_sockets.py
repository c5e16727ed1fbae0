"""Clients of a server on a Unix socket, and TLS servers of another name than their address."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest

from adapters.client.address import Address
from application.commands import Get, Ping, Set
from domain.errors import Unreachable
from tests.certificates import Files
from tests.support import TIMEOUT, Server, client_container, running_server


@pytest.fixture
def path(server: Server, tmp_path: Path) -> Iterator[str]:
    """A Unix socket that leads to the server."""
    where = str(tmp_path / "kv.sock")
    with _forwarded(where, server.port):
        yield where


@contextlib.contextmanager
def _forwarded(where: str, port: int) -> Iterator[None]:
    threads = []

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for data in iter(lambda: source.recv(65536), b""):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def forward() -> None:
        with listener.accept()[0] as ours, socket.create_connection(("127.0.0.1", port)) as theirs:
            back = threading.Thread(target=copy, args=(theirs, ours))
            back.start()
            copy(ours, theirs)
            back.join(TIMEOUT)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(where)
        listener.listen()
        listener.settimeout(TIMEOUT)
        threads.append(threading.Thread(target=forward))
        threads[0].start()
        yield
        threads[0].join(TIMEOUT)


def blocking(network: str) -> Callable[..., Any]:
    def execute(*commands: Any, **settings: Any) -> Any:
        pool = client_container("ignored.invalid", 1, network=network, **settings).executor()
        try:
            return [pool.execute(command) for command in commands]
        finally:
            pool.close()

    return execute


def in_asyncio(*commands: Any, **settings: Any) -> Any:
    async def execute() -> Any:
        pool = client_container("ignored.invalid", 1, **settings).asyncio_executor()
        try:
            return [await pool.execute(command) for command in commands]
        finally:
            pool.close()
            await asyncio.sleep(0)  # for the loop to close the descriptors

    return asyncio.run(execute())


EXECUTES = pytest.mark.parametrize(
    "execute",
    [blocking("threads"), blocking("gevent"), in_asyncio],
    ids=["threads", "gevent", "asyncio"],
)


@EXECUTES
def test_a_server_is_reached_at_the_path_of_its_socket(
    execute: Callable[..., Any], path: str
) -> None:
    settings: Dict[str, Any] = {"unix_path": path}
    assert execute(Ping(), Get("none"), **settings)[0] == "PONG"


@EXECUTES
def test_a_path_without_a_socket_is_unreachable(
    execute: Callable[..., Any], tmp_path: Path
) -> None:
    where = str(tmp_path / "none.sock")
    with pytest.raises(Unreachable, match=f"unix:{where}: No such file"):
        execute(Ping(), unix_path=where)


@EXECUTES
def test_the_name_of_a_tls_server_is_another_than_its_path(
    execute: Callable[..., Any], files: Files, tmp_path: Path
) -> None:
    certificate, key = files.server
    tls: Dict[str, Any] = {"tls": True, "tls_ca": files.authority}
    with running_server("--tls-cert", certificate, "--tls-key", key) as server:
        for number, name in enumerate(("127.0.0.1", "another.example")):
            where = str(tmp_path / f"{number}.sock")
            with _forwarded(where, server.port):
                settings = {"unix_path": where, "tls_server_name": name, **tls}
                if name == "127.0.0.1":
                    assert execute(Ping(), **settings) == ["PONG"]
                else:
                    with pytest.raises(Unreachable, match=r"(?i)certificate"):
                        execute(Ping(), **settings)


@EXECUTES
def test_a_long_value_passes_through_a_unix_socket(execute: Callable[..., Any], path: str) -> None:
    from msgspec import Raw

    value = b'"%b"' % (b"x" * 3_000_000)
    assert execute(Set("k", Raw(value)), Get("k"), unix_path=path) == [True, value]


@pytest.mark.parametrize(
    ("address", "text", "name"),
    [
        (Address("example.com", 1), "example.com:1", "example.com"),
        (Address("::1", 1), "[::1]:1", "::1"),
        (Address("fe80::1%eth0", 1), "[fe80::1%eth0]:1", "fe80::1"),
        (Address("h", 1, unix_path="/run/kv"), "unix:/run/kv", "localhost"),
        (Address("h", 1, tls_server_name="kv.example"), "h:1", "kv.example"),
    ],
)
def test_an_address_is_written_as_usual_and_says_what_a_certificate_must_hold(
    address: Address, text: str, name: str
) -> None:
    assert (str(address), address.server_name) == (text, name)
