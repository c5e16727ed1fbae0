"""Writes RESP replies, of version 2 and 3.

Rule: how a result is spelled depends on the command that it is of, and the request's
`id` says which that is; CR and LF never enter a line.
"""

from __future__ import annotations

from itertools import chain
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from msgspec import UNSET, UnsetType

from adapters.protocols.portions import in_pieces
from adapters.protocols.resp.cursors import number_of
from adapters.protocols.resp.lengths import KEPT, Lengths
from application.byte_values import to_bytes
from application.commands import Command
from application.commands.strings import MGetEach
from application.ports import Request
from domain.errors import (
    CrossSlot,
    DiskFull,
    InvalidPassword,
    KvError,
    Loading,
    LoginRequired,
    OutOfMemory,
    TooLarge,
    Unauthenticated,
)

OK = b"+OK\r\n"
NULL_2, NULL_3 = b"$-1\r\n", b"_\r\n"


class Status(str):
    """A result that becomes a line."""

    __slots__ = ()


class Map(Dict[Any, Any]):
    """A result that becomes a map; unlike a dict, it holds no texts of values."""


class Encoded(bytes):
    """A result that is its reply."""


class Members(List[Any]):
    """A result that becomes a set; a list in version 2."""


Reply = Union[None, bool, int, float, bytes, str, Status, List[Any], Dict[Any, Any], KvError]
"""What a reply is made of; a dict is a list of twice its length in version 2."""


class ReplyError(KvError):
    """A refusal in words of Redis's own, that begin with its code."""

    code = "BAD_REQUEST"


def bulk(data: Union[bytes, memoryview]) -> bytes:
    """The reply that bytes are."""
    return b"\r\n".join((b"$%d" % len(data), data, b""))


_LENGTHS = Lengths(lambda size: b"\r\n$%d\r\n" % size)
_QUOTE, BACKSLASH = b'"\\'
_QUOTES = b'"\n"'
"""What is between two strings on a line each."""

BEYOND_STRINGS = b"#"
"""Comes after the texts of all strings, and before those of other values."""

INNER = slice(1, -1)
"""Where the bytes of a string are in its text, unless it has escapes."""

AROUND = [(b"$%d\r\n" % max(size - len(b'""'), 0), b"\r\n") for size in range(KEPT)]
"""What stands before and behind these bytes in a reply, by the length of the text."""

_TEXTS_OR_NONE = {bytes, UnsetType}

SHORT = 256
"""Bytes of a text, up to which many are quicker joined and cut than taken one by one."""


def each_bulk(texts: Sequence[bytes]) -> List[bytes]:
    """The replies that the texts of values are. Raises `TypeError` when one is missing."""
    try:
        if _are_plain_strings(b"\n".join(texts), len(texts)):
            return [text[INNER].join(AROUND[len(text)]) for text in texts]
    except IndexError:
        pass
    return [bulk(to_bytes(text)) for text in texts]


def bulks_of(texts: Sequence[bytes]) -> bytes:
    """The same, one after another."""
    lines, size, count = b"\n".join(texts), len(texts[0]), len(texts)
    if not _are_plain_strings(lines, count):
        datas = _datas_of(texts, lines)
    elif size > SHORT:
        datas = [text[INNER] for text in texts]
    elif len(lines) == (size + 1) * count - 1 and lines[size :: size + 1] == b"\n" * (count - 1):
        # of one length
        return lines[INNER].replace(_QUOTES, _LENGTHS[size - len(b'""')]).join(AROUND[size])
    else:
        datas = lines[INNER].split(_QUOTES)
    parts = [b"\r\n"] * (2 * len(datas) + 1)
    parts[:-1:2] = map(_LENGTHS.__getitem__, map(len, datas))
    parts[1::2] = datas
    parts[0] = parts[0][2:]
    return b"".join(parts)


def each_bulk_or_null(texts: Sequence[object], null: bytes) -> List[bytes]:
    """The replies that these are, of which some are missing; none when others are among them."""
    if not set(map(type, texts)) <= _TEXTS_OR_NONE:
        return []
    bulks = iter(each_bulk([*filter(None, texts)]))  # type: ignore[list-item]  # bytes
    return [next(bulks) if text else null for text in texts]


