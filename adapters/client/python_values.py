"""Python objects as the JSON texts that are stored, and back.

Rule: what is read equals what was stored, for all that JSON can express: None, bool, int, float,
str, list, and dict with str keys; a tuple is read as a list. Bytes, which JSON does not have, are
written as in MongoDB's Extended JSON v2: `{"$binary":{"base64":"...","subType":"00"}}`. What would
be read as something else, such as NaN or a dict with keys that are numbers, is refused.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any, Dict, Union
from uuid import UUID

import msgspec

from application.exact_integers import exact, is_misread
from domain.errors import BadRequest, Blame, KvError


def to_json(value: object) -> bytes:
    """Returns the JSON text of a value; dataclasses and msgspec's Structs become objects.

    Raises `BadRequest` for a value that has none.
    """
    try:
        if type(value) is str:
            return msgspec.json.encode(value)
        text = _encode(value).encode()
        _refuse_odd_objects(value)
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"cannot be stored as JSON: {error}") from error


def from_json(text: bytes) -> Any:
    """Returns the value of a JSON text."""
    return json.loads(text, object_hook=_revived) if b'"$binary"' in text else _decode(text)


def is_plain(text: bytes) -> bool:
    """Whether msgspec reads all values in a text of JSON as `from_json` does."""
    return b'"$binary"' not in text and not is_misread(text)


def as_type(value: Any, kind: Any) -> Any:
    """Returns a value as a `kind`: a dataclass, a Struct, a TypedDict, or any other type that
    msgspec knows. Raises `NotOfType` for a value of another, and one that the type's own code, such
    as a `__post_init__`, refuses with any exception."""
    if kind is Any:
        return value
    try:
        return msgspec.convert(value, kind, builtin_types=_BYTES, str_keys=True)
    except Exception as error:
        refusal = NotOfType(str(error))
        refusal.value = value
        raise refusal from error


def check_type(kind: Any) -> None:
    """Raises `TypeError` for what is no type, or one that no value can be converted to."""
    if kind is not Any:
        with contextlib.suppress(msgspec.ValidationError):
            msgspec.convert(None, kind, builtin_types=_BYTES, str_keys=True)


class NotOfType(KvError, ValueError):
    """The value is not of the type that was asked for; it is in `value`, as it is read without a
    type. What a command has removed is not lost."""

    code = "NOT_OF_TYPE"
    blame = Blame.CLIENT
    value: Any = None


def _jsonable(value: object) -> object:
    """The JSON value for an object of a type that JSON does not have."""
    if isinstance(value, _BYTES):
        payload = base64.b64encode(bytes(value)).decode("ascii")
        return {"$binary": {"base64": payload, "subType": _SUB_TYPE}}
    if not (dataclasses.is_dataclass(value) or isinstance(value, msgspec.Struct)):
        raise TypeError(_no_json_type(value))
    document = msgspec.to_builtins(value, builtin_types=_BYTES)
    _refuse_odd_objects(document)
    return document


def _no_json_type(value: object) -> str:
    name = type(value).__name__
    if isinstance(value, _FIELD_TYPES):
        return f"{name} is not a JSON type; a dataclass or Struct may have fields of it"
    return f"{name} is not a JSON type"


def _revived(document: Dict[str, Any]) -> Union[Dict[str, Any], bytes]:
    """Returns the bytes that an object stands for, or the object."""
    inner = document.get("$binary")
    if len(document) > 1 or not isinstance(inner, dict) or len(inner) != 2:
        return document
    if inner.get("subType") == _SUB_TYPE:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return base64.b64decode(inner["base64"], validate=True)
    return document


def _refuse_odd_objects(value: object) -> None:
    """Raises for an object whose keys would become others, or that would be read as bytes."""
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for key in node:
                if not isinstance(key, str):
                    raise TypeError(f"keys must be str, not {type(key).__name__}")
            if _revived(node) is not node:
                raise TypeError("an object with $binary alone stands for bytes")
            waiting.extend(node.values())
        elif isinstance(node, (list, tuple)):
            waiting.extend(node)


_SUB_TYPE = "00"
"""Of bytes; what has another one, such as a UUID of BSON's, stays the object that it is."""

_BYTES = (bytes, bytearray, memoryview)
_FIELD_TYPES = (date, time, Decimal, Enum, UUID, set, frozenset)
"""Types of fields for which msgspec has a JSON form, of which the reader has to know."""

_decode = exact(msgspec.json.Decoder().decode)
_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_jsonable
).encode
