"""Pings our server once a millisecond and tells how long it had to wait.

The rules it keeps: it is a process of its own, so that the load generator does not disturb it; the
time of the longest wait is told and never a mean, since pings that would have been sent during a
wait are missing. It ends when its standard input does, and so with its parent.
"""

from __future__ import annotations

import gc
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from benchmarks.servers import HOST, PROJECT

PING, PONG = b'{"type":"PING"}\n', b'{"ok":true,"result":"PONG"}\n'
EVERY_SECONDS = 0.001
WARMUP_PINGS = 100
STOP_SECONDS = 60.0
READY = b"ready\n"


class Waits(msgspec.Struct, frozen=True):
    """How long pings waited for their answers, in milliseconds."""

    pings: int
    longest: float
    p99: float


def waits_during(port: int, work: Callable[[], object]) -> Waits:
    """The waits of a client that pings while `work` is done."""
    command = [sys.executable, "-m", "benchmarks.pinger", str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=PROJECT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        if process.stdout.readline() != READY:
            raise OSError("the pinger did not start")
        try:
            work()
            output, _ = process.communicate(timeout=STOP_SECONDS)
        except BaseException:
            process.kill()
            raise
    return msgspec.json.decode(output, type=Waits)


def ping(sock: socket.socket) -> float:
    """Milliseconds until the answer is there."""
    started = time.perf_counter_ns()
    sock.sendall(PING)
    reply = sock.recv(len(PONG), socket.MSG_WAITALL)
    waited = (time.perf_counter_ns() - started) / 1e6
    if reply != PONG:
        raise OSError(f"a PING was answered by {reply!r}")
    return waited


def ping_until_told(sock: socket.socket) -> list[float]:
    """The waits until standard input ends."""
    waits: list[float] = []
    rest = EVERY_SECONDS
    while not select.select([sys.stdin], [], [], rest)[0]:
        waits.append(ping(sock))
        rest = max(0.0, EVERY_SECONDS - waits[-1] / 1000)
    return waits


def main() -> None:
    """Ping the server on the port that is the one argument."""
    gc.disable()
    with socket.create_connection((HOST, int(sys.argv[1]))) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(WARMUP_PINGS):
            ping(sock)
        sys.stdout.buffer.write(READY)
        sys.stdout.flush()
        waits = sorted(ping_until_told(sock))
    found = Waits(len(waits), waits[-1], waits[int(0.99 * len(waits))])
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