def _are_plain_strings(lines: bytes, count: int) -> bool:
    """Whether the text of a value on each line is a string without escapes."""
    return (
        lines[0] == lines[-1] == _QUOTE
        and BACKSLASH not in lines
        and lines.count(_QUOTES) == count - 1
    )


def _datas_of(texts: Sequence[bytes], lines: bytes) -> List[bytes]:
    """The bytes that texts stand for, which stand on a line each; they seldom have escapes."""
    if BACKSLASH in lines or b'"$binary"' in lines:
        return list(map(to_bytes, texts))
    return [text[INNER] if text[0] == _QUOTE else text for text in texts]


def error_line(error: KvError) -> bytes:
    """The reply that tells why a request was refused."""
    line = _ERRORS.get(type(error), "ERR {}").format(error)
    return b"-%b\r\n" % line.translate(_BREAKS).encode("utf-8", "replace")


_ERRORS: Dict[Type[KvError], str] = {
    ReplyError: "{}",
    OutOfMemory: "OOM command not allowed when used memory > 'maxmemory': {}",
    InvalidPassword: "WRONGPASS invalid username-password pair or user is disabled.",
    LoginRequired: "NOAUTH Authentication required.",
    Unauthenticated: "NOAUTH {}",
    Loading: "LOADING {}",
    DiskFull: "MISCONF {}",
    CrossSlot: "CROSSSLOT {}",
}
_BREAKS = {ord("\r"): " ", ord("\n"): " "}


Spell = Callable[[Any, Any], bytes]
"""Makes a reply of the result of a command, and of the command."""


def reply_2(value: Reply, _: object = None) -> bytes:
    """Any reply in version 2."""
    return _WRITERS[type(value)](value, False)


def reply_3(value: Reply, _: object = None) -> bytes:
    """Any reply in version 3."""
    return _WRITERS[type(value)](value, True)


Writer = Callable[[Any, bool], bytes]
"""Writes values of a type, in version 3 or in 2."""


class _Writers(Dict[type, Writer]):
    """Those of the types of replies; a type that is not there is written as the nearest of its
    bases."""

    def __missing__(self, kind: type) -> Writer:
        self[kind] = next(self[base] for base in kind.__mro__ if base in self)
        return self[kind]


def _map(value: Dict[Any, Any], is_3: bool) -> bytes:
    mark, size = (b"%", len(value)) if is_3 else (b"*", 2 * len(value))
    return _aggregate(mark, size, [part for item in value.items() for part in item], is_3)


def _aggregate(mark: bytes, size: int, parts: Sequence[Any], is_3: bool) -> bytes:
    written = b"".join([_WRITERS[type(part)](part, is_3) for part in parts])
    return b"%b%d\r\n%b" % (mark, size, written)


_WRITERS = _Writers(
    {
        type(None): lambda value, is_3: NULL_3 if is_3 else NULL_2,
        bool: lambda value, is_3: (
            (b"#t\r\n" if value else b"#f\r\n") if is_3 else b":%d\r\n" % value
        ),
        int: lambda value, is_3: b":%d\r\n" % value,
        float: lambda value, is_3: b",%r\r\n" % value if is_3 else bulk(b"%r" % value),
        bytes: lambda value, is_3: bulk(value),
        Status: lambda value, is_3: b"+%b\r\n" % value.encode(),
        str: lambda value, is_3: bulk(value.encode()),
        dict: _map,
        Members: lambda value, is_3: _aggregate(b"~" if is_3 else b"*", len(value), value, is_3),
        KvError: lambda value, is_3: error_line(value),
        object: lambda value, is_3: _aggregate(b"*", len(value), value, is_3),
    }
)


def array(parts: Sequence[bytes]) -> bytes:
    """The reply of some replies."""
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


def _ok(result: object, _: object) -> bytes:
    return OK


def _integer(result: Any, _: object) -> bytes:
    return b":%d\r\n" % result


def _seconds(result: Any, _: object) -> bytes:
    return b":%d\r\n" % _scaled(result, 1)


def _milliseconds(result: Any, _: object) -> bytes:
    return b":%d\r\n" % _scaled(result, 1000)


def _scaled(ttl: Any, scale: int) -> int:
    """A ttl in Redis's numbers: whole, -1 for one that never ends, -2 for a missing key."""
    if ttl is UNSET:
        return -2
    if ttl is None or ttl in (-1, -2):
        return -1 if ttl is None else int(ttl)
    return int(ttl * scale + 0.5)


