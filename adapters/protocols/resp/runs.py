"""Reads what a socket returns most of the time: one GET or SET, or a run of requests of one command
with as many arguments each.

Rule: what is read here is whole requests, byte for byte: each argument has its length before it,
and between two requests stands what the next begins with. All else is left to the parser.
"""

from __future__ import annotations

from typing import Any, List, Optional

from adapters.protocols.resp.commands import HEADS
from adapters.protocols.resp.replies import VERSION_3
from adapters.protocols.resp.session import Session
from application.commands import Command, Get
from application.commands.strings import Put

MAX_BYTES = 4 * 1024
"""Bytes of a read that may be a few dozen usual requests."""

_SHORTEST_NAME = len(b"*2\r\n$3\r\n")
_HEAD = len(b"*2\r\n$3\r\n")
_LENGTHS = {size: b"$%d" % size for size in range(MAX_BYTES)}
_SIZES = {length: size for size, length in _LENGTHS.items()}
_NAME = len(b"*2\r\n$3\r\n")
_HEAD = len(b"*2\r\n$3\r\nGET\r\n")
_BEFORE_KEY = {
    _HEAD + len(length + b"\r\n\r\n") + size: (_HEAD + len(length + b"\r\n"), length + b"\r\n")
    for size, length in _LENGTHS.items()
}
"""How long a GET is tells how long its key is: where that begins, and the line before it."""


def read_one(session: Session, data: bytes) -> Optional[Command[Any]]:
    """The command, when `data` is a short GET or SET, and the session is as it is at first but for
    its version; else None."""
    id = session.usual.get(data[:_HEAD])
    if id is None or data[-2:] != b"\r\n":
        return None
    try:
        if data[1] == _TWO:
            start, length = _BEFORE_KEY[len(data)]
            session.command = "get"
            return Get(data[start:-2].decode(), id=id) if data[_HEAD:start] == length else None
        length, key, its_length, value = data[_HEAD:-2].split(b"\r\n", 3)
        if _LENGTHS[len(key)] == length and _LENGTHS[len(value)] == its_length:
            session.command = "set"
            return Put(key.decode(), value, id=id)
    except (LookupError, ValueError):
        pass
    return None


def read_run(session: Session, data: bytes) -> Optional[List[Command[Any]]]:
    """The commands; None when `data` is no run, or a key is not UTF-8."""
    head = data[: data.find(b"\r\n", _NAME) + 2]
    plain = HEADS.get(head)
    if plain is None or data[-2:] != b"\r\n":
        return None
    kind, spelling = plain
    session.command = head[_NAME:-2].decode().lower()
    id = spelling + VERSION_3 if session.is_version_3 else spelling
    body, prefix = data[len(head) : -2], session.prefix
    try:
        if head[1] == _TWO:
            keys = _keys(body.decode("ascii"), head.decode())
            return [kind(prefix + key, id=id) for key in keys]
        commands = []
        for piece in body.split(b"\r\n" + head):
            length, name, its_length, value = piece.split(b"\r\n", 3)
            if _LENGTHS[len(name)] != length or _LENGTHS[len(value)] != its_length:
                return None
            commands.append(kind(prefix + name.decode(), value, id=id))
        return commands
    except (LookupError, ValueError):
        return None


def _keys(body: str, head: str) -> List[str]:
    """The keys, each with its length before it and a head between two; raises `ValueError`. They
    are often of one length, which is then the end of the head."""
    length, _, rest = body.partition("\r\n")
    keys = rest.split(f"\r\n{head}{length}\r\n")
    if set(map(len, keys)) == {_SIZES.get(length.encode())}:
        return keys
    pieces = [piece.partition("\r\n") for piece in body.split("\r\n" + head)]
    if any(_SIZES.get(length.encode()) != len(key) for length, _, key in pieces):
        raise ValueError("a key is not of its length")
    return [key for _, _, key in pieces]


_TWO = ord("2")
