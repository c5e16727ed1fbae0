"""The port that a storage engine implements.

Rule: a store maps keys to JSON texts that it never opens. Every method is atomic: other users of
the store see all of its effect or none. An expired key is gone for every method.
"""

from __future__ import annotations

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
    runtime_checkable,
)

from domain.errors import BadRequest

R = TypeVar("R")

MAX_TTL = 9 * 10**12
"""The most seconds that a key may have left, 285,000 years: in milliseconds, and as an instant on
the wall's clock, they are whole numbers of 53 bits, which every protocol and engine has."""


class Entry(NamedTuple):
    """The value of a key: the UTF-8 `bytes` of one JSON value, and the seconds left to it."""

    text: bytes
    ttl: Optional[float] = None


Change = Callable[[Optional[Entry]], Optional[Entry]]
"""Maps the current entry (None if absent) to the new one; returns the same object to change
nothing, None to delete. A store that does not lock calls it again when the entry has changed."""


class Page(NamedTuple):
    """Some keys, and the cursor to go on from; None at the end."""

    keys: List[str]
    cursor: Optional[str]


class ShardCopy(NamedTuple):
    """Some of the keys of a store: texts, and texts with their deadlines by the store's clock."""

    texts: Dict[str, bytes]
    timed: Dict[str, Tuple[bytes, float]]


class Traits(NamedTuple):
    """What a store is: whether its methods wait, so that other greenlets run meanwhile."""

    blocks: bool


@dataclass
class Stats:
    """The number of keys; since the start, reads that found a key and that did not, keys that
    expired and keys that were evicted; bytes in use and their bound, where they are counted."""

    keys: int
    hits: int = 0
    misses: int = 0
    expired: int = 0
    evicted: int = 0
    memory: Optional[int] = None
    max_memory: Optional[int] = None


def legal_ttl(seconds: float) -> float:
    """`seconds`, if a key can live that long; raises `BadRequest` otherwise."""
    if not 0 < seconds <= MAX_TTL:
        raise BadRequest(f"`ttl` must be a number of seconds above 0, at most {MAX_TTL:,}")
    return seconds


class Store(Protocol):
    """Keys are any `str`; texts are the UTF-8 `bytes` of one JSON value each."""

    @property
    def traits(self) -> Traits:
        """The same for as long as the store lives."""
        ...

    def get(self, key: str) -> Optional[bytes]:
        """The text at `key`, or None when there is none."""
        ...

    def get_many(self, keys: Collection[str]) -> List[Optional[bytes]]:
        """The text at each of `keys`, in their order, None where there is none."""
        ...

    def set(self, key: str, text: bytes) -> None:
        """Stores `text` at `key`, without a ttl, in place of what was there."""
        ...

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        """Stores every text of `items` at its key, for `ttl` seconds if it is given, which are at
        most `MAX_TTL`."""
        ...

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        """Replaces the entry at `key` by what `change` returns for it; returns both.

        They are the same object when nothing changed. If `change` raises, nothing did.
        """
        ...

    def delete(self, keys: Collection[str]) -> int:
        """Removes `keys`; returns how many of them were there."""
        ...

    def clear(self) -> int:
        """Removes every key; returns how many there were."""
        ...

    def count(self) -> int:
        """How many keys there are."""
        ...

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        """Up to `limit` of the keys that begin with `prefix`, from `cursor` on, or from the start.

        A key that is there from the first page to the last is on one of them. A page may be short
        or empty before the end. Raises `BadRequest` for a cursor that no page returned.
        """
        ...

    def atomically(self, work: Callable[[Store], R]) -> R:
        """Returns what `work` returns for a store like this one. If it raises, all that it did is
        undone. Within `work`, `atomically` belongs to the outer one. A store that does not lock
        calls it again when others have changed what it read; only the last call has an effect."""
        ...

    def stats(self) -> Stats:
        """Figures about the store, cheap enough to ask every second."""
        ...


@runtime_checkable
class Maintained(Protocol):
    """A store with work to do in the background. No result of a `Store`'s method depends on it."""

    def expire_due(self, limit: int) -> int:
        """Deals with up to `limit` deadlines that have passed; returns how many there were.

        When it returns less, every key that was due at one instant of this call is gone.
        """
        ...

    def run_maintenance(self) -> bool:
        """Works for about a millisecond; returns whether there is more to do."""
        ...


@runtime_checkable
class Restorable(Protocol):
    """A store whose contents can be taken out shard by shard, and put back."""

    def copy_shard(self, index: int) -> Optional[ShardCopy]:
        """The keys of one of the shards that a store's keys are spread over, counted from 0; None
        behind the last. A key is in the same shard for as long as the store lives."""
        ...

    def restore(self, items: Mapping[str, bytes], due: Optional[float] = None) -> None:
        """Stores texts, due at a time by the store's clock; unlike `set_many` within no bound on
        memory, so that what was stored once can be put back in any order."""
        ...

    def fit(self) -> bool:
        """Removes some of what was restored beyond the bound, if that is the policy; returns
        whether there is more to remove."""
        ...
