"""Keys that are made of several parts.

Rule: two lists of parts never make the same key, whatever is in them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Dict, List

import msgspec

from adapters.client.python_values import to_json
from adapters.client.subclasses import as_builtin
from domain.errors import BadRequest

MAX_READABLE = 512
"""Bytes of a key beyond which its parts are hashed."""


class NotAKeyPart(TypeError):
    """A value that has no text which no other value has."""


def unique_key(kind: str, name: str, parts: List[Any]) -> str:
    """The key of `parts` under a name, such as `limiter:["login",["ada"]]`.

    Raises `NotAKeyPart` for a part that is not made of JSON's values, those of subclasses of str,
    int and float, bytes, tuples, dataclasses and msgspec's Structs.
    """
    try:
        text = to_json([name, [_tagged(part) for part in parts]])
    except (BadRequest, RecursionError) as error:
        raise NotAKeyPart(f"cannot be part of a key: {error}") from error
    if len(text) > MAX_READABLE:
        text = to_json([name[: MAX_READABLE // 8], hashlib.sha256(text).hexdigest()])
    return f"{kind}:{text.decode()}"


def _tagged(value: Any) -> Any:
    """A JSON value that stands for this value alone: 1 is not 1.0, and a tuple is no list."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list or kind is tuple:
        return [kind.__name__, *map(_tagged, value)]
    if kind is dict:
        return ["dict", *([_tagged(key), _tagged(item)] for key, item in value.items())]
    fields = _fields(value)
    return [f"{kind.__module__}.{kind.__qualname__}", *map(_tagged, fields.values())]


def _fields(value: Any) -> Dict[str, Any]:
    if "<" in type(value).__qualname__:
        raise NotAKeyPart(f"{type(value).__qualname__} is a name that two classes may have")
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    try:
        return {"": as_builtin(value)}
    except TypeError as error:
        raise NotAKeyPart(f"{type(value).__name__} cannot be part of a key") from error


_SCALARS = (type(None), bool, int, float, str, bytes)
