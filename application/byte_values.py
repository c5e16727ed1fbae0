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

import msgspec
from msgspec import Raw, Struct

from application.budget import Budget
from application.json_text import validated
from application.limits import DEFAULTS
from domain.errors import BadRequest, TooLarge


def to_text(data: bytes) -> bytes:
    """The JSON text that stands for `data`."""
    try:
        if data[:1] in _MAY_BE_JSON and _is_stored_unchanged(data):
            return data
        if data.isascii() and not _to_escape(data):
            return b'"%b"' % data
        return _encode(data.decode())
    except UnicodeDecodeError:
        return _BINARY % base64.b64encode(data)


def to_bytes(text: bytes) -> bytes:
    """The bytes that the JSON text of a stored value stands for."""
    first = text[0]
    if first == _QUOTE:
        return text[1:-1] if b"\\" not in text else _decode_string(text).encode()
    if first == _BRACE and b'"$binary"' in text:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, ValueError):
            return base64.b64decode(_decode_binary(text).binary.base64, validate=True)
    return text


class _Payload(Struct, forbid_unknown_fields=True):
    base64: str
    sub_type: str = msgspec.field(name="subType")


class _Binary(Struct, forbid_unknown_fields=True):
    binary: _Payload = msgspec.field(name="$binary")


_QUOTE, _BRACE = b'"{'
_MAY_BE_JSON = frozenset(bytes([first]) for first in b"-0123456789[{")
_SHORT = 18
_BUDGET = Budget(DEFAULTS)
"""For the numbers in a text that are decoded to see whether they are in range: one with more of
them becomes a string, whatever the server's bounds are."""
_is_number = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch
_to_escape = re.compile(rb'[\x00-\x1f"\\]').search
_BINARY = b'{"$binary":{"base64":"%b","subType":"00"}}'
_encode = msgspec.json.Encoder().encode
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_string = msgspec.json.Decoder(str).decode
_decode_binary = msgspec.json.Decoder(_Binary).decode


def _is_stored_unchanged(data: bytes) -> bool:
    """Whether `data` is the text of a number, an array or an object that can be stored as it is."""
    if data[0] not in b"[{":
        if not _is_number(data):
            return False
        if len(data) <= _SHORT and data.isdigit():
            return True
    elif data[-1] not in b"]}" or b"\n" in data or b"\r" in data:
        return False
    try:
        if bytes(_decode_raw(data)) != data or validated(data, _BUDGET) != data:
            return False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadRequest, TooLarge):
        return False
    return data[0] != _BRACE or to_bytes(data) == data
