"""The door through which values enter the store, and leave it.

Rule: a text that passes here can be read back by any strict JSON reader (RFC 8259), and holds no
line break, so it cannot disturb the framing that another client sees. The text itself is kept as
it came: nothing is decoded to be stored.

That it is the text of one JSON value is known from the request. What is left to check, encoding,
numbers and nesting, one strict decode does whose result is thrown away: a C call that is cheaper
than any searches that would prove the same (docs/performance.md). Long texts are searched.
"""

from __future__ import annotations

import contextlib
import gc
import re
from itertools import accumulate
from operator import add
from typing import Any, Dict, Mapping

import msgspec
from msgspec import UNSET, Raw

from domain.errors import BadRequest

MAX_DEPTH = 128
"""How deep the arrays and objects of one value may nest."""

MAX_DIGITS = 4_000
"""How many digits an integer may have; Python's own reader takes 4,300."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def validated(text: bytes, where: str = "value") -> bytes:
    """The text to store for the text of one JSON value, which has no space around it.

    Raises `BadRequest`, which names `where`, when a strict reader could not take it back: bad
    UTF-8, lone surrogates, numbers beyond double precision or `MAX_DIGITS` digits, nesting beyond
    `MAX_DEPTH`. Whoever calls knows that it is JSON at all: a long text is not read again for that.
    """
    if len(text) <= _SMALL or not _is_sound(text):
        try:
            document = _decode(text) if len(text) < _LARGE else decode_without_collector(text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"`{where}` cannot be kept: {error}") from error
        except RecursionError as error:
            raise BadRequest(f"`{where}` nests deeper than {MAX_DEPTH}") from error
        if type(document) is str:
            return text
        if len(text) > MAX_DIGITS and _LONG_INTEGER in text.translate(_NUMBERS):
            _refuse_long_integers(document, where)
    if text[:1] in _OPENING:
        if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
            raise BadRequest(f"`{where}` nests deeper than {MAX_DEPTH}")
        if b"\n" in text or b"\r" in text:
            return msgspec.json.format(text, indent=-1)
    return text


def validated_items(items: Mapping[str, Raw]) -> Dict[str, bytes]:
    """The texts to store for the values of `items`; an error names the key of the one at fault."""
    texts = list(map(bytes, items.values()))
    together = b"[%b]" % b",".join(texts)
    if len(together) <= _SMALL:
        with contextlib.suppress(BadRequest):
            if validated(together) is together:
                return dict(zip(items, texts))
    elif all(text.startswith(b'"') for text in texts) and _is_utf8(together):
        return dict(zip(items, texts))
    return {key: validated(text, f"items.{key:.64}") for key, text in zip(items, texts)}


def raw(result: object) -> object:
    """A command's result as something that encodes to its JSON, with the texts in it unopened."""
    if type(result) is bytes:
        return Raw(result)
    if type(result) is dict:
        return dict(zip(result, map(Raw, result.values())))
    return result


def json_size(result: object) -> int:
    """How many bytes the result of a single command takes as JSON, escapes included."""
    kind = type(result)
    if kind is bytes:
        return len(result)  # type: ignore[arg-type]
    if kind is dict:
        texts: Dict[str, bytes] = result  # type: ignore[assignment]
        return sum(map(len, texts.values())) + len(_encode(list(texts))) + len(texts)
    return 0 if result is UNSET else len(_encode(result))


_CONTAINERS = frozenset((dict, list))
_SMALL, _LARGE = 4 * 1024, 64 * 1024
_OPENING = (b"[", b"{")
_NUMBERS = bytes.maketrans(b"123456789E", b"000000000e")
_EXPONENT, _LONG_NUMBER, _LONG_INTEGER = b"0e", b"0" * 300, b"0" * (MAX_DIGITS + 1)
"""What a number that may be beyond double precision has in it, in `_NUMBERS`, and an integer that
may be too long."""

_FIRST_TOO_LONG = 10**MAX_DIGITS
_OPENING_AS_ONE = bytes.maketrans(b"[{]}", b"1100")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_BITS = [f"{byte:08b}" for byte in range(256)]
_STAIRS = [list(accumulate(1 if bit == "1" else -1 for bit in bits)) for bits in _BITS]
_RISE, _PEAK = [stairs[-1] for stairs in _STAIRS], [max(stairs) for stairs in _STAIRS]
"""How much deeper it is after eight brackets than before, and at the deepest of them."""


def _is_sound(text: bytes) -> bool:
    """Whether there is nothing in a JSON text that a strict reader could refuse, save its nesting;
    False also when only decoding it can tell."""
    if not _is_utf8(text):
        return False
    if text.startswith(b'"'):
        return True
    numbers = text.translate(_NUMBERS)
    return _EXPONENT not in numbers and _LONG_NUMBER not in numbers


def _is_utf8(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def decode_without_collector(text: bytes) -> Any:
    """Decode without the collector, which would go through the growing document over and over."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _decode(text)
    finally:
        if collecting:
            gc.enable()


def _depth(text: bytes) -> int:
    """How deep the arrays and objects of a JSON text nest: strings are taken out, then brackets are
    counted, eight at a time, as the bits of a byte."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = text.translate(_OPENING_AS_ONE, _NO_STRUCTURE).replace(b'""', b"")
    if b'"' in brackets:
        brackets = re.sub(rb'"[^"]*"', b"", brackets)
    bits = brackets + b"0" * (-len(brackets) % 8)
    eights = int(bits, 2).to_bytes(len(bits) // 8, "big")
    before = accumulate(map(_RISE.__getitem__, eights), initial=0)
    deepest: int = max(map(add, before, map(_PEAK.__getitem__, eights)))
    return deepest


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
