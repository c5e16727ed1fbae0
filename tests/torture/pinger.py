"""A client that pings a server a thousand times a second and writes down how long it waited.

The rule it keeps: it is a process of its own and has nothing but the standard library, so that
neither who loads the server nor anything of ours slows it down. It ends when its standard input
does, and so with its parent; then it prints a list of [when, milliseconds], by a clock that all
processes share.
"""

from __future__ import annotations

import argparse
import gc
import json
import select
import socket
import ssl
import sys
import time
from typing import List, Optional, Tuple

PING, PONG = b'{"type":"PING"}\n', b'{"ok":true,"result":"PONG"}\n'
EVERY = 0.001


def connect(port: int, authority: Optional[str]) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if authority is None:
        return sock
    return ssl.create_default_context(cafile=authority).wrap_socket(
        sock, server_hostname="127.0.0.1"
    )


def ask(sock: socket.socket, line: bytes) -> bytes:
    """The reply line, to a request line."""
    sock.sendall(line)
    reply = b""
    while not reply.endswith(b"\n"):
        data = sock.recv(65536)
        if not data:
            raise OSError(f"the server hung up after {reply!r}")
        reply += data
    return reply


def ping(sock: socket.socket) -> Tuple[float, float]:
    """When it was, and how many milliseconds the answer took."""
    started = time.monotonic()
    reply = ask(sock, PING)
    if reply != PONG:
        raise OSError(f"a PING was answered by {reply!r}")
    return started, (time.monotonic() - started) * 1e3


def ping_until_told(sock: socket.socket) -> List[Tuple[float, float]]:
    """The waits until standard input ends."""
    waits = [ping(sock)]
    while not select.select([sys.stdin], [], [], max(0.0, EVERY - waits[-1][1] / 1e3))[0]:
        waits.append(ping(sock))
    return waits


def main() -> None:
    """Ping until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--authority", help="PEM file of whom to trust; speak TLS")
    parser.add_argument("--first", default="", help="a request line that comes first")
    options = parser.parse_args()
    gc.disable()
    with connect(options.port, options.authority) as sock:
        if options.first:
            ask(sock, options.first.encode() + b"\n")
        for _ in range(50):
            ping(sock)
        print("ready", flush=True)
        print(json.dumps(ping_until_told(sock)))


if __name__ == "__main__":
    main()
