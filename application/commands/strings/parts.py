"""Commands on a part of the bytes of a key."""

from __future__ import annotations

from typing import Callable, Optional

from application.budget import Budget
from application.commands.base import OneKey, register
from application.commands.strings.base import bytes_at, check_size, checked, opened
from domain.store import Entry, Store


@register
class Append(OneKey[int], tag="APPEND", gc=False):
    """Add bytes to those of a key; returns how many it has then."""

    data: bytes

    def run(self, store: Store, budget: Budget) -> int:
        return _edited(store, self.key, budget, lambda before: before + self.data)


@register
class SetRange(OneKey[int], tag="SETRANGE", gc=False):
    """Replace the bytes of a key from an offset on; returns how many it has then."""

    offset: int
    data: bytes

    def run(self, store: Store, budget: Budget) -> int:
        if not self.data:
            return len(bytes_at(store, self.key, budget))
        size = self.offset + len(self.data)
        check_size(size, budget)
        budget.convert(size)
        return _edited(store, self.key, budget, self._replaced)

    def _replaced(self, before: bytes) -> bytes:
        begin = before[: self.offset].ljust(self.offset, b"\0")
        return begin + self.data + before[self.offset + len(self.data) :]


def _edited(store: Store, key: str, budget: Budget, edit: Callable[[bytes], bytes]) -> int:
    size = 0

    def change(before: Optional[Entry]) -> Optional[Entry]:
        nonlocal size
        data = opened(before.text, budget) if before else b""
        edited = edit(data)
        size = len(edited)
        if before and edited == data:
            return before
        return Entry(checked(edited, budget), before.ttl if before else None)

    store.update(key, change)
    return size


class CostlyBytes(bytes):
    """Bytes for which more was opened than their length tells: a turn looks at the clock."""


class GetRange(OneKey[bytes], gc=False):
    """Return the bytes of a key from one to another, both included; negative ones are counted from
    the end."""

    readonly = True

    start: int
    end: int

    def run(self, store: Store, budget: Budget) -> bytes:
        data = bytes_at(store, self.key, budget)
        start = max(0, self.start + len(data) if self.start < 0 else self.start)
        end = max(0, self.end + len(data) if self.end < 0 else self.end)
        if self.start < 0 and self.end < 0 and self.start > self.end:
            return CostlyBytes()
        return CostlyBytes(data[start : end + 1])


@register
class StrLen(OneKey[int], tag="STRLEN", gc=False):
    """Return how many bytes a key has."""

    readonly = True

    def run(self, store: Store, budget: Budget) -> int:
        return len(bytes_at(store, self.key, budget))
