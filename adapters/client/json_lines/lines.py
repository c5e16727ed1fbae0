"""Reply lines, cut out of the bytes that arrive.

Rule: no more is held than a line of the longest that is accepted.
"""

from __future__ import annotations

from typing import List, Union

from domain.errors import Unavailable

QUOTED = 64
"""The most bytes of a line that an error quotes."""

SMALL_READ = 4 * 1024
"""Bytes; parts of a line that are smaller are put together."""


class Lines:
    """Cuts a stream of bytes into lines, at a cost linear in what is fed."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: List[Union[bytes, bytearray]] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """The whole lines that there are with `data`; raises `Unavailable` when one is over the
        bound."""
        end = data.rfind(b"\n") + 1
        lines = data if end == len(data) else data[:end]
        if self._parts and lines:
            lines = b"".join([*self._parts, lines])
            self._parts, self._size = [], 0
        if len(lines) > self._max_bytes:
            self._check(max(map(len, lines.split(b"\n"))))
        if end < len(data):
            self._buffer(data[end:])
        return lines

    @property
    def beginning(self) -> bytes:
        """That of the line that is not whole yet."""
        return bytes(self._parts[0][:QUOTED]) if self._parts else b""

    def _buffer(self, rest: bytes) -> None:
        """Small parts are put together: each would cost as an object more than its bytes."""
        if len(rest) >= SMALL_READ:
            self._parts.append(rest)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += rest
        else:
            self._parts.append(bytearray(rest))
        self._size += len(rest)
        self._check(self._size)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise Unavailable(
                f"the server sent a reply of over {self._max_bytes} bytes (max_reply_bytes)"
            )


def refuse_foreign(lines: bytes) -> None:
    """Raises `Unavailable` for a line that begins no object: another kind of server sent it."""
    for line in lines.split(b"\n"):
        begun = line.strip()[:QUOTED]
        if begun and not begun.startswith(b"{"):
            shown = begun.decode(errors="backslashreplace")
            raise Unavailable(f"the reply is not of this protocol: it begins with {shown!r}")


def is_one_line(lines: bytes) -> bool:
    """Whether there is one line; found at a small part of the time of counting them."""
    return lines.find(b"\n") == len(lines) - 1
