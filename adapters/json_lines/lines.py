"""Cuts a stream of bytes into lines.

Rule: the cost is linear in what is fed, however it is cut, and no more is held than one line's
bound and one read.
"""

from __future__ import annotations

from typing import List


class Lines:
    """Gathers what a transport reads until lines are whole."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: List[bytes] = []
        self._held = 0
        self.overflowed = False
        """Whether a line was over `max_bytes`; what was fed since is dropped."""

    def feed(self, data: bytes) -> List[bytes]:
        """The lines that `data` completes, without their line feeds, blank ones included."""
        lines = data.split(b"\n")
        rest = lines.pop()
        if self._held or len(data) > self._max_bytes:
            lines = self._completed(lines)
        if rest:
            self._hold(rest)
        return lines

    def _completed(self, lines: List[bytes]) -> List[bytes]:
        """The lines, the first with what is held of it, up to one that is too long."""
        if self.overflowed:
            return []
        if self._held and lines:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        for index, line in enumerate(lines):
            if len(line) > self._max_bytes:
                self._overflow()
                return lines[:index]
        return lines

    def _hold(self, rest: bytes) -> None:
        self._parts.append(rest)
        self._held += len(rest)
        if self._held > self._max_bytes:
            self._overflow()

    def _overflow(self) -> None:
        self.overflowed = True
        self._parts.clear()
        self._held = self._max_bytes + 1
