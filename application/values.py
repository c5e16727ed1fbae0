"""The door through which values enter the store, and leave it.

Rule: a text that passes here can be read back by any strict JSON reader (RFC 8259), and holds no
line break, so it cannot disturb the framing that another client sees. The text itself is kept as
it came: nothing is decoded to be stored.

The check is one strict decode whose result is thrown away. That is one C call, cheaper than any
set of searches that would prove the same (docs/performance.md), but for long strings.
"""

from __future__ import annotations

import contextlib
import gc
import re
from typing import Any, Dict, Mapping

import msgspec
from msgspec import Raw

from domain.errors import BadRequest

MAX_DEPTH = 128
"""How deep the arrays and objects of one value may nest."""

MAX_DIGITS = 4_000
"""How many digits an integer may have; Python's own reader takes 4,300."""

_decode = msgspec.json.Decoder().decode


def storable(text: bytes, where: str = "value") -> bytes:
    """The text to store for the text of one JSON value, which has no space around it.

    Raises `BadRequest`, which names `where`, when a strict reader could not take it back: bad
    UTF-8, lone surrogates, numbers beyond double precision or `MAX_DIGITS` digits, nesting beyond
    `MAX_DEPTH`.
    """
    if len(text) > _SMALL and text.startswith(b'"') and _is_plain(text):
        return text
    try:
        document = _decode(text) if len(text) < _LARGE else _decode_large(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"`{where}` cannot be kept: {error}") from error
    except RecursionError as error:
        raise BadRequest(f"`{where}` nests deeper than {MAX_DEPTH}") from error
    if type(document) is str:
        return text
    if len(text) > MAX_DIGITS and _LONG_NUMBER in text.translate(_DIGITS_AS_ZERO):
        _refuse_long_integers(document, where)
    if type(document) in _CONTAINERS:
        if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _nests_too_deep(text):
            raise BadRequest(f"`{where}` nests deeper than {MAX_DEPTH}")
        if b"\n" in text or b"\r" in text:
            return msgspec.json.format(text, indent=-1)
    return text


def storable_items(items: Mapping[str, Raw]) -> Dict[str, bytes]:
    """The texts to store for the values of `items`; an error names the key of the one at fault."""
    texts = list(map(bytes, items.values()))
    together = b"[%b]" % b",".join(texts)
    if len(together) <= _SMALL:
        with contextlib.suppress(BadRequest):
            if storable(together) is together:
                return dict(zip(items, texts))
    elif all(text.startswith(b'"') for text in texts) and _is_plain(together):
        return dict(zip(items, texts))
    return {key: storable(text, f"items.{key:.64}") for key, text in zip(items, texts)}


def encodable(result: object) -> object:
    """A command's result as something that encodes to its JSON, with the texts in it unopened."""
    if type(result) is bytes:
        return Raw(result)
    if type(result) is dict:
        return dict(zip(result, map(Raw, result.values())))
    return result


def least_size(result: object) -> int:
    """How many bytes a command's result takes as JSON, at the least: its texts and its keys."""
    if type(result) is bytes:
        return len(result)
    if type(result) is dict:
        return sum(map(len, result.values()))
    keys = getattr(result, "keys", None)
    return sum(map(len, keys)) if type(keys) is list else 0


_CONTAINERS = frozenset((dict, list))
_SMALL, _LARGE = 4 * 1024, 64 * 1024
_DIGITS_AS_ZERO = bytes(0x30 if chr(byte).isdigit() else byte for byte in range(128)) + bytes(128)
_LONG_NUMBER = b"0" * (MAX_DIGITS + 1)
_FIRST_TOO_LONG = 10**MAX_DIGITS
_OPEN_AND_CLOSE = bytes.maketrans(b"{}", b"[]")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))


def _is_plain(text: bytes) -> bool:
    """Whether JSON strings are of ASCII without escapes, so that nothing can be wrong in them."""
    return text.isascii() and b"\\" not in text


def _decode_large(text: bytes) -> Any:
    """Decode without the collector, which would go through the growing document over and over."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _decode(text)
    finally:
        if collecting:
            gc.enable()


def _nests_too_deep(text: bytes) -> bool:
    """Whether a JSON text nests beyond `MAX_DEPTH`: strings are taken out, then pair after pair of
    brackets with nothing between them, a level each time."""
    unescaped = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = unescaped.translate(_OPEN_AND_CLOSE, _NO_STRUCTURE).replace(b'""', b"")
    if b'"' in brackets:
        brackets = re.sub(rb'"[^"]*"', b"", brackets)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _refuse_long_integers(document: Any, where: str) -> None:
    """Look at every node, level by level, so that no depth is too much for it."""
    level = [document]
    while level:
        if any(type(node) is int and abs(node) >= _FIRST_TOO_LONG for node in level):
            raise BadRequest(f"`{where}` holds an integer of more than {MAX_DIGITS} digits")
        level = [
            child
            for node in level
            if type(node) in _CONTAINERS
            for child in (node.values() if type(node) is dict else node)
        ]
