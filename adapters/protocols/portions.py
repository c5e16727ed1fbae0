"""How much of what a client sends, and is sent, is dealt with at once, whatever the protocol."""

from __future__ import annotations

from typing import Iterable, Iterator, List

BLOCK_BYTES = 16 * 1024
"""Bytes of input in which requests are looked for at once."""

WINDOW = 128
"""Requests that are cut at once, at the most: a pipeline of 100 is one run."""

PIECE_BYTES = 256 * 1024
"""Bytes of a long reply that are made and sent at once, about."""


def in_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """A reply of many parts, in pieces of about `PIECE_BYTES`, made as they are asked for."""
    piece: List[bytes] = []
    size = 0
    for part in parts:
        piece.append(part)
        size += len(part)
        if size > PIECE_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    if piece:
        yield b"".join(piece)
