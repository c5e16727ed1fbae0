"""What the objects that a store keeps take, in bytes, as CPython lays them out.

Rule: a size depends on nothing but the key's or text's own characters, so that what was added for
it when it came is subtracted when it goes.
"""

from __future__ import annotations

from sys import getsizeof
from typing import Collection, Iterable

ASCII_HEADER = getsizeof("")
BYTES_HEADER = getsizeof(b"")
WIDE_HEADER = getsizeof(chr(256)) - 2 * len("\u0100\0")

OVERHEAD = 64
"""A key's slot in its dict, the allocator's rounding, and what eviction keeps of it."""

DEADLINE = 216
"""A key's ttl: two tuples and a number or two, and its place in the heap."""

STALE = 112
"""An entry of a heap that is no key's deadline any more, without the key in it."""

_COST = BYTES_HEADER + OVERHEAD
_ASCII_COST = ASCII_HEADER + _COST
"""What a key and its text count for beside their characters and bytes."""


def key_size(key: str) -> int:
    """The bytes of a key, with the UTF-8 that Python keeps beside one that is not ASCII from the
    first time that it is encoded."""
    if key.isascii():
        return ASCII_HEADER + len(key)
    utf8 = len(key.encode("utf-8", "surrogatepass"))
    return WIDE_HEADER + _width(key) * (len(key) + 1) + utf8 + 1


def cost(key: str, text: bytes) -> int:
    """The bytes that a key and its text count for, without a deadline."""
    if key.isascii():
        return _ASCII_COST + len(key) + len(text)
    return key_size(key) + _COST + len(text)


def costs(keys: Collection[str], texts: Iterable[bytes]) -> int:
    """The bytes that keys and their texts count for together, without deadlines."""
    together = "".join(keys)
    if together.isascii():
        sizes = len(keys) * ASCII_HEADER + len(together)
    else:
        sizes = sum(map(key_size, keys))
    return sizes + len(keys) * _COST + sum(map(len, texts))


def _width(key: str) -> int:
    """The bytes that each character of a key takes that is not ASCII."""
    if len(key.encode("utf-16-le", "surrogatepass")) > 2 * len(key):
        return 4
    try:
        key.encode("latin-1")
    except UnicodeEncodeError:
        return 2
    return 1
