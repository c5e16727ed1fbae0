"""Cuts a stream of bytes into lines, a few at a time.

Rule: input stays as it was read until its turn comes, so that many tiny lines take no more memory
than their bytes. The cost is linear in these, however they arrive.
"""

from __future__ import annotations

from typing import List, Sequence

from adapters.protocols.portions import BLOCK_BYTES, WINDOW


class Lines:
    """Lines of up to `max_bytes` bytes. Each `cut` is followed by a `settle`."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._small = min(BLOCK_BYTES, max_bytes)
        self._data = b""
        self._at = 0
        self._partial = bytearray()
        self.buffered = 0
        """How many bytes are kept."""
        self.has_more = False
        """Whether `cut` may find more without being fed."""
        self.partial_number = 0
        """How many lines have arrived in part first."""
        self.is_over = False
        """Whether a line was too long. Nothing is cut any more."""

    def cut(self, data: bytes) -> List[bytes]:
        """The next whole lines, blank ones included, without their line feeds; but a long one that
        is all there is comes as it is, since a copy takes as long as storing it."""
        if not (self.buffered or self.is_over):  # whole lines, as a rule
            if len(data) <= self._small:
                *lines, rest = data.split(b"\n", WINDOW)
                is_whole = not rest
            else:
                lines, is_whole = [data], data.find(b"\n") == len(data) - 1 <= self._max_bytes
            if is_whole:
                self._data, self._at = data, len(data)
                return lines
        if data:
            self._feed(data)
        lines = self._cut_long() if self._partial else self._cut_block()
        if self._max_bytes < BLOCK_BYTES or len(lines) == 1:
            self._check(lines)
        return lines

    def step_back(self, lines: Sequence[bytes]) -> None:
        """The last lines of those cut are to be cut once more."""
        if lines:
            self._at -= sum(map(len, lines)) + len(lines)
            self.has_more = True

    def settle(self) -> None:
        """Frees the bytes of the lines that were cut."""
        if not self.has_more:
            self._data = self._data[self._at :]
            self._at = 0
            if self._data and not self._partial:
                self.partial_number += 1
        self.buffered = len(self._data) + len(self._partial)
        if self.buffered > self._max_bytes and not self.has_more:
            self._overflow()

    def close(self) -> None:
        """Frees all buffered bytes."""
        self._data, self._at = b"", 0
        self._partial = bytearray()
        self.has_more = False
        self.buffered = 0

    def _feed(self, data: bytes) -> None:
        if self.is_over:
            return
        if self.has_more:
            self._data += data
            return
        self._partial += self._data
        self._data = data

    def _cut_long(self) -> List[bytes]:
        """Cuts the line that had arrived in part."""
        end = self._data.find(b"\n")
        if end < 0:
            self._partial += self._data
            self._data = b""
            return []
        line = b"".join((self._partial, memoryview(self._data)[:end]))
        self._partial = bytearray()
        self._at = end + 1
        self.has_more = self._at < len(self._data)
        return [line]

    def _cut_block(self) -> List[bytes]:
        """Looks for a line feed before it cuts, since `split` looks at byte after byte."""
        data, at = self._data, self._at
        end = data.find(b"\n", at)
        if end < 0:
            self.has_more = False
            return []
        if end - at >= BLOCK_BYTES:
            self._at = end + 1
            self.has_more = self._at < len(data)
            return [data[at:end]]
        end = min(at + BLOCK_BYTES, len(data))
        *lines, rest = data[at:end].split(b"\n", WINDOW)
        self._at = end - len(rest)
        self.has_more = end < len(data) or len(lines) == WINDOW
        return lines

    def _check(self, lines: List[bytes]) -> None:
        """Leaves a line that is too long until it is the next one."""
        fit = next((at for at, line in enumerate(lines) if len(line) > self._max_bytes), None)
        if fit is None:
            return
        if fit:
            self.step_back(lines[fit:])
        else:
            self._overflow()
        del lines[fit:]

    def _overflow(self) -> None:
        self.close()
        self.is_over = True
