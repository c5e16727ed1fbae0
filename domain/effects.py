"""What happened to the keys of a store, told after it happened.

Rule: a listener is called once a request (one method of a store, or one whole `atomically`) with
all of its effects in their order, expiry and eviction included. Replaying the effects into a dict
yields the store's contents. What is undone is never told.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import (
    Callable,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Union,
    runtime_checkable,
)


class Reason(enum.Enum):
    """Why a key was removed."""

    DELETED = "deleted"
    EXPIRED = "expired"
    EVICTED = "evicted"


class Put(NamedTuple):
    """A text was stored at a key; `due` is its deadline by the store's clock, None for never."""

    key: str
    text: bytes
    due: Optional[float] = None


class PutMany(NamedTuple):
    """Texts were stored at keys, which have one deadline. Whoever stored them may change `items`
    once the listeners have returned."""

    items: Mapping[str, bytes]
    due: Optional[float] = None


class Removed(NamedTuple):
    """A key that was there is gone."""

    key: str
    reason: Reason


@dataclass(frozen=True)
class Cleared:
    """Every key is gone."""


Effect = Union[Put, PutMany, Removed, Cleared]
Listener = Callable[[Sequence[Effect]], None]
"""Must neither raise nor use the store."""


@runtime_checkable
class Observable(Protocol):
    """A store that tells what happened to its keys."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Calls `listener` after each request that had effects, until the returned function is
        called; that has no effect the second time."""
        ...
