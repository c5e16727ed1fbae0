"""Reads what a socket returns most of the time: a run of requests of one command with as many
arguments each; and the tables by which a GET or SET that came alone is told.

Rule: what is read here is whole requests, byte for byte: each argument has its length before it,
and between two requests stands what the next begins with. All else is left to the parser.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from adapters.protocols.resp.commands import HEADS
from adapters.protocols.resp.session import Session
from application.commands.columns import Columns
from application.commands.strings import Put

MAX_BYTES = 4 * 1024
"""Bytes of a GET or SET that came alone, at the most."""

MAX_RUN_BYTES = 16 * 1024
"""Bytes of a run, which is some hundreds of usual requests, at the most."""

_TWO = ord("2")

LENGTHS = [b"$%d" % size for size in range(MAX_BYTES)]
"""The lines that tell a length."""

_LINES = [length.decode() for length in LENGTHS]
_SIZES = {f"\r\n{line}\r\n": size for size, line in enumerate(_LINES)}
"""What an argument of that many bytes has before it, behind the line before."""

_NAME = len(b"*2\r\n$3\r\n")


Around = Tuple[bytes, bytes]
"""What stands before and behind an argument; `argument.join(around)` is all of it."""


MAX_ONE = 512
"""Bytes of a GET or SET for the shortest way; what is longer is often a run."""


_TOO_LONG: Around = (bytes(MAX_ONE), b"")


def _frames(*beginnings: bytes) -> List[Tuple[Any, ...]]:
    """What stands around the last argument of a request, after each of these beginnings, which are
    of one length; and where it is. They are in a list by how long the whole is; where no argument
    makes one of that length, they are longer than any."""
    frames: List[Tuple[Any, ...]] = [(*[_TOO_LONG] * len(beginnings), slice(0))] * MAX_ONE
    for size, length in enumerate(LENGTHS[:MAX_ONE]):
        befores = [b"%b%b\r\n" % (beginning, length) for beginning in beginnings]
        end = len(befores[0]) + size
        if end + len(b"\r\n") < MAX_ONE:
            frames[end + len(b"\r\n")] = (
                *[(before, b"\r\n") for before in befores],
                slice(len(befores[0]), end),
            )
    return frames


GETS: List[Tuple[Around, Around, slice]] = _frames(b"*2\r\n$3\r\nGET\r\n", b"*2\r\n$3\r\nget\r\n")
"""What a GET has around its key, in both spellings, and where that is, by how long the GET is."""

VALUES: List[Tuple[Around, slice]] = _frames(b"\r\n")
"""What a SET has around its value, and where that is, by how long all behind its key is."""


def _keys_of_sets() -> Iterator[Tuple[bytes, Tuple[slice, slice]]]:
    for name in (b"SET", b"set"):
        for size, length in enumerate(LENGTHS[:100]):
            before = b"*3\r\n$3\r\n%b\r\n%b\r\n" % (name, length)
            end = len(before) + size
            yield before, (slice(len(before), end), slice(end, None))


SETS = dict(_keys_of_sets())
"""Where the key of a SET is, and what comes behind it, by what stands before it."""

ONE_DIGIT, TWO_DIGITS = (slice(len(b"*3\r\n$3\r\nSET\r\n$%b\r\n" % size)) for size in (b"9", b"99"))
"""Where that is, by how long the key's length is."""


def read_run(session: Session, data: bytes) -> Optional[Columns]:
    """The commands; None when `data` is no run, or a key is not UTF-8."""
    end = data.find(b"\r\n", _NAME) + 2
    head = HEADS.get(data[:end])
    if head is None or data[-2:] != b"\r\n":
        return None
    kind, shared, name = head
    text = data[:-2].decode("latin-1")  # as many characters as bytes
    is_ascii = text.isascii()
    try:
        keys, *values = (_keys if data[1] == _TWO else _items)(text, end)
        if not is_ascii:
            keys = [key.encode("latin-1").decode() for key in keys]
    except (LookupError, ValueError):
        return None
    if values and not (is_ascii and kind is Put):
        values = [[each.encode("latin-1") for each in values[0]]]
    session.command = name
    if session.prefix:
        keys = [session.prefix + key for key in keys]
    return Columns(kind, shared[session.version], keys, *values)


def _keys(text: str, end: int) -> Sequence[Sequence[Any]]:
    """The keys, each with a head that ends at `end`, and its length, before it. They are often of
    one length. Raises `LookupError` and `ValueError`."""
    size, keys = _cut(text, end)
    if set(map(len, keys)) == {size}:
        return (keys,)
    lengths, keys = _columns(text, end, 2)
    _check(lengths, keys)
    return (keys,)


def _items(text: str, end: int) -> Sequence[Sequence[Any]]:
    """The keys and their values; see `_keys`."""
    size, items = _cut(text, end)
    start = items[0].index("\r\n", size + 2) + 2
    length = items[0][size:start]
    if set(map(len, items)) == {start + _SIZES[length]}:
        places = slice(size), slice(size, start), slice(start, None)
        keys, lengths, values = (list(map(itemgetter(place), items)) for place in places)
        if lengths.count(length) == len(items):
            return keys, values
    key_lengths, keys, lengths, values = map(list, _columns(text, end, 4))
    _check(key_lengths, keys)
    _check(lengths, values)
    return keys, values


def _cut(text: str, end: int) -> Tuple[int, Sequence[str]]:
    """The length of the first key, and what stands behind each head with that length."""
    start = text.index("\r\n", end) + 2
    return _SIZES[text[end - 2 : start]], text[start:].split("\r\n" + text[:start])


def _columns(text: str, end: int, count: int) -> Iterator[Sequence[str]]:
    """What stands on each of the `count` lines behind the heads that end at `end`; an argument on
    the last may have line breaks in it."""
    pieces = text[end:].split("\r\n" + text[:end])
    return zip(*[piece.split("\r\n", count - 1) for piece in pieces])


def _check(lengths: Sequence[str], arguments: Sequence[str]) -> None:
    """Raises `LookupError` or `ValueError` unless each argument has its length before it."""
    if list(map(_LINES.__getitem__, map(len, arguments))) != list(lengths):
        raise ValueError("an argument is not of its length")
