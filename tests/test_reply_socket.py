"""The socket to an engine: long replies are read in turns, and given up over their bound."""

from __future__ import annotations

import socket
from typing import Callable, List

import pytest

from adapters.storage.redis.reply_socket import (
    SPARE_BYTES,
    TURN_BYTES,
    UNBOUNDED,
    WORD_BYTES,
    ReplySocket,
)
from domain.errors import TooLarge

PIECE = 64 * 1024


class Endless:
    """A socket that has always more to read."""

    def recv(self, size: int, flags: int = 0) -> bytes:
        return bytes(size)

    def recv_into(self, buffer: bytearray) -> int:
        return len(buffer)


Read = Callable[[ReplySocket], object]


def read_some(read: Read, sock: ReplySocket, pieces: int) -> None:
    for _ in range(pieces):
        read(sock)


READS: List[Read] = [
    lambda sock: sock.recv(PIECE),
    lambda sock: sock.recv(PIECE, socket.MSG_PEEK),
    lambda sock: sock.recv_into(bytearray(PIECE)),
]


@pytest.mark.parametrize("read", READS)
def test_a_reply_over_the_bound_is_given_up(read: Read) -> None:
    sock = ReplySocket(Endless(), 100 * PIECE, lambda: None)
    sock.begin(7)
    bound = 100 * PIECE + 7 * WORD_BYTES + SPARE_BYTES
    read_some(read, sock, bound // PIECE)
    with pytest.raises(TooLarge, match=r"over 6,553,600 bytes \(max_reply_bytes\)"):
        read_some(read, sock, TURN_BYTES // PIECE + 1)


@pytest.mark.parametrize("read", READS)
def test_while_a_long_reply_is_read_others_run(read: Read) -> None:
    turns: List[None] = []
    sock = ReplySocket(Endless(), 0, lambda: turns.append(None))
    for n_words in (1, UNBOUNDED):
        sock.begin(n_words)
        read_some(read, sock, TURN_BYTES // PIECE)
        assert not turns
    read_some(read, sock, 1000)
    assert len(turns) >= 1000 * PIECE // (TURN_BYTES + PIECE)
