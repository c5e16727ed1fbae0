"""What several tests need: stores to swap in, a server in this process, a server of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import gevent
import msgspec

from adapters.client.json_lines import ClientSession
from adapters.client.loopback import Loopback
from adapters.client.tcp import TcpClient
from adapters.protocols.json_lines.lines import Allowance
from adapters.protocols.json_lines.server import ServerSession
from application.executor import LocalExecutor
from application.limits import Limits
from application.ports import Executor
from application.stats import ServerStats
from domain.memory import InMemoryStore
from domain.store import Store
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import DEFAULTS
from entrypoints.server.container import ServerContainer

ROOT = Path(__file__).parent.parent
TIMEOUT = 60.0
"""Seconds; only a hang is that slow."""

SETTINGS: Dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    **msgspec.structs.asdict(Limits()),
    "password": "",
    "tls_cert": None,
    "tls_key": None,
    "tls_client_ca": None,
    "memory_policy": "refuse",
    "max_memory": 0,
}


CLIENT_SETTINGS: Dict[str, Any] = {
    **DEFAULTS,
    "connect_timeout": TIMEOUT,
    "attempts": 1,
    "network": "gevent",
}


class BlockingStore(InMemoryStore):
    """A store that has to wait for its answers, as one on another machine does."""

    def get(self, key: str) -> Optional[bytes]:
        gevent.sleep(0.0001)
        return super().get(key)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def new_session(limits: Limits = Limits(), store: Optional[Store] = None) -> ServerSession:  # noqa: B008 - immutable
    """A server's session on a store of its own."""
    return session_of(LocalExecutor(store or InMemoryStore(time.monotonic), limits), limits)


def session_of(
    executor: Executor,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    clock: Callable[[], float] = time.monotonic,
) -> ServerSession:
    """A server's session on an executor."""
    figures = ServerStats("test", limits, clock, lambda: 1)
    return ServerSession(executor, limits, figures, Allowance(limits.max_input_bytes), "a client")


def loopback(clock: Callable[[], float] = time.monotonic) -> Loopback:
    """A client of a store in this process."""
    server = session_of(LocalExecutor(InMemoryStore(clock)))
    return Loopback(ClientSession(DEFAULTS["max_reply_bytes"]), server)


def server_container(**settings: Any) -> ServerContainer:
    container = ServerContainer()
    container.config.from_dict({**SETTINGS, **settings})
    return container


def client_container(
    host: str, port: int, timeout: float = TIMEOUT, **settings: Any
) -> ClientContainer:
    """A client for tests that run their server in the same thread, on gevent's sockets."""
    container = ClientContainer()
    container.config.from_dict(
        {**CLIENT_SETTINGS, "host": host, "port": port, "timeout": timeout, **settings}
    )
    return container


@contextlib.contextmanager
def serving(container: ServerContainer) -> Iterator[Tuple[str, int]]:
    """The address of the container's server, which runs in this thread's event loop meanwhile."""
    server = container.server()
    address = server.bind()
    server.start()
    try:
        yield address
    finally:
        server.stop(grace=TIMEOUT)


@contextlib.contextmanager
def new_client(address: Tuple[str, int], timeout: float = TIMEOUT) -> Iterator[TcpClient]:
    """A client for a server in the same thread, closed at the end."""
    client = client_container(*address, timeout).connection()
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def served(container: ServerContainer) -> Iterator[TcpClient]:
    """A client of the container's server, both in this thread."""
    with serving(container) as address, new_client(address) as client:
        yield client


class Server(NamedTuple):
    """A server process, and where it listens."""

    process: subprocess.Popen[str]
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT)

    def ask(self, data: bytes) -> bytes:
        """All that the server answers to `data` on a connection of its own, until it closes."""
        with self.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(1 << 20), b""))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and give the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT)


def environment(**variables: str) -> Dict[str, str]:
    """This environment without settings of ours, and with `variables`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KV_")}
    return {**inherited, **variables}


SERVER = (sys.executable, "-m", "entrypoints.server")


@contextlib.contextmanager
def running_server(
    *arguments: str,
    program: Sequence[str] = SERVER,
    stderr: Union[int, IO[str]] = subprocess.DEVNULL,
    **variables: str,
) -> Iterator[Server]:
    """A real server process on a free port; nothing of it is left at the end.

    `program` is what to start in place of the server, and `stderr` where its log goes.
    """
    process = subprocess.Popen(
        [*program, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=ROOT,
        env=environment(**variables),
    )
    with process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.search(r":(\d+)$", line.strip())
            assert found, f"the server said {line!r}"
            yield Server(process, int(found.group(1)))
        finally:
            process.kill()


def kv(
    port: int, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the client program to its end; port 0 is not told to it."""
    where = ["--port", str(port)] if port else []
    return subprocess.run(
        [sys.executable, "-m", "entrypoints.client", *where, *arguments],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        cwd=ROOT,
        env=environment(**variables),
        timeout=TIMEOUT,
    )
