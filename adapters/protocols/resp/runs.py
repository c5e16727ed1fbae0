"""Reads what a socket returns most of the time: a run of requests of one command with as many
arguments each; and the tables by which a GET or SET that came alone is told.

Rule: what is read here is whole requests, byte for byte: each argument has its length before it,
and between two requests stands what the next begins with. All else is left to the parser.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from adapters.protocols.resp.commands import HEADS, Head
from adapters.protocols.resp.parser import NEXT
from adapters.protocols.resp.session import Session
from application.commands.columns import Columns
from application.commands.strings import Put

MAX_BYTES = 4 * 1024
"""Bytes of a GET or SET that came alone, at the most."""

MAX_RUN_BYTES, MAX_RUN = 64 * 1024, 512
"""Bytes of a run, and requests in it, at the most."""

_THREE = ord(b"3")

KEPT_SIZES = 100
"""Up to so long a first key has what a run begins with kept."""

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


class _Beginning(NamedTuple):
    """What a run begins with, up to its first key."""

    head: Head
    has_value: bool
    """Whether each request has bytes behind its key."""
    size: int
    """How long the first key is."""
    line: str
    """The line that tells so."""
    between: str
    """What ends one request and begins the next, where their keys are of one length."""
    between_any: str
    """The same without that line."""


class _Beginnings(Dict[bytes, Optional[_Beginning]]):
    """Those of runs, each made when it is first asked for; None for other bytes."""

    def __missing__(self, data: bytes) -> Optional[_Beginning]:
        end = data.find(b"\r\n", _NAME) + 2
        head, size = HEADS.get(data[:end]), _SIZES.get(data[end - 2 :].decode("latin-1"))
        if head is None or size is None:
            return None
        text = "\r\n" + data.decode()
        made = _Beginning(head, data[1] == _THREE, size, text[end + 2 :], text, text[: end + 2])
        if size <= KEPT_SIZES:
            self[data] = made
        return made


_BEGINNINGS = _Beginnings()


_Texts = Sequence[List[str]]
"""The keys, each of which is a request's first argument; and the values, if each has one."""


def _alike(text: str, beginning: _Beginning) -> _Texts:
    """Those that `text` begins with the first key of, where all keys are of one length, and all
    values; nothing otherwise. Raises `LookupError`."""
    size, items = beginning.size, text.split(beginning.between)
    if not beginning.has_value:
        return (items,) if set(map(len, items)) == {size} else ()
    start = items[0].index("\r\n", size + 2) + 2
    line = items[0][size:start]
    value_size = _SIZES[line]
    if set(map(len, items)) != {start + value_size}:
        return ()
    parts = line.join(items).split(line)
    keys, values = parts[::2], parts[1::2]
    is_whole = set(map(len, keys)) == {size} and set(map(len, values)) == {value_size}
    return (keys, values) if is_whole else ()


def _unlike(text: str, beginning: _Beginning) -> _Texts:
    """The same for those of any lengths. The last argument may have line breaks in it. Raises
    `LookupError` and `ValueError`."""
    if text.count("\r\n*") != text.count(beginning.between_any):
        raise ValueError("not all begin alike")
    count = 4 if beginning.has_value else 2
    pieces = (beginning.line + text).split(beginning.between_any)
    lines = [piece.split("\r\n", count - 1) for piece in pieces]
    columns = [list(map(itemgetter(place), lines)) for place in range(count)]
    for lengths, arguments in zip(columns[::2], columns[1::2]):
        if list(map(_LINES.__getitem__, map(len, arguments))) != lengths:
            raise ValueError("an argument is not of its length")
    return columns[1::2]


class Run(NamedTuple):
    """The commands of a run, Redis's name for them, and how many bytes each had, if all had as
    many; else 0."""

    commands: Columns
    name: str
    size: int


def read_each(session: Session, inputs: Sequence[bytes]) -> Tuple[Optional[Run], Sequence[int]]:
    """The commands that several clients in the same state sent, whole ones of a kind each, and how
    many each."""
    if inputs[0][:_NAME] != inputs[-1][:_NAME]:
        return None, ()  # as is soon seen, most of the time
    data = b"".join(inputs)
    run = read_run(session, data, len(inputs) * MAX_RUN)
    if run is None:
        return None, ()
    size = run.size
    if size:
        sizes = set(map(len, inputs))
        if sizes == {size}:
            return run, [1] * len(inputs)
        is_whole = not any(each % size for each in sizes)
        return (run, [len(each) // size for each in inputs]) if is_whole else (None, ())
    begin = data[: data.find(b"\r\n", _NAME) + 3]  # with the `$` of the key's length
    counts = [each.count(begin) if each.startswith(begin) else 0 for each in inputs]
    is_whole = all(counts) and sum(counts) == data.count(begin) == len(run.commands)
    return (run, counts) if is_whole else (None, ())


def read_run(session: Session, data: bytes, most: int = MAX_RUN) -> Optional[Run]:
    """The commands, `most` at the most; None when `data` is no run, or a key is not UTF-8."""
    start = data.find(b"\r\n", data.find(b"\r\n", _NAME) + 2) + 2
    beginning = _BEGINNINGS[data[:start]]
    second = data.find(NEXT, start, 2 * MAX_BYTES)
    if beginning is None or len(data) > second * most or data[-2:] != b"\r\n":
        return None  # where there is no second one, or too many, most likely
    text = data[start:-2].decode("latin-1")  # as many characters as bytes
    columns: Sequence[Sequence[Any]]
    try:
        columns = _alike(text, beginning)
        size = len(data) // len(columns[0]) if columns else 0
        columns = columns or _unlike(text, beginning)
        if len(columns[0]) > most:
            return None
        kind, shared, name = beginning.head
        if not text.isascii() or (beginning.has_value and kind is not Put):
            columns = _as_bytes(*columns)
    except (LookupError, ValueError):
        return None
    if session.prefix:
        columns = [[session.prefix + key for key in columns[0]], *columns[1:]]
    return Run(Columns(kind, shared[session.version], *columns), name, size)


def _as_bytes(keys: List[str], *values: List[str]) -> Sequence[Sequence[Any]]:
    """What characters that are bytes stand for: the keys' text, and the bytes of the values."""
    texts = [key.encode("latin-1").decode() for key in keys]
    return [texts, *[[each.encode("latin-1") for each in column] for column in values]]
