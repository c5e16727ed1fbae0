"""Reads what a socket returns most of the time: a run of requests of one command with as many
arguments each; and the tables by which a GET or SET that came alone is told.

Rule: what is read here is whole requests, byte for byte: each argument has its length before it,
and between two requests stands what the next begins with. All else is left to the parser.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

from adapters.protocols.resp.commands import HEADS
from adapters.protocols.resp.session import Session
from application.commands.columns import Columns
from application.commands.strings import Put

MAX_BYTES = 4 * 1024
"""Bytes of a GET or SET that came alone, at the most."""

MAX_RUN_BYTES, MAX_RUN = 64 * 1024, 512
"""Bytes of a run, and requests in it, at the most."""

_ONE, _TWO = b"12"

LENGTHS = [b"$%d" % size for size in range(MAX_BYTES)]
"""The lines that tell a length."""

_LINES = [length.decode() for length in LENGTHS]
_SIZES = {f"\r\n{line}\r\n": size for size, line in enumerate(_LINES)}
"""What an argument of that many bytes has before it, behind the line before."""

_NAME = len(b"*2\r\n$3\r\n")


Around = Tuple[bytes, bytes]
"""What stands before and behind an argument; `argument.join(around)` is all of it."""


MAX_ONE = 512
"""Bytes of what is looked at as one request first; what is longer is often a run."""


_TOO_LONG: Around = (bytes(MAX_BYTES), b"")


def _frames(most: int, *beginnings: bytes) -> List[Tuple[Any, ...]]:
    """What stands around the last argument of a request, after each of these beginnings, which are
    of one length; and where it is. They are in a list by how long the whole is, up to `most`; where
    no argument makes one of that length, they are longer than any."""
    frames: List[Tuple[Any, ...]] = [(*[_TOO_LONG] * len(beginnings), slice(0))] * most
    for size, length in enumerate(LENGTHS[:most]):
        befores = [b"%b%b\r\n" % (beginning, length) for beginning in beginnings]
        end = len(befores[0]) + size
        if end + len(b"\r\n") < most:
            frames[end + len(b"\r\n")] = (
                *[(before, b"\r\n") for before in befores],
                slice(len(befores[0]), end),
            )
    return frames


GETS: List[Tuple[Around, Around, slice]] = _frames(
    MAX_ONE, b"*2\r\n$3\r\nGET\r\n", b"*2\r\n$3\r\nget\r\n"
)
"""What a GET has around its key, in both spellings, and where that is, by how long the GET is."""

VALUES: List[Tuple[Around, slice]] = _frames(MAX_BYTES, b"\r\n")
"""What a SET has around its value, and where that is, by how long all behind its key is."""


def _keys_of_sets() -> Iterator[Tuple[bytes, Tuple[slice, slice]]]:
    for name in (b"SET", b"set"):
        for size, length in enumerate(LENGTHS[:100]):
            before = b"*3\r\n$3\r\n%b\r\n%b\r\n" % (name, length)
            end = len(before) + size
            yield before, (slice(len(before), end), slice(end, None))


SETS = dict(_keys_of_sets())
"""Where the key of a SET is, and what comes behind it, by what stands before it."""

NO_SET = slice(0), slice(0)
"""The same for other commands: nothing is there."""

ONE_DIGIT, TWO_DIGITS = (slice(len(b"*3\r\n$3\r\nSET\r\n$%b\r\n" % size)) for size in (b"9", b"99"))
"""Where that is, by how long the key's length is."""


def read_run(session: Session, data: bytes) -> Optional[Columns]:
    """The commands, two at least; None when `data` is no run, or a key is not UTF-8."""
    return _read(session, data, _arguments)


def read_each(session: Session, inputs: Sequence[bytes]) -> Optional[Columns]:
    """The commands of several clients in the same state, when each sent one, of one length."""
    size = len(inputs[0])
    if size >= MAX_ONE or set(map(len, inputs)) != {size}:
        return None
    run = _read(session, b"".join(inputs), _alike)
    return run if run and len(run) == len(inputs) else None


def _read(
    session: Session, data: bytes, columns_of: Callable[[str, int], Sequence[Sequence[Any]]]
) -> Optional[Columns]:
    end = data.find(b"\r\n", _NAME) + 2
    head = HEADS.get(data[:end])
    if head is None or data[-2:] != b"\r\n":
        return None
    size = data.find(data[:end], end, 2 * MAX_BYTES)
    if len(data) > size * MAX_RUN:  # no second one, or too many, most likely
        return None
    kind, shared, name = head
    text = data[:-2].decode("latin-1")  # as many characters as bytes
    is_ascii = text.isascii()
    try:
        keys, *values = columns_of(text, end)
        if len(keys) > MAX_RUN:
            return None
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


def _arguments(text: str, end: int) -> Sequence[Sequence[Any]]:
    """The keys, each with a head that ends at `end`, and its length, before it; and their values.
    Raises `LookupError` and `ValueError`."""
    return _alike(text, end) or _unlike(text, end, ord(text[1]) - _ONE)


def _alike(text: str, end: int) -> Sequence[Sequence[Any]]:
    """The same, where all keys are of one length, and all values; nothing otherwise."""
    start = text.index("\r\n", end) + 2
    size = _SIZES[text[end - 2 : start]]
    items = text[start:].split("\r\n" + text[:start])
    if ord(text[1]) == _TWO:
        return (items,) if set(map(len, items)) == {size} else ()
    start = items[0].index("\r\n", size + 2) + 2
    length = items[0][size:start]
    if set(map(len, items)) != {start + _SIZES[length]}:
        return ()
    places = slice(size), slice(size, start), slice(start, None)
    keys, lengths, values = (list(map(itemgetter(place), items)) for place in places)
    return (keys, values) if lengths.count(length) == len(items) else ()


def _unlike(text: str, end: int, count: int) -> Sequence[Sequence[Any]]:
    """The same for those of any lengths, with `count` arguments behind the name. The last of them
    may have line breaks in it."""
    pieces = text[end:].split("\r\n" + text[:end])
    lines = [piece.split("\r\n", 2 * count - 1) for piece in pieces]
    columns = [list(map(itemgetter(place), lines)) for place in range(2 * count)]
    for lengths, arguments in zip(columns[::2], columns[1::2]):
        if list(map(_LINES.__getitem__, map(len, arguments))) != lengths:
            raise ValueError("an argument is not of its length")
    return columns[1::2]