def _type(result: object, _: object) -> bytes:
    return b"+string\r\n" if result else b"+none\r\n"


def _text(result: Any, _: object, null: bytes) -> bytes:
    return null if result is UNSET else bulk(to_bytes(result))


def _set(result: Any, _: object, null: bytes) -> bytes:
    return OK if result[0] else null


def _set_integer(result: Any, _: object) -> bytes:
    return b":%d\r\n" % result[0]


def _set_get(result: Any, _: object, null: bytes) -> bytes:
    return null if result[1] is None else bulk(result[1])


def _values(result: Dict[str, bytes], request: MGetEach, null: bytes) -> bytes:
    request.check_size(result)
    if result and len(result) == len(request.keys):
        return b"*%d\r\n" % len(result) + bulks_of(list(result.values()))
    found = {key: bulk(to_bytes(text)) for key, text in result.items()}
    return array([found.get(key, null) for key in request.keys])


def value_pieces(result: Dict[str, bytes], request: MGetEach) -> Iterator[bytes]:
    """The reply to a MGET in pieces; `check_size` was asked before."""
    null = NULL_3 if request.id == VALUES + VERSION_3 else NULL_2
    texts = map(result.get, request.keys)
    bulks = (null if text is None else bulk(to_bytes(text)) for text in texts)
    return in_pieces(chain([b"*%d\r\n" % len(request.keys)], bulks))


def key_pieces(keys: Sequence[str]) -> Iterator[bytes]:
    """The reply of some keys in pieces."""
    return in_pieces(chain([b"*%d\r\n" % len(keys)], (bulk(key.encode()) for key in keys)))


def _page(result: Any, _: object) -> bytes:
    try:
        cursor = number_of(result.cursor)
    except TooLarge as error:
        return error_line(error)  # among other replies of a transaction
    return reply_2([b"%d" % cursor, result.keys])


def _line(result: Any, _: object) -> bytes:
    return b"+%b\r\n" % result.encode()


def _length_of_common(result: Any, _: object) -> bytes:
    return b":%d\r\n" % len(result.data)


def _common(result: Any, _: object) -> bytes:
    return bulk(result.data)


def _report(result: Any, request: Any) -> bytes:
    return bulk(request.rendered(result))


def _silent(result: Any, _: object) -> bytes:
    return b""


_SPELLINGS: List[Tuple[Spell, Spell]] = []


def _spelling(version_2: Spell, version_3: Optional[Spell] = None) -> int:
    """The number of a way to spell results, which may be another one in version 3."""
    _SPELLINGS.append((version_2, version_3 or version_2))
    return len(_SPELLINGS) - 1


def _spelling_with_null(spell: Callable[[Any, Any, bytes], bytes]) -> int:
    """The same for results that may be missing."""
    return _spelling(
        lambda result, request: spell(result, request, NULL_2),
        lambda result, request: spell(result, request, NULL_3),
    )


REPLY = _spelling(reply_2, reply_3)
TEXT = _spelling_with_null(_text)
SET = _spelling_with_null(_set)
SET_GET = _spelling_with_null(_set_get)
VALUES = _spelling_with_null(_values)
DONE = _spelling(_ok)
INTEGER = _spelling(_integer)
SECONDS = _spelling(_seconds)
MILLISECONDS = _spelling(_milliseconds)
TYPE = _spelling(_type)
PAGE = _spelling(_page)
PONG = _spelling(_line)
LCS_LENGTH = _spelling(_length_of_common)
LCS = _spelling(_common)
REPORT = _spelling(_report)
SILENT = _spelling(_silent)
SET_INTEGER = _spelling(_set_integer)

VERSION_3 = len(_SPELLINGS)
"""What is added to the number of a spelling to have it in version 3."""

VERSIONS = (0, VERSION_3)
"""What is added for each version."""

_SPELL = [*(two for two, _ in _SPELLINGS), *(three for _, three in _SPELLINGS)]


def spelled(request: Union[Request, Command[Any]], outcome: object) -> bytes:
    """The reply to a request."""
    if request.id == SILENT:
        return b""
    if isinstance(outcome, KvError):
        return error_line(outcome)
    if isinstance(outcome, Encoded):
        return outcome
    return _SPELL[request.id](outcome, request)  # type: ignore[index]  # an int, as the codec has it
