"""A socket to an engine that counts the bytes of a reply while they are read.

Rule: a reply over the bound is given up before it is whole. While a long one is read, others run
every `TURN_BYTES`: a socket that has more to read already never waits.
"""

from __future__ import annotations

import math
from typing import Any, Callable

from domain.errors import TooLarge

TURN_BYTES = 256 * 1024

WORD_BYTES = 64
"""What the engine may send for each word of a command beside the values: lengths, ttls, marks."""

SPARE_BYTES = 4 * 1024 * 1024
"""What it may send for any command: a page of names, or what it tells of itself."""


class ReplySocket:
    """`sock` is connected. Values in a reply may have `max_reply_bytes`; `yield_turn` lets others
    run."""

    def __init__(self, sock: Any, max_reply_bytes: float, yield_turn: Callable[[], object]) -> None:
        self._sock = sock
        self._recv = sock.recv
        self._max_reply_bytes = max_reply_bytes
        self._yield_turn = yield_turn
        self.begin(0)

    def begin(self, n_words: float) -> None:
        """Commands of so many words are sent next; infinite for replies without a bound."""
        self._most = self._max_reply_bytes + WORD_BYTES * n_words + SPARE_BYTES
        self._size, self._turn_end = 0, TURN_BYTES

    def recv(self, size: int, flags: int = 0) -> bytes:
        data: bytes = self._recv(size, flags)
        self._size += len(data)
        if self._size > self._turn_end:
            self._end_turn()
        return data

    def recv_into(self, buffer: bytearray) -> int:
        count: int = self._sock.recv_into(buffer)
        self._size += count
        if self._size > self._turn_end:
            self._end_turn()
        return count

    def _end_turn(self) -> None:
        if self._size > self._most:
            most = self._max_reply_bytes
            raise TooLarge(f"the reply is over {most:,} bytes (max_reply_bytes)")
        self._turn_end = self._size + TURN_BYTES
        self._yield_turn()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


UNBOUNDED = math.inf
"""Of words: the reply may have any size."""
