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


def flood(sock: socket.socket, payload: bytes, deaf: bool) -> Tuple[int, bool]:
    """Send until standard input ends; gives the number of reply lines, and whether it was cut.

    Unless it is deaf it does not end before it has read one.
    """
    unsent = memoryview(payload)
    lines = 0
    told_to_end = False
    while not (told_to_end and (lines or deaf)):
        listening: List[Any] = [*([] if told_to_end else [sys.stdin]), *([] if deaf else [sock])]
        readable, writable, _ = select.select(listening, [sock], [])
        told_to_end = told_to_end or sys.stdin in readable
        try:
            if sock in readable:
                data = sock.recv(1 << 20)
                if not data:
                    return lines, True
                lines += data.count(b"\n")
            if writable:
                unsent = unsent[sock.send(unsent) :] or memoryview(payload)
        except OSError:
            return lines, True
    return lines, False


def main() -> None:
    """Flood the server on a port with as many bytes of standard input as told."""
    port, size, deaf = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] == ["deaf"]
    payload = sys.stdin.buffer.read(size)
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.setblocking(False)
        print("ready", flush=True)
        print(json.dumps(flood(sock, payload, deaf)))


if __name__ == "__main__":
    main()
