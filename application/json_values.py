"""Comparing JSON values, and adding to them.

Rule: JSON decides, not Python: `true` is not 1, 1 is 1.0, and the order of members says nothing. A
text is decoded only when its kind and its bytes cannot tell, and `open` is charged for it before.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Union

import msgspec

from application.json_text import decoded
from domain.errors import NotANumber, OutOfRange

Open = Callable[[int], object]
"""Charges a budget for so many bytes of JSON that are about to be decoded; raises `TooLarge`."""

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
_KINDS = {**dict.fromkeys(b"-0123456789", "number"), **{first: chr(first) for first in b'"[{tfn'}}
"""What kind of value a text is of, by its first byte."""

_WORDS = {
    '"': "a string",
    "[": "an array",
    "{": "an object",
    "t": "true",
    "f": "false",
    "n": "null",
}

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def same(one: bytes, other: bytes, open: Open) -> bool:
    """Whether two texts are of the same JSON value."""
    if one == other:
        return True
    kind = _KINDS[one[0]]
    if kind != _KINDS[other[0]] or (kind == '"' and not _may_be_same(one, other)):
        return False
    open(len(one) + len(other))
    first, second = decoded(one), decoded(other)
    if first != second:
        return False
    # Python holds `true` for 1, so equal for Python is not enough where there is one of them.
    if kind not in "[{" or not (_has_boolean(one) or _has_boolean(other)):
        return True
    return _encode_sorted(first) == _encode_sorted(second) or _same(first, second)


def _may_be_same(one: bytes, other: bytes) -> bool:
    """Whether two texts of strings that differ may have escapes for the same characters, none of
    which takes more than six bytes for one."""
    shorter, longer = sorted((len(one) - 2, len(other) - 2))
    return longer <= len(r"\u0041") * shorter and (b"\\" in one or b"\\" in other)


def added(text: bytes, by: Union[int, float], open: Open) -> Union[int, float]:
    """The number that `text` is, plus `by`; whole numbers stay exact, and within 64 bits.

    Raises `NotANumber`, whose message says what the text is instead, and `OutOfRange`.
    """
    kind = _KINDS[text[0]]
    if kind != "number":
        raise NotANumber(f"{_WORDS[kind]}, not a number")
    open(len(text))
    before = number(text)
    if isinstance(before, int) and isinstance(by, int):
        if not _SMALLEST <= before + by <= _LARGEST:
            raise OutOfRange("the sum is beyond 64 bits")
        return before + by
    total = _finite(before, by)
    if float(before).is_integer() and float(by).is_integer():
        exact = int(before) + int(by)
        if _SMALLEST <= exact <= _LARGEST:
            return exact if exact != total else total
        if isinstance(before, int) and _SMALLEST <= by <= _LARGEST:
            raise OutOfRange("the sum is beyond 64 bits")
    return total


def number(text: bytes) -> Union[int, float]:
    """The number that a text is."""
    digits = text.lstrip(b"-")
    return int(text) if digits.isdigit() else float(text)


def _has_boolean(text: bytes) -> bool:
    return b"true" in text or b"false" in text


def _same(one: Any, other: Any) -> bool:
    """Whether values that are equal for Python are so for JSON."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict):
        return all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return all(map(_same, one, other))
    return True


def _finite(before: float, by: float) -> float:
    try:
        total = float(before) + float(by)
    except OverflowError:
        total = math.inf
    if not math.isfinite(total):
        raise OutOfRange("the sum is beyond double precision")
    return total
