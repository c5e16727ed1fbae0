"""Decoding whole numbers exactly where msgspec does not.

Rule: on a msgspec that decodes every integer right, the decoders are msgspec's own. msgspec before
0.19, the newest that Python 3.8 gets, decodes those from 19446744073709551617 to
19999999999999999999 as others: there, texts with such digits are decoded by the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, TypeVar

import msgspec

D = TypeVar("D", bound=Callable[[Any], Any])

_PROBE = b"19446744073709551617"
_MISREAD = re.compile(rb"19[0-9]{18}").search

MISREADS = bool(msgspec.json.decode(_PROBE) != int(_PROBE))
"""Whether this msgspec decodes some integers as others."""


def is_misread(text: bytes) -> bool:
    """Whether msgspec may decode an integer in a JSON text as another."""
    return MISREADS and _MISREAD(text) is not None


def exact(decode: D, misreads: bool = MISREADS) -> D:
    """A decoder of JSON texts to Python's own types."""

    def decode_exactly(text: Any) -> Any:
        return json.loads(bytes(text)) if _MISREAD(text) else decode(text)

    return decode_exactly if misreads else decode  # type: ignore[return-value]  # it takes as much


def exact_commands(decode: D, misreads: bool = MISREADS) -> D:
    """A decoder of requests to commands, whose values are texts and need nothing."""

    def decode_exactly(line: Any) -> Any:
        command = decode(line)
        if _MISREAD(line):
            _correct(command, json.loads(bytes(line)))
        return command

    return decode_exactly if misreads else decode  # type: ignore[return-value]  # it takes as much


def _correct(command: Any, members: Dict[str, Any]) -> None:
    for name, value in members.items():
        if type(value) is int and type(getattr(command, name, None)) is int:
            setattr(command, name, value)
    for inner, inner_members in zip(getattr(command, "commands", ()), members.get("commands", ())):
        _correct(inner, inner_members)
