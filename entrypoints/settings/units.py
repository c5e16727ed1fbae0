"""Numbers with units as people type them: `90`, `1.5`, `30s`, `1h30m`, `512mb`.

Rule: it is one number, or numbers with units, which add up; digits are those of ASCII.
"""

from __future__ import annotations

import re
from typing import Mapping, Optional, Union

Units = Mapping[str, float]

NONE: Units = {}

TIMES: Units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
"""Seconds."""

SIZES: Units = {
    "b": 1,
    "k": 1 << 10,
    "kb": 1 << 10,
    "m": 1 << 20,
    "mb": 1 << 20,
    "g": 1 << 30,
    "gb": 1 << 30,
}
"""Bytes."""

_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_PART = re.compile(rf"({_DIGITS})\s*([a-z]+)\s*")
_PARTS = re.compile(rf"([+-]?)((?:{_PART.pattern})+)")
_NUMBER = re.compile(rf"([+-]?)({_DIGITS}(?:e[+-]?[0-9]+)?)")
_MAX_CHARACTERS = 60


def number_of(text: str, units: Units) -> Optional[Union[int, float]]:
    """The number that a text stands for; None for none, or with a unit that is not among `units`.
    It may be infinite."""
    text = text.strip().lower()
    found = _NUMBER.fullmatch(text) or _PARTS.fullmatch(text)
    if not found or len(text) > _MAX_CHARACTERS:
        return None
    sign, digits = found.group(1, 2)
    if found.re is _NUMBER:
        number = _number(digits)
    else:
        parts = _PART.findall(digits)
        if not all(unit in units for _, unit in parts):
            return None
        number = sum(_number(part) * units[unit] for part, unit in parts)
    return -number if sign == "-" else number


def _number(digits: str) -> Union[int, float]:
    return int(digits) if digits.isdigit() else float(digits)
