"""Writes reply lines.

Rule: a reply is one line of JSON that is within its bound, or it is refused; a result whose size
can be told is refused before anything is built of it.
"""

from __future__ import annotations

from typing import Any, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from application.commands import Id
from application.values import encodable, least_size
from domain.errors import KvError, TooLarge

BEFORE, AFTER = b'{"ok":true,"result":', b"}\n"
"""What stands round a result in a reply without an id."""

TRUE = BEFORE + b"true" + AFTER


def success(id: Id, result: object, bound: int) -> bytes:
    """The reply that gives a result; raises `TooLarge` when it is over `bound` bytes."""
    if least_size(result) <= bound:
        reply = _encode(_Success(id, True, encodable(result))) + b"\n"
        if len(reply) <= bound:
            return reply
    raise TooLarge(f"the reply is over {bound} bytes")


def refusal(id: Id, error: KvError) -> bytes:
    """The reply that tells why a request was refused."""
    index = UNSET if error.index is None else error.index
    return _encode(_Refusal(id, False, _Error(error.code, str(error), index))) + b"\n"


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
