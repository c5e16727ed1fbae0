"""Scans in the order of the keys' hashes.

Rule: where a page ends is a number below 2**64, which holds no key, and keys of one hash are on one
page. So a key that stays is on exactly one, whatever comes and goes between two pages.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from domain.errors import BadRequest

LEAST_HASH = -1 << 63


def first_by_hash(keys: List[str], least: int, room: int) -> Tuple[List[str], Optional[int]]:
    """About `room` of the keys, those with the least hashes from `least` on, in no order; and the
    hash of the next one, if any."""
    if least > LEAST_HASH:
        keys = [key for key in keys if hash(key) >= least]
    if len(keys) <= room:
        return keys, None
    ordered = sorted(keys, key=hash)
    end = max(room, 0)
    while 0 < end < len(ordered) and hash(ordered[end]) == hash(ordered[end - 1]):
        end += 1
    return ordered[:end], hash(ordered[end]) if end < len(ordered) else None


def number_of(cursor: str) -> int:
    """The number that a cursor is; raises `BadRequest`."""
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= 20:
        number = int(cursor)
        if number < 1 << 64:
            return number
    raise BadRequest("`cursor` is not one that a scan returned")
