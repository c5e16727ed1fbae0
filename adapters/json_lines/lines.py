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
        if self.overflowed:
            return []
        head, line_feed, tail = data.rpartition(b"\n")
        lines = self._cut(head) if line_feed else []
        if tail and not self.overflowed:
            self._hold(tail)
        return lines

    def _cut(self, head: bytes) -> List[bytes]:
        if self._parts:
            self._parts.append(head)
            head = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        lines = head.split(b"\n")
        if len(head) > self._max_bytes:
            for index, line in enumerate(lines):
                if len(line) > self._max_bytes:
                    self.overflowed = True
                    return lines[:index]
        return lines

    def _hold(self, tail: bytes) -> None:
        self._parts.append(tail)
        self._held += len(tail)
        if self._held > self._max_bytes:
            self.overflowed = True
            self._parts.clear()
