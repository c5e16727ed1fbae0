"""Keys and values as the engine has them.

Rule: a key is the prefix and its UTF-8. A value is what clients of RESP see, by the rule for bytes,
so that the engine's own clients may read and write it; a text that the rule reads back as another
value, such as `true` or `"5"`, is stored as it is behind a mark. So each text comes back as it was,
but for escapes that a string does not need.
"""

from __future__ import annotations

import re
from typing import Generator, List, Optional, Sequence

import msgspec

from application.byte_values import (
    portions,
    to_bytes,
    to_text,
    to_text_in_steps,
    to_texts,
)
from application.json_text import UNREADABLE
from domain.errors import BadRequest

MARK = b"\0json "

(_QUOTE,) = b'"'

_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_tag = re.compile(rb"[^{]*\{[^}]+\}").match
_has_break = re.compile(rb"[\r\n]").search
_to_escape = re.compile(rb"[*?\[\\]")


def to_engine(text: bytes) -> bytes:
    """The bytes that stand for a JSON text."""
    data = to_bytes(text)
    again = to_text(data)
    is_same = again == text or again[0] == text[0] == _QUOTE
    return data if is_same and not data.startswith(MARK) else MARK + text


def from_engine(data: bytes) -> bytes:
    """The JSON text that bytes stand for, also those that another program stored."""
    if data.startswith(MARK):
        text = data[len(MARK) :]
        if _is_json(text):
            return text
    return to_text(data)


def many_from_engine(datas: Sequence[bytes]) -> Generator[None, None, List[bytes]]:
    """The JSON texts that stand for many, in short steps; quicker than one by one where all are
    alike."""
    texts: List[bytes] = []
    for portion in portions(datas):
        if texts:
            yield
        if MARK in b"".join(portion):
            texts += map(from_engine, portion)
        elif len(portion) == 1:
            texts.append((yield from to_text_in_steps(portion[0])))
        else:
            texts += to_texts(portion)
    return texts


def _is_json(text: bytes) -> bool:
    """Whether it is one JSON value without line ends."""
    try:
        text.decode()
        return _has_break(text) is None and bytes(_decode_raw(text)) == text
    except UNREADABLE:
        return False


class Names:
    """The names that keys have in the engine, which all begin with a prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self.are_in_one_slot = _tag(self._prefix) is not None
        """Whether the prefix has a {tag}, which makes them be in one slot of a cluster."""

    def of(self, key: str) -> bytes:
        """The name of a key; raises `BadRequest` when it is no Unicode."""
        try:
            return self._prefix + key.encode()
        except UnicodeEncodeError:
            raise BadRequest("a key holds half of a surrogate pair") from None

    def key(self, name: bytes) -> Optional[str]:
        """The key that has a name; None when it is no UTF-8, and no client of ours can name it."""
        try:
            return name[len(self._prefix) :].decode()
        except UnicodeDecodeError:
            return None

    def pattern(self, begins: str = "") -> bytes:
        """The engine's pattern for the names of the keys that begin so."""
        return _to_escape.sub(rb"\\\g<0>", self.of(begins)) + b"*"
