"""Writes reply lines.

Rule: a reply is one line of JSON that is within its bound, or it is refused; one of many texts is
refused before anything is built of it.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import Any, Dict, Generator, Iterator, List, Sequence, Tuple, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from adapters.protocols.portions import PIECE_BYTES, in_pieces
from application.commands import Id
from application.json_text import raw
from domain.errors import KvError, TooLarge

BEFORE, AFTER = b'{"ok":true,"result":', b"}\n"
"""What stands before and behind a result in a reply without an id."""

BEGINNINGS: Dict[Id, bytes] = {id: b'{"id":%d,' % id for id in range(100)}
"""What replies begin with that have one of the ids that clients are advised to use."""

AROUND: Dict[Id, Tuple[bytes, bytes]] = {
    UNSET: (BEFORE, AFTER),
    **{id: (begin + BEFORE[1:], AFTER) for id, begin in BEGINNINGS.items()},
}
"""The same without an id, and with each of those."""

TRUE = {id: b"true".join(around) for id, around in AROUND.items()}
"""The replies that say so, with the same ids."""

_SHORT = {True: TRUE[UNSET], False: b"false".join(AROUND[UNSET]), UNSET: b'{"ok":true}\n'}
"""Other replies without an id."""

_BETWEEN = AFTER + BEFORE
_TEXTS, _BOOLS = {bytes}, {bool}
_USUAL = {bytes, bool, UnsetType}

PIECE_KEYS = 1000
"""Keys of a long reply that are made and sent at once, at the most."""


def each_usual(results: Sequence[Any]) -> List[bytes]:
    """The replies without ids that have these results, if they are texts of values or of the few
    short ones; else none."""
    around = AROUND[UNSET]
    kinds = set(map(type, results))
    if kinds == _TEXTS:
        return [text.join(around) for text in results]
    if kinds == _BOOLS and all(results):
        return [TRUE[UNSET]] * len(results)
    if not kinds <= _USUAL:
        return []
    return [each.join(around) if type(each) is bytes else _SHORT[each] for each in results]


def usual(results: Sequence[Any]) -> bytes:
    """The same, one after another."""
    kinds = set(map(type, results))
    if kinds == _TEXTS:
        return _BETWEEN.join(results).join(AROUND[UNSET])
    return b"".join(each_usual(results))


def success(id: Id, result: object, bound: int, ids: Sequence[Id] = ()) -> bytes:
    """The reply with a result, that of a BATCH with the `ids` of its commands; raises `TooLarge`
    when it is over `bound` bytes. What can be much longer was refused before, by its budget or in
    `success_in_pieces`."""
    if type(result) is list:
        result = [_Success(each, True, raw(one)) for each, one in zip(ids, result)]
    reply = _encode_lines([_Success(id, True, raw(result))])
    if len(reply) > bound:
        raise _too_large(bound)
    return reply


def success_in_pieces(
    id: Id, texts: Dict[str, bytes], bound: int
) -> Generator[None, None, Iterator[bytes]]:
    """The reply with many texts, by their keys: after some steps that tell its size, pieces to send
    one by one."""
    begin = _encode(_Success(id, True, {}))[: -len(b"}}")]
    size = len(begin) + len(_encode(list(texts))) + len(texts) + len(b"\n")  # with a colon each
    lengths = map(len, texts.values())
    while some := list(islice(lengths, 10 * PIECE_KEYS)):
        yield
        size += sum(some)
    if size > bound:
        raise _too_large(bound)
    return _pieces(begin, texts, size, b"}}\n")


def batch_in_pieces(id: Id, results: Sequence[object], ids: Sequence[Id]) -> Iterator[bytes]:
    """The reply with the results of a BATCH, whose commands have these `ids`, in pieces to send one
    by one. Its budget has told that it is within the bound."""
    begin = _encode(_Success(id, True, []))[: -len(b"]}")]
    parts = (
        part
        for number, (each, result) in enumerate(zip(ids, results))
        for part in _parts(each, result, b"," if number else b"")
    )
    return in_pieces(chain([begin], parts, [b"]}\n"]))


def _parts(id: Id, result: object, before: bytes) -> Iterator[bytes]:
    """The reply to a command of a BATCH, and what stands before it."""
    if type(result) is dict:
        begin = before + _encode(_Success(id, True, {}))[: -len(b"}}")]
        return _pieces(begin, result, sum(map(len, result.values())) + 1, b"}}")
    return iter((before + _encode(_Success(id, True, raw(result))),))


def _pieces(begin: bytes, texts: Dict[str, bytes], size: int, end: bytes) -> Iterator[bytes]:
    """A reply with texts, of about so many bytes, in pieces."""
    keys_a_piece = min(PIECE_KEYS, PIECE_BYTES * len(texts) // size + 1)
    items = iter(texts.items())
    while some := dict(islice(items, keys_a_piece)):
        yield begin + _encode(raw(some))[1:-1]
        begin = b","
    yield (b"" if texts else begin) + end


def refusal(id: Id, error: KvError) -> bytes:
    """The reply that tells why a request was refused."""
    index = UNSET if error.index is None else error.index
    return _encode_lines([_Refusal(id, False, _Error(error.code, str(error), index))])


def _too_large(bound: int) -> TooLarge:
    return TooLarge(f"the reply is over {bound:,} bytes (max_reply_bytes)")


class _Success(Struct, gc=False):
    id: Id
    ok: bool
    result: Any


class _Error(Struct, gc=False):
    code: str
    message: str
    index: Union[int, UnsetType] = UNSET


class _Refusal(Struct, gc=False):
    id: Id
    ok: bool
    error: _Error


_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines
"""Takes a list: msgspec, up to 0.22 at least, never frees what it makes of any other sequence."""
