"""Cuts a stream of bytes into lines.

Rule: the cost is linear in what is fed, however it is cut, and no more is held than one line's
bound and one read, nor over all streams more than their common allowance.
"""

from __future__ import annotations

from typing import List, Optional, Union

PIECE = 4 * 1024
"""Bytes; parts that are smaller are put together as they come, since each would cost as an object
more than its bytes, and a read that is smaller is cut without a look at it first."""

_SHOWN = 100
"""How many bytes are looked at to see how a line starts."""


class Allowance:
    """How many bytes of lines that are not whole yet several streams may hold together."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0


class Lines:
    """Gathers what a transport reads until lines are whole."""

    def __init__(self, max_bytes: int, allowance: Optional[Allowance] = None) -> None:
        self._max_bytes = max_bytes
        self._allowance = allowance or Allowance(max_bytes)
        self._parts: List[Union[bytes, bytearray]] = []
        self._held = 0
        self._begun = 0
        self.overflow: Optional[str] = None
        """Which bound a line was over; what was fed since is dropped."""

    @property
    def unfinished(self) -> int:
        """The number of the line that is held in part, which no other line has; 0 for none."""
        return self._begun if self._held else 0

    def feed(self, data: bytes) -> List[bytes]:
        """The lines that `data` completes, without their line feeds, blank ones included."""
        lines = data.split(b"\n") if len(data) < PIECE else _cut(data)
        rest = lines.pop()
        if self._held or len(data) > self._max_bytes:
            lines = self._completed(lines)
        if rest:
            self._hold(rest)
        return lines

    def starts_with(self, start: bytes) -> bool:
        """Whether the line that is held in part, or was too long, may start with `start`."""
        held = self._parts[0][:_SHOWN].lstrip(b" \t\r") if self._parts else b""
        return held.startswith(start) if held else True

    def close(self) -> None:
        """Let go of what is held."""
        self._allowance.held -= self._held
        self._parts.clear()
        self._held = 0

    def _completed(self, lines: List[bytes]) -> List[bytes]:
        """The lines, the first with what is held of it, up to one that is too long."""
        if self.overflow:
            return []
        if self._held and lines:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self.close()
        for index, line in enumerate(lines):
            if len(line) > self._max_bytes:
                self._overflow(line, f"a request is at most {self._max_bytes} bytes")
                return lines[:index]
        return lines

    def _hold(self, rest: bytes) -> None:
        if self.overflow:
            return
        self._begun += not self._held
        if len(rest) >= PIECE:
            self._parts.append(rest)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += rest
        else:
            self._parts.append(bytearray(rest))
        self._held += len(rest)
        self._allowance.held += len(rest)
        if self._held > self._max_bytes:
            self._overflow(self._parts[0], f"a request is at most {self._max_bytes} bytes")
        elif self._allowance.held > self._allowance.max_bytes:
            self._overflow(self._parts[0], "too much is held of requests that are not whole")

    def _overflow(self, line: Union[bytes, bytearray], bound: str) -> None:
        start = line[:_SHOWN]
        self.close()
        self._parts.append(start)
        self._max_bytes = -1  # whatever comes is too much
        self.overflow = bound


def _cut(data: bytes) -> List[bytes]:
    """What `data.split` gives, which looks at byte after byte: `find` is far faster when there is
    one line, or none that is whole."""
    end = data.find(b"\n")
    if end < 0:
        return [data]
    if end == len(data) - 1:
        return [data[:end], b""]
    return data.split(b"\n")
