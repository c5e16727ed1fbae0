"""Clients of a server that is tortured, and what can be seen of its process from outside.

The rule it keeps: what is measured is measured by a process of its own, or by the system, and never
by a thread that shares an interpreter with the test.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pytest

from application.limits import Limits
from tests.support import ROOT, TIMEOUT, Server, environment

MB = 1 << 20
TELLER = Callable[..., None]
ROUNDS = 10
"""In how many parts a measurement is split, for the median of the longest wait in each."""


def strictly(line: bytes) -> Any:
    """What a strict reader makes of a line: UTF-8 without exception, and no NaN or Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(line.decode("utf-8", "strict"), parse_constant=refuse)


class Client:
    """A client by the standard library alone, that believes nothing it has not read."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._stream = sock.makefile("rb")

    def ask(self, type: str, **members: Any) -> Any:
        """The reply to a command."""
        self.send(request(type, **members))
        return self.reply()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def line(self) -> bytes:
        """The next line; half a one, or an empty one, when the server hung up."""
        return self._stream.readline()

    def reply(self) -> Any:
        """The next reply; fails when there is none, or half a one."""
        line = self.line()
        assert line.endswith(b"\n"), f"half a reply: {line!r}"
        return strictly(line)

    def code(self) -> str:
        """The code of the error that the next reply is."""
        return str(self.reply()["error"]["code"])

    def rest(self) -> bytes:
        """All that comes until the server hangs up."""
        return self._stream.read()

    def close(self) -> None:
        self._stream.close()
        self.sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request(type: str, **members: Any) -> bytes:
    """A request line."""
    return json.dumps({"type": type, **members}).encode() + b"\n"


def with_changes(source: str) -> Tuple[str, ...]:
    """A server program in whose process `source` runs first."""
    start = "from entrypoints.server.__main__ import main; main(prog_name='kv-server')"
    return sys.executable, "-c", f"{source}\n{start}"


def client_of(server: Server) -> Client:
    return Client(server.connect())


@contextlib.contextmanager
def clients_of(server: Server, count: int) -> Iterator[List[Client]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(client_of(server)) for _ in range(count)]


FILLED_AT_ONCE = Limits().max_keys_per_request


def fill(
    server: Server, keys: int, value: str = "abcdefghijklmnopqrst", until: Optional[float] = None
) -> None:
    """Store many keys, `key:000000000000` and on, that all end at one time by our clock, if any."""
    ttl = {}
    with client_of(server) as client:
        for at in range(0, keys, FILLED_AT_ONCE):
            items = {f"key:{n:012}": value for n in range(at, min(keys, at + FILLED_AT_ONCE))}
            if until is not None:
                ttl = {"ttl": max(0.01, until - time.monotonic())}
            assert client.ask("MSET", items=items, **ttl)["ok"]


def info(server: Server) -> Any:
    with client_of(server) as client:
        return client.ask("INFO")["result"]


def eventually(holds: Callable[[], object], within: float = TIMEOUT) -> None:
    """Wait until something holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


# Other clients' waits.


class Waits:
    """How long the pings of another client waited, in milliseconds; known when it has ended."""

    def __init__(self) -> None:
        self.pings: List[Tuple[float, float]] = []

    @property
    def worst(self) -> float:
        return max(wait for _, wait in self.pings)

    @property
    def p99(self) -> float:
        waits = sorted(wait for _, wait in self.pings)
        return waits[int(0.99 * len(waits))]

    @property
    def usual_worst(self) -> float:
        """The median over `ROUNDS` of the longest wait in each."""
        first, last = self.pings[0][0], self.pings[-1][0]
        longest: Dict[int, float] = {}
        for at, wait in self.pings:
            number = int(ROUNDS * (at - first) / (last - first + 1e-9))
            longest[number] = max(wait, longest.get(number, 0.0))
        return statistics.median(longest.values())

    def __str__(self) -> str:
        return f"{self.worst:.1f} ms (p99 {self.p99:.1f}, usual worst {self.usual_worst:.1f})"


@contextlib.contextmanager
def pinging(server: Server, *options: str) -> Iterator[Waits]:
    """The waits of a client that pings the server meanwhile."""
    waits = Waits()
    command = [sys.executable, "-m", "tests.torture.pinger", str(server.port), *options]
    with _peer(command, b"") as process:
        yield waits
        output, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, "the pinging client failed"
        waits.pings += json.loads(output)


def calm(waits: Waits, long: bool, worst: float = 50.0) -> None:
    """Assert that a pinging client was not held up for more than `worst` ms.

    The machines that run this are shared: other work stops a process for tens of milliseconds at
    any time. So a few seconds prove no more than that nothing takes half a second; half a minute
    is split into rounds, and the median of the longest wait in each is held to the true bound, for
    what the server does to its clients it does in every round.
    """
    assert waits.worst < 10 * worst
    if long:
        assert waits.usual_worst < worst


class Flood:
    """What became of a client that floods; known when it has ended."""

    replies = 0
    was_cut = False


@contextlib.contextmanager
def flooding(
    server: Server, payload: bytes, *, connections: int = 1, deaf: bool = False
) -> Iterator[Flood]:
    """A client that sends this over and over meanwhile, on each of its connections."""
    payload *= max(1, 65536 // len(payload))
    numbers = map(str, (server.port, len(payload), connections))
    command = [sys.executable, "-m", "tests.torture.flooder", *numbers]
    flood = Flood()
    with _peer([*command, *["deaf"] * deaf], payload) as process:
        yield flood
        output, _ = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, "the flooding client failed"
        flood.replies, flood.was_cut = json.loads(output)


@contextlib.contextmanager
def _peer(command: Sequence[str], data: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said that it is ready, given `data`; nothing of it is left at the end."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(data)
            process.stdin.flush()
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


# What the system knows of a process.


class Growth:
    """By how many MB a process grew at the most; known at the end."""

    def __init__(self) -> None:
        self.mb = 0.0

    def __str__(self) -> str:
        return f"{self.mb:.1f} MB"


@contextlib.contextmanager
def growing(server: Server) -> Iterator[Growth]:
    """How much more memory the server had meanwhile than before, at its peak."""
    growth = Growth()
    with contextlib.suppress(OSError):  # without it the peak is that since the start
        (_proc(server) / "clear_refs").write_text("5")
    before = resident(server)
    yield growth
    growth.mb = _status(server, "VmHWM") - before


def resident(server: Server) -> float:
    """How many MB of the server are in memory."""
    return _status(server, "VmRSS")


def cpu_seconds(server: Server) -> float:
    """The processor time that the server has had."""
    fields = (_proc(server) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(server: Server) -> int:
    """How many files and sockets the server has open."""
    return len(os.listdir(_proc(server) / "fd"))


def _status(server: Server, name: str) -> float:
    for line in (_proc(server) / "status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise pytest.fail.Exception(f"the system does not tell {name}")


def _proc(server: Server) -> Path:
    return Path("/proc") / str(server.process.pid)
