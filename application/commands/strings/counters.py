"""Counters, whose numbers are within the bounds of Redis's."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import Optional

from application.budget import Budget
from application.byte_values import to_text
from application.commands.base import OneKey, register
from application.commands.strings.base import opened
from domain.errors import NotANumber, OutOfRange
from domain.store import Entry, Store

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

MAX_TEXT = 1024
"""Bytes of a stored text, beyond which it is no integer, however it is escaped or encoded."""

_NO_INTEGER = "value is not an integer or out of range"

is_integer = re.compile(rb"0|-?[1-9][0-9]{0,18}").fullmatch
"""Whether bytes are a whole number as one writes it; it may be beyond 64 bits still."""

_is_decimal = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?").fullmatch
MAX_DECIMAL = 400
"""Bytes of a number, at the most: more than one has that is written here."""

_EXACT = Context(prec=MAX_DECIMAL)
_PLACES = Decimal(1).scaleb(-17)
_MOST_DIGITS = 309
"""Before the point; so many has the largest double."""


class IncrBy(OneKey[int], gc=False):
    """Add to the whole number that the bytes of a key are, or to 0."""

    is_quick = True

    by: int

    def run(self, store: Store, budget: Budget) -> int:
        total = 0

        def change(before: Optional[Entry]) -> Entry:
            nonlocal total
            if before and len(before.text) > MAX_TEXT:
                raise NotANumber(_NO_INTEGER)
            data = opened(before.text, budget) if before else b"0"
            total = integer(data) + self.by
            if not MIN_INTEGER <= total <= MAX_INTEGER:
                raise OutOfRange("increment or decrement would overflow")
            return Entry(b"%d" % total, before.ttl if before else None)

        store.update(self.key, change)
        return total


def integer(data: bytes) -> int:
    """The whole number of 64 bits that bytes are; raises `NotANumber`."""
    number = int(data) if is_integer(data) else MAX_INTEGER + 1
    if not MIN_INTEGER <= number <= MAX_INTEGER:
        raise NotANumber(_NO_INTEGER)
    return number


@register
class IncrByFloat(OneKey[bytes], tag="INCRBYFLOAT", gc=False):
    """Add to the number that the bytes of a key are, or to 0; to 17 places."""

    by: Decimal

    def run(self, store: Store, budget: Budget) -> bytes:
        total = b""

        def change(before: Optional[Entry]) -> Entry:
            nonlocal total
            data = opened(before.text, budget) if before else b"0"
            number = _EXACT.add(decimal(data), self.by)
            if not _is_in_range(number):
                raise OutOfRange("increment would produce NaN or Infinity")
            total = _plain(number)
            return Entry(to_text(total), before.ttl if before else None)

        store.update(self.key, change)
        return total


def decimal(data: bytes) -> Decimal:
    """The number that bytes are; raises `NotANumber`."""
    is_number = len(data) <= MAX_DECIMAL and _is_decimal(data)
    number = Decimal(data.decode() if is_number else "NaN")
    if not _is_in_range(number):
        raise NotANumber("value is not a valid float")
    return number


def _is_in_range(number: Decimal) -> bool:
    return number.is_finite() and number.adjusted() < _MOST_DIGITS


def _plain(number: Decimal) -> bytes:
    if number.as_tuple().exponent < -17:  # type: ignore[operator]  # finite, so an int
        number = number.quantize(_PLACES, context=_EXACT)
    digits = f"{number:f}"
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return (digits if digits != "-0" else "0").encode()
