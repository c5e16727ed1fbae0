"""Bytes as the JSON texts that are stored, and back, for the protocols whose values are bytes.

Rule: what comes out is byte for byte what went in. Bytes that are the text of one JSON number,
array or object, which would be stored unchanged, become that JSON value; other UTF-8 becomes a JSON
string; the rest becomes `{"$binary":{"base64":...,"subType":"00"}}`. A text that is itself such an
object, or that would be changed or refused, becomes a string.
"""

from __future__ import annotations

import base64
import contextlib
import re
from operator import itemgetter
from typing import Any, Generator, Iterator, List, Literal, Sequence, Union

import msgspec
from msgspec import Raw, Struct

from application.budget import Budget
from application.json_text import STEP_BYTES, UNREADABLE, validated, validated_in_steps
from application.limits import DEFAULTS
from domain.errors import BadRequest, TooLarge

_MAY_BE_JSON = b"-0123456789[{"


Data = Union[bytes, str]
"""Bytes, or a text that stands for its own in UTF-8."""


def to_text(data: Data, may_be_json: bytes = _MAY_BE_JSON) -> bytes:
    """The JSON text that stands for `data`, which is only taken for JSON itself when it begins with
    one of `may_be_json`."""
    if isinstance(data, str):
        data = data.encode()
    if data and data[0] in may_be_json and _is_stored_unchanged(data):
        return data
    try:
        return _encode(data.decode())
    except UnicodeDecodeError:
        return _BINARY % base64.b64encode(data)


def to_text_in_steps(data: Data) -> Generator[None, None, bytes]:
    """What `to_text` returns, in short steps, but for one look at the syntax."""
    data, may_be_json = _bytes_of(data), _MAY_BE_JSON
    if _is_document(data):
        yield
        with contextlib.suppress(BadRequest, TooLarge):
            text = yield from validated_in_steps(data, _BUDGET)
            if text == data and to_bytes(data) == data:
                return data
        may_be_json = b""
    text = to_text(data, may_be_json)
    yield
    return text


def to_texts_in_steps(datas: Sequence[bytes]) -> Generator[None, None, List[bytes]]:
    """The JSON texts that stand for many, in short steps."""
    texts: List[bytes] = []
    for portion in portions(datas):
        if len(portion) == 1:
            texts.append((yield from to_text_in_steps(portion[0])))
        else:
            texts += to_texts(portion)
        yield
    return texts


def portions(datas: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """All of them, some at a time, or a large one alone."""
    start = size = 0
    for end, data in enumerate(datas):
        size += len(data) + 1
        if size > STEP_BYTES and end > start:
            yield datas[start:end]
            start, size = end, len(data)
    yield datas[start:]


def to_texts(datas: Sequence[Any]) -> List[bytes]:
    """The JSON texts that stand for many, which are all bytes or all texts; quicker than one by one
    where all are alike."""
    if datas and isinstance(datas[0], str):
        if _JSON_BEGINS.isdisjoint(map(_first, datas)):
            return list(map(_encode, datas))
        datas = list(map(str.encode, datas))
    if _JSON_BEGINS_BYTES.isdisjoint(map(_first, datas)):
        try:
            return list(map(_encode, map(bytes.decode, datas)))
        except UnicodeDecodeError:
            pass
    elif all(map(_is_document, datas)):
        together = b",".join(datas)
        if b'"$binary"' not in together and _is_storable(together):
            return list(datas)
    return list(map(to_text, datas))


def to_bytes(text: bytes) -> bytes:
    """The bytes that the JSON text of a stored value stands for."""
    first = text[0]
    if first == _QUOTE:
        return text[1:-1] if _BACKSLASH not in text else _decode_string(text).encode()
    if first == _BRACE and b'"$binary"' in text:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, ValueError):
            return base64.b64decode(_decode_binary(text).binary.base64, validate=True)
    return text


class _Payload(Struct, forbid_unknown_fields=True):
    base64: str
    sub_type: Literal["00"] = msgspec.field(name="subType")


class _Binary(Struct, forbid_unknown_fields=True):
    binary: _Payload = msgspec.field(name="$binary")


_QUOTE, _BRACE, _BACKSLASH = b'"{\\'
_OPENING, _CLOSING = frozenset((b"[", b"{")), frozenset((b"]", b"}"))
_SHORT = 18
_BUDGET = Budget(DEFAULTS)
"""For the numbers in a text that are decoded to see whether they are in range: one with more of
them becomes a string, whatever the server's bounds are."""
_number = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").match
_first = itemgetter(slice(1))
_JSON_BEGINS = frozenset(_MAY_BE_JSON.decode())
_JSON_BEGINS_BYTES = frozenset(map(str.encode, _JSON_BEGINS))
_BINARY = b'{"$binary":{"base64":"%b","subType":"00"}}'
_encode = msgspec.json.Encoder().encode
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_string = msgspec.json.Decoder(str).decode
_decode_binary = msgspec.json.Decoder(_Binary).decode


def _is_stored_unchanged(data: bytes) -> bool:
    """Whether `data` is the text of a number, an array or an object that can be stored as it is."""
    if data[0] in b"[{":
        return _is_document(data) and _is_storable(data) and to_bytes(data) == data
    number = _number(data)
    if number is None or number.end() < len(data):  # `fullmatch` would go back digit by digit
        return False
    return (len(data) <= _SHORT and data.isdigit()) or _is_storable(data)


def _bytes_of(data: Data) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _is_document(data: bytes) -> bool:
    """Whether `data` is a JSON array or object, without blanks around it."""
    if data[:1] not in _OPENING or data[-1:] not in _CLOSING:
        return False
    try:
        _decode_raw(data)
    except UNREADABLE:
        return False
    return True


def _is_storable(texts: bytes) -> bool:
    """Whether JSON texts, one or some with commas between them, are stored as they are."""
    try:
        return validated(texts, _BUDGET) == texts
    except (BadRequest, TooLarge):
        return False
