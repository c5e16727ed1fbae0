"""Writes reply lines.

Rule: a reply is one line of JSON that is within its bound, or it is refused; a result whose size
can be told is refused before anything is built of it.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Dict, Generator, List, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from application.commands import Id
from application.values import encodable, least_size
from domain.errors import KvError, TooLarge

BEFORE, AFTER = b'{"ok":true,"result":', b"}\n"
"""What stands round a result in a reply without an id."""

TRUE = BEFORE + b"true" + AFTER

_END = b"}}\n"

PIECE, PIECE_ITEMS = 64 * 1024, 1000
"""Bytes of a long reply that are made in one step, more or less, and keys in it at the most."""


def success(id: Id, result: object, bound: int) -> bytes:
    """The reply that gives a result; raises `TooLarge` when it is over `bound` bytes."""
    if least_size(result) <= bound:
        reply = _encode(_Success(id, True, encodable(result))) + b"\n"
        if len(reply) <= bound:
            return reply
    raise _too_large(bound)


def success_in_steps(
    id: Id, result: Dict[str, bytes], bound: int
) -> Generator[None, None, List[bytes]]:
    """The same for many texts, made in steps; gives the pieces to send one after the other."""
    least = 0
    texts = iter(result.values())
    while some_texts := list(islice(texts, 10 * PIECE_ITEMS)):
        yield
        least += sum(map(len, some_texts))
    if least > bound:
        raise _too_large(bound)
    pieces = [_encode(_Success(id, True, {}))[: -len(b"}}")]]
    room = bound - len(pieces[0]) - len(_END)
    items = iter(result.items())
    in_piece = min(PIECE_ITEMS, 1 + PIECE * len(result) // (least + 1))
    while some := dict(islice(items, in_piece)):
        yield
        pieces.append(_encode(encodable(some))[1:-1] + b",")
        room -= len(pieces[-1])
        if room + len(b",") < 0:
            raise _too_large(bound)
    return [*pieces[:-1], pieces[-1].rstrip(b",") + _END]


def refusal(id: Id, error: KvError) -> bytes:
    """The reply that tells why a request was refused."""
    index = UNSET if error.index is None else error.index
    return _encode(_Refusal(id, False, _Error(error.code, str(error), index))) + b"\n"


def _too_large(bound: int) -> TooLarge:
    return TooLarge(f"the reply is over {bound} bytes")


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
