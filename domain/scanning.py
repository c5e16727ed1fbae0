"""Scans in the order of the keys' hashes.

Rule: where a page ends is a number below 2**64, which holds no key, and keys of one hash are on one
page. So a key that stays is on exactly one, whatever comes and goes between two pages.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

from domain.contents import MASK, SHARDS
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


def cursor_at(next_hash: int) -> str:
    """Points at a hash: the shard, which is the low bits, comes before the others."""
    return str((next_hash & MASK) * _SHARD_HASHES + (next_hash - LEAST_HASH) // SHARDS)


def position_of(cursor: Optional[str]) -> Tuple[int, int]:
    """The shard that a cursor points into, and the least hash to look at."""
    index, rest = divmod(0 if cursor is None else number_of(cursor), _SHARD_HASHES)
    return index, LEAST_HASH + rest * SHARDS


_SHARD_HASHES = (1 << 64) // SHARDS
