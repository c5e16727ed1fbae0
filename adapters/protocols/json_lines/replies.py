"""Writes reply lines.

Rule: a reply is one line of JSON that is within its bound, or it is refused; a result whose size
can be told is refused before anything is built of it.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Dict, Generator, Iterator, Sequence, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from application.commands import Id
from application.json_text import json_size, raw
from domain.errors import KvError, TooLarge

BEFORE, AFTER = b'{"ok":true,"result":', b"}\n"
"""What stands round a result in a reply without an id."""

TRUE = BEFORE + b"true" + AFTER

PIECE, PIECE_KEYS = 256 * 1024, 1000
"""Bytes of a long reply that are made and sent at once, more or less, and keys at the most."""


def success(id: Id, result: object, bound: int, ids: Sequence[Id] = ()) -> bytes:
    """The reply with a result, that of a BATCH with the `ids` of its commands; raises `TooLarge`,
    before it is made, when it is over `bound` bytes."""
    if type(result) is list:
        size = _size(id, ()) + sum(map(_size, ids, result)) + max(0, len(result) - 1)
        if size + len(b"\n") > bound:
            raise _too_large(bound)
        result = [_Success(each, True, raw(one)) for each, one in zip(ids, result)]
    elif _may_be_over(bound, id, result) and _size(id, result) + len(b"\n") > bound:
        raise _too_large(bound)
    return _encode_lines([_Success(id, True, raw(result))])


def _may_be_over(bound: int, id: Id, result: object) -> bool:
    """Whether the size has to be known exactly; a character takes at most six bytes in JSON."""
    if type(result) is not dict or id is not UNSET:
        return True
    texts: Dict[str, bytes] = result
    size = sum(map(len, texts.values())) + 6 * sum(map(len, texts)) + 4 * len(texts)
    return size + len(BEFORE) + len(AFTER) + len(b"{}") > bound


def _size(id: Id, result: object) -> int:
    """The bytes of a reply, without its line feed."""
    size = len(b'{"ok":true}')
    if id is not UNSET:
        size += len(b'"id":,') + json_size(id)
    return size if result is UNSET else size + len(b',"result":') + json_size(result)


def success_in_pieces(
    id: Id, texts: Dict[str, bytes], bound: int
) -> Generator[None, None, Iterator[bytes]]:
    """The same for many texts: after some steps that tell its size, pieces to send one by one."""
    begin = _encode(_Success(id, True, {}))[: -len(b"}}")]
    size = len(begin) + len(_encode(list(texts))) + len(texts) + len(b"\n")  # with a colon each
    lengths = map(len, texts.values())
    while some := list(islice(lengths, 10 * PIECE_KEYS)):
        yield
        size += sum(some)
    if size > bound:
        raise _too_large(bound)
    return _pieces(begin, texts, min(PIECE_KEYS, PIECE * len(texts) // size + 1))


def _pieces(begin: bytes, texts: Dict[str, bytes], keys_a_piece: int) -> Iterator[bytes]:
    items = iter(texts.items())
    while some := dict(islice(items, keys_a_piece)):
        yield begin + _encode(raw(some))[1:-1]
        begin = b","
    yield (b"" if texts else begin) + b"}}\n"


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
