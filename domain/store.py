"""The port that a storage engine implements.

Rule: a store maps keys to JSON texts that it never opens. Every method is atomic: whoever else uses
the store sees all of its effect or none. A key whose time is up is gone for every method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import (
    Callable,
    Collection,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Tuple,
    TypeVar,
)

from domain.errors import BadRequest

R = TypeVar("R")


class Entry(NamedTuple):
    """What is kept at a key: the UTF-8 `bytes` of one JSON value, and the seconds left to it."""

    text: bytes
    ttl: Optional[float] = None


Change = Callable[[Optional[Entry]], Optional[Entry]]
"""Gives what shall be at a key for what is there: the same object to leave it, None for nothing."""


class Page(NamedTuple):
    """Some keys, and the cursor to go on from; None at the end."""

    keys: List[str]
    cursor: Optional[str]


@dataclass
class Stats:
    """How many keys are held; since the start, reads of a key that was there, of one that was not,
    keys whose time was up and keys removed to make room; bytes held and the bound on them, where
    they are counted."""

    keys: int
    hits: int = 0
    misses: int = 0
    expired: int = 0
    evicted: int = 0
    memory: Optional[int] = None
    max_memory: Optional[int] = None


def legal_ttl(seconds: float) -> float:
    """`seconds`, if a key can live that long; raises `BadRequest` otherwise."""
    if not 0 < seconds < math.inf:
        raise BadRequest("`ttl` must be a number of seconds above 0")
    return seconds


class Store(Protocol):
    """Keys are any `str`; texts are the UTF-8 `bytes` of one JSON value each."""

    def get(self, key: str) -> Optional[bytes]:
        """The text at `key`, or None when there is none."""
        ...

    def get_many(self, keys: Collection[str]) -> Dict[str, bytes]:
        """The texts of those of `keys` that are there, in their order."""
        ...

    def set(self, key: str, text: bytes) -> None:
        """Keep `text` at `key` for good, in place of whatever was there."""
        ...

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        """Keep every text of `items` at its key, for `ttl` seconds or for good."""
        ...

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        """Put what `change` makes of what is at `key` in its place; gives what was and what is.

        They are the same object when nothing was changed. If `change` raises, nothing was.
        """
        ...

    def delete(self, keys: Collection[str]) -> int:
        """Remove `keys`; how many of them were there."""
        ...

    def clear(self) -> int:
        """Remove every key; how many there were."""
        ...

    def count(self) -> int:
        """How many keys there are."""
        ...

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        """Up to `limit` of the keys that begin with `prefix`, from `cursor` on, or from the start.

        A key that is there from the first page to the last is on one of them. A page may be short
        or empty before the end. Raises `BadRequest` for a cursor that no page gave.
        """
        ...

    def atomically(self, work: Callable[[Store], R]) -> R:
        """What `work` gives for a view of this store. If it raises, all that it did is undone."""
        ...

    def stats(self) -> Stats:
        """Figures about the store, cheap enough to ask every second."""
        ...

    def expire(self, limit: int) -> int:
        """Remove keys whose time is up, up to `limit` of them; how many there were to deal with.

        Nothing that any other method gives depends on it, but `count` and `clear` have less to do.
        """
        ...

    def tidy(self) -> bool:
        """Do a little of the work that was put off, for a millisecond or so; whether more is left.

        Nothing that any other method gives depends on it.
        """
        ...
