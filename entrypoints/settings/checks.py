"""Checks of the options of Python's calls, which are those of the command line by the same names.

Rule: an option that cannot be meant is refused with an error that names it, before anything is
connected or started. This module imports no command line.
"""

from __future__ import annotations

import codecs
import math
from typing import Any, Mapping

import msgspec

from application.gate import MAX_PASSWORD_BYTES
from application.json_wording import in_json_words
from entrypoints.settings.ranges import Range


def check_values(options: Mapping[str, Any], kind: Any, ranges: Mapping[str, Range]) -> None:
    """Raise `TypeError` for an option that is not in `kind`, a `TypedDict`, and `ValueError` for
    one of another type or out of its range."""
    unknown = options.keys() - kind.__annotations__
    if unknown:
        raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
    try:
        msgspec.convert(dict(options), kind)
    except msgspec.ValidationError as error:
        raise ValueError(in_json_words(str(error))) from None
    for name, range in ranges.items():
        if name in options and not range.holds(options[name]):
            raise ValueError(f"{name}={options[name]!r:.100} is not {range}")


def check_port(port: object, range: Range) -> None:
    """Raise `ValueError` for what is no port."""
    if type(port) is not int or not range.holds(port):
        raise ValueError(f"port={port!r:.100} is not an integer {range}")


def check_password(password: str) -> None:
    """Raise `ValueError` for a password that is too long for a client to send."""
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise ValueError(f"it is longer than {MAX_PASSWORD_BYTES:,} bytes")


def check_above_0(most: float = math.inf, **numbers: Any) -> None:
    """Raise `ValueError` for an argument that is no finite number above 0, or over `most`."""
    for name, number in numbers.items():
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not (is_number and 0 < number <= most and number < math.inf):
            bound = f", at most {most:,}" if most < math.inf else ""
            raise ValueError(f"{name}={number!r:.100} is not a finite number above 0{bound}")


def refuse_byte_order_mark(start: bytes) -> None:
    """Raise `ValueError` if what a file begins with is a byte order mark."""
    if start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it begins with a byte order mark; save it without one")
