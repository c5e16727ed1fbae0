"""A client that sends the same bytes over and over, as fast as they are taken.

The rule it keeps: it is a process of its own, so that what it costs slows no other client down. It
gets the bytes on its standard input and goes on until that ends, or the server hangs up; then it
prints how many reply lines it was sent, and whether the server cut it. A deaf one never reads a
reply.
"""

from __future__ import annotations

import json
import select
import socket
import sys
from typing import Any, List, Tuple


class Connection:
    """One of its connections, and what of the payload is still to be sent on it."""

    def __init__(self, port: int, payload: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.sock.setblocking(False)
        self._payload = payload
        self._unsent = memoryview(payload)

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self) -> None:
        self._unsent = self._unsent[self.sock.send(self._unsent) :] or memoryview(self._payload)


def flood(connections: List[Connection], deaf: bool) -> Tuple[int, bool]:
    """Send until standard input ends; returns the number of reply lines, and whether one was cut.

    Unless it is deaf it does not end before it has read one.
    """
    lines = 0
    told_to_end = False
    while not (told_to_end and (lines or deaf)):
        listening: List[Any] = [
            *([] if told_to_end else [sys.stdin]),
            *([] if deaf else connections),
        ]
        readable, writable, _ = select.select(listening, connections, [])
        told_to_end = told_to_end or sys.stdin in readable
        try:
            for connection in readable:
                if connection is not sys.stdin:
                    data = connection.sock.recv(1 << 20)
                    if not data:
                        return lines, True
                    lines += data.count(b"\n")
            for connection in writable:
                connection.send()
        except OSError:
            return lines, True
    return lines, False


def main() -> None:
    """Flood the server on a port, over some connections, with as many bytes of standard input as
    told."""
    port, size, count, deaf = *map(int, sys.argv[1:4]), sys.argv[4:] == ["deaf"]
    payload = sys.stdin.buffer.read(size)
    connections = [Connection(port, payload) for _ in range(count)]
    print("ready", flush=True)
    print(json.dumps(flood(connections, deaf)))
    for connection in connections:
        connection.sock.close()


if __name__ == "__main__":
    main()
