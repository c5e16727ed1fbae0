"""What two JSON values have in common, and how one counts.

Rule: JSON decides, not Python: `true` is not 1, 1 is 1.0, and the order of members says nothing.
"""

from __future__ import annotations

import math
from typing import Any, Union

import msgspec

from application.exact_integers import exact
from domain.errors import NotANumber, OutOfRange

_decode = exact(msgspec.json.Decoder().decode)
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def same(one: bytes, other: bytes) -> bool:
    """Whether two texts are of the same JSON value."""
    return one == other or _same(_decode(one), _decode(other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def added(text: bytes, by: Union[int, float]) -> Union[int, float]:
    """The number that `text` is, and `by`; whole numbers stay whole and within 64 bits.

    Raises `NotANumber` and `OutOfRange`.
    """
    number = _decode(text)
    if type(number) not in (int, float):
        raise NotANumber("the value is not a number")
    if isinstance(number, float) or isinstance(by, float):
        return _finite(number, by)
    if not _SMALLEST <= number + by <= _LARGEST:
        raise OutOfRange("a whole number stays within 64 bits")
    return int(number + by)


def _finite(number: float, by: float) -> float:
    try:
        total = float(number) + float(by)
    except OverflowError:
        total = math.inf
    if not math.isfinite(total):
        raise OutOfRange("a number stays within double precision")
    return total
