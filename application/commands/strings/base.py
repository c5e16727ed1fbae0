"""What commands on bytes share: how a stored text is opened, and what conditions and lifetimes are.

Rule: the bytes that are opened are counted by the budget; a value that is made is within the bound.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

from application.budget import Budget
from application.byte_values import to_bytes, to_text
from domain.errors import TooLarge
from domain.store import Entry, Store


class Condition(NamedTuple):
    """What has to hold of the entry of a key for a command to change it."""

    is_present: Optional[bool] = None
    equals: Optional[bytes] = None

    def holds(self, before: Optional[Entry], budget: Budget) -> bool:
        """Whether it does."""
        if self.is_present is not None and (before is not None) != self.is_present:
            return False
        return self.equals is None or (
            before is not None and opened(before.text, budget) == self.equals
        )


class Lifetime(NamedTuple):
    """How long a key is to live: `seconds` from now, or up to an instant of the clock of the
    `wall`."""

    seconds: float
    wall: Optional[Callable[[], float]] = None

    def left(self) -> float:
        """Seconds from now; none left, or less, for an instant that is past."""
        return self.seconds - self.wall() if self.wall else self.seconds


def entry_of(text: bytes, lifetime: Optional[Lifetime]) -> Optional[Entry]:
    """The entry to store; None when its time is up already."""
    if lifetime is None:
        return Entry(text)
    left = lifetime.left()
    return Entry(text, left) if left > 0 else None


def opened(text: bytes, budget: Budget) -> bytes:
    """The bytes that a stored text stands for."""
    budget.convert(len(text))
    return to_bytes(text)


def checked(data: bytes, budget: Budget) -> bytes:
    """The text of a value that a command has made."""
    check_size(len(data), budget)
    return to_text(data)


def check_size(size: int, budget: Budget) -> None:
    """Raises `TooLarge` for a value of more bytes than one may have."""
    most = budget.limits.max_request_bytes
    if size > most:
        raise TooLarge(f"string exceeds maximum allowed size ({most}, max_request_bytes)")


def bytes_at(store: Store, key: str, budget: Budget) -> bytes:
    """The bytes of a key; none when it is missing."""
    text = store.get(key)
    return opened(text, budget) if text is not None else b""
