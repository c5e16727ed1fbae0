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
from functools import partial
from pathlib import Path
from typing import (
    IO,
    Any,
    Callable,
    Collection,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

import gevent
import msgspec

from adapters.client.json_lines.session import ClientSession
from adapters.client.loopback import Loopback, LoopbackLink
from adapters.client.tcp import TcpClient
from adapters.gevent_tcp.server import GeventServer
from adapters.protocols.first_bytes import FirstBytes, Protocol
from adapters.protocols.json_lines.codec import JsonLinesCodec, begins_json_lines
from application.conversation import Conversation
from application.executor import LocalExecutor
from application.limits import Limits
from application.long_requests import LongRequests
from application.password import Password
from application.pause import Pause
from application.ports import Conversation as ConversationPort
from application.ports import Executor, Wants
from application.service import Service
from application.stats import ServerStats
from domain.memory import InMemoryStore
from domain.store import Change, Entry, Page, Stats, Store, Traits
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import DEFAULTS
from entrypoints.server.container import ServerContainer

R = TypeVar("R")

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


class BlockingStore:
    """A store that waits before each operation, as one on another machine does; the operation
    itself is atomic."""

    traits = Traits(blocks=True)

    def __init__(self, clock: Callable[[], float]) -> None:
        self._engine: Store = InMemoryStore(clock)

    def get(self, key: str) -> Optional[bytes]:
        return self._waited().get(key)

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        return self._waited().get_many(keys)

    def set(self, key: str, text: bytes) -> None:
        self._waited().set(key, text)

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        self._waited().set_many(items, ttl)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        return self._waited().update(key, change)

    def delete(self, keys: Collection[str]) -> int:
        return self._waited().delete(keys)

    def clear(self) -> int:
        return self._waited().clear()

    def count(self) -> int:
        return self._waited().count()

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        return self._waited().scan(cursor, prefix, limit)

    def atomically(self, work: Callable[[Store], R]) -> R:
        return self._waited().atomically(work)

    def stats(self) -> Stats:
        return self._waited().stats()

    def _waited(self) -> Store:
        gevent.sleep(0.0001)
        return self._engine


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def new_session(limits: Limits = Limits(), store: Optional[Store] = None) -> Conversation:  # noqa: B008 - immutable
    """A conversation with a store of its own."""
    stats = stats_of(limits)
    executor = LocalExecutor(store or InMemoryStore(time.monotonic), limits, stats.report)
    return session_of(executor, limits, stats=stats)


def stats_of(
    limits: Limits = Limits(),  # noqa: B008 - immutable
    clock: Callable[[], float] = time.monotonic,
) -> ServerStats:
    """The statistics of a server in this process."""
    return ServerStats("test", limits, clock, lambda: 1)


def service_of(
    executor: Executor,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    clock: Callable[[], float] = time.monotonic,
    password: Optional[Password] = None,
    stats: Optional[ServerStats] = None,
) -> Service:
    """What the conversations of a server with an executor share."""
    codec = partial(JsonLinesCodec, limits)
    protocols = FirstBytes([Protocol(begins_json_lines, codec)])
    stats = stats or stats_of(limits, clock)
    return Service(executor, protocols, limits, stats, LongRequests(), Pause(clock), password)


def session_of(
    executor: Executor,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    clock: Callable[[], float] = time.monotonic,
    stats: Optional[ServerStats] = None,
) -> Conversation:
    """A conversation with an executor."""
    return Conversation(service_of(executor, limits, clock, stats=stats), LoopbackLink())


def loopback(clock: Callable[[], float] = time.monotonic) -> Loopback:
    """A client of a store in this process."""
    executor = LocalExecutor(InMemoryStore(clock))
    return Loopback(
        partial(ClientSession, DEFAULTS["max_reply_bytes"]),
        partial(session_of, executor),
        run=lambda call: call(),
    )


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


def bound(server: GeventServer) -> Tuple[str, int]:
    """Bind a server that has one TCP address, and return it with the port that was picked."""
    ((_, host, port),) = server.bind()
    return host, port


@contextlib.contextmanager
def serving(container: ServerContainer) -> Iterator[Tuple[str, int]]:
    """The address of the container's server, which runs in this thread's event loop meanwhile."""
    server = container.server()
    address = bound(server)
    server.start()
    try:
        yield address
    finally:
        server.stop(grace=TIMEOUT)


@contextlib.contextmanager
def new_client(address: Tuple[str, int], timeout: float = TIMEOUT) -> Iterator[TcpClient]:
    """A client for a server in the same thread, closed at the end."""
    client = client_container(*address, timeout).tcp_connection()
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

    @property
    def url(self) -> str:
        return f"kv://127.0.0.1:{self.port}"

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
    """This environment without settings of ours and the size of its terminal, and with
    `variables`."""
    foreign = ("COLUMNS", "LINES")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KV_") and name not in foreign
    }
    return {**inherited, **variables}


SERVER = (sys.executable, "-m", "entrypoints.server")


@contextlib.contextmanager
def running_server(
    *arguments: str,
    program: Sequence[str] = SERVER,
    stderr: Union[int, IO[str]] = subprocess.DEVNULL,
    **variables: str,
) -> Iterator[Server]:
    """A real server process on a free port, which is ended with the block.

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
    """Run the client program to its end; port 0 is not passed to it."""
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


def said_until_ended(process: subprocess.Popen[bytes], number: int = signal.SIGINT) -> bytes:
    """What a program that a signal ends says on its standard error. The signal is sent again while
    the program goes on: Python notices one that comes right before a system call only after it."""
    end = time.monotonic() + TIMEOUT
    while True:
        process.send_signal(number)
        try:
            return process.communicate(timeout=TIMEOUT / 6)[1]
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise


def finish(conversation: ConversationPort) -> bytes:
    """All that a conversation sends before it wants more input, or ends, as a transport has it."""
    sent = []
    while conversation.wants is Wants.TURN:
        sent.append(conversation.advance())
    return b"".join(sent)


def wanted(conversation: ConversationPort) -> Wants:
    """What it wants now, where a type checker would believe an earlier look."""
    return conversation.wants


def answer(conversation: ConversationPort, pieces: Iterable[bytes]) -> bytes:
    """What a conversation sends to a client that sends these pieces."""
    sent = finish(conversation)
    for piece in pieces:
        if conversation.wants is not Wants.INPUT:
            break
        sent += conversation.receive(piece) + finish(conversation)
    return sent
