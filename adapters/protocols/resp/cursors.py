"""The cursors of SCAN.

Rule: a Redis cursor is a number, 0 at the beginning and at the end; a store's is a text. Each text
has a number of its own: the one that it is, if it is one of 64 bits, which any client takes.
"""

from __future__ import annotations

from typing import Optional

from domain.errors import BadRequest, TooLarge

_WIDE = 1 << 64
"""A number below this stands for the text that it is."""

_MARK = b"\1" + bytes(8)
"""Before the characters of another text: as a number, they are not below that."""

MAX_CURSOR = 1_600
"""How long such a one may be, in bytes; it has about 2.4 digits a byte then."""

_MAX_DIGITS = 4_000


def cursor_of(argument: bytes) -> Optional[str]:
    """The store's cursor that a number stands for; raises `BadRequest` for any other argument."""
    if not argument.isdigit() or len(argument) > _MAX_DIGITS:
        raise BadRequest(_INVALID)
    number = int(argument)
    if number < _WIDE:
        return str(number) if number else None
    data = number.to_bytes(-(-number.bit_length() // 8), "big")
    try:
        return data[len(_MARK) :].decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise BadRequest(_INVALID) from None


def number_of(cursor: Optional[str]) -> int:
    """The number that stands for a store's cursor; raises `TooLarge` for one that is too long."""
    if cursor is None:
        return 0
    is_number = cursor.isascii() and cursor.isdigit() and cursor[0] != "0" and len(cursor) <= 20
    if is_number and int(cursor) < _WIDE:
        return int(cursor)
    data = cursor.encode("utf-8", "surrogatepass")
    if len(data) > MAX_CURSOR:
        raise TooLarge("the store's cursor is too long to be a number")
    return int.from_bytes(_MARK + data, "big")


_INVALID = "invalid cursor"
