"""Reads what a socket returns most of the time: a run of requests of one command with as many
arguments each; and the tables by which a GET or SET that came alone is told.

Rule: what is read here is whole requests, byte for byte: each argument has its length before it,
and between two requests stands what the next begins with. All else is left to the parser.
"""

from __future__ import annotations

from typing import List

from adapters.protocols.resp.commands import HEADS
from adapters.protocols.resp.session import Session
from application.ports import Request

MAX_BYTES = 4 * 1024
"""Bytes of a GET or SET that came alone, at the most."""

MAX_RUN_BYTES = 16 * 1024
"""Bytes of a run, which is some hundreds of usual requests, at the most."""

TWO = ord("2")

LENGTHS = [b"$%d" % size for size in range(MAX_BYTES)]
"""The lines that tell a length."""

_SIZES = {length.decode(): size for size, length in enumerate(LENGTHS)}
_NAME = len(b"*2\r\n$3\r\n")


def _get_heads(most: int) -> List[str]:
    heads = ["\ud800"] * most  # which no decoded text begins with
    for size in range(most):
        head = f"*2\r\n$3\r\nGET\r\n${size}\r\n"
        if len(head) + size + len("\r\n") < most:
            heads[len(head) + size + len("\r\n")] = head
    return heads


MAX_ONE = 512
"""Bytes of a GET or SET for the shortest way; what is longer is often a run."""

GETS = _get_heads(MAX_ONE)
"""What a GET has before its key, by how long it is as a whole."""


def read_run(session: Session, data: bytes) -> List[Request]:
    """The commands; none when `data` is no run, or a key is not UTF-8."""
    end = data.find(b"\r\n", _NAME) + 2
    head = data[:end]
    plain = HEADS.get(head)
    if plain is None or data[-2:] != b"\r\n":
        return []
    (kind, spelling), name = plain
    session.command = name
    id, prefix = spelling + session.version, session.prefix
    try:
        if head[1] == TWO:
            keys = _keys(data[:-2].decode("ascii"), end)
            if prefix:
                keys = [prefix + key for key in keys]
            return [kind(key, id=id) for key in keys]
        commands: List[Request] = []
        add, lengths = commands.append, LENGTHS
        for piece in data[end:-2].split(b"\r\n" + head):
            key_length, key, length, value = piece.split(b"\r\n", 3)
            if lengths[len(key)] != key_length or lengths[len(value)] != length:
                return []
            add(kind(prefix + key.decode(), value, id=id))
        return commands
    except (LookupError, ValueError):
        return []


def _keys(text: str, end: int) -> List[str]:
    """The keys, each with a head that ends at `end`, and its length, before it; raises
    `ValueError`. They are often of one length, which is then the end of what is before each."""
    start = text.index("\r\n", end) + 2
    keys = text[start:].split("\r\n" + text[:start])
    if set(map(len, keys)) == {_SIZES.get(text[end : start - 2])}:
        return keys
    pieces = [piece.partition("\r\n") for piece in text[end:].split("\r\n" + text[:end])]
    if any(_SIZES.get(length) != len(key) for length, _, key in pieces):
        raise ValueError("a key is not of its length")
    return [key for _, _, key in pieces]
