"""Commands on the keys as a whole."""

from __future__ import annotations

from typing import List, Optional, Sequence

from msgspec import Struct

from application.budget import Budget
from application.commands.base import Command, register
from application.databases import MARK, visible
from application.json_text import json_size
from domain.errors import BadRequest
from domain.store import Store


@register
class Flush(Command[int], tag="FLUSH", gc=False):
    """Remove every key; the result is how many there were."""

    cost = 1000

    def run(self, store: Store, budget: Budget) -> int:
        return store.clear()

    def touches_keyspace(self) -> bool:
        return True


@register
class Count(Command[int], tag="COUNT", gc=False):
    """Return the number of keys."""

    readonly = True
    cost = 100

    def run(self, store: Store, budget: Budget) -> int:
        return store.count()

    def touches_keyspace(self) -> bool:
        return True


PAGE_BYTES = 1024 * 1024
"""How long a page of a scan gets, in bytes of JSON, if it has more than one key."""


class Keys(Struct, gc=False):
    """A page of a scan: some keys, and the cursor for the next page, null at the end."""

    keys: List[str]
    cursor: Optional[str]


@register
class Scan(Command[Keys], tag="SCAN", gc=False):
    """Return some of the keys, and a cursor to go on from, which is null at the end.

    A key that is there from the first page to the last is on one of them. A page may be short or
    empty before the end.
    """

    readonly = True
    cost = 1000

    prefix: str = ""
    cursor: Optional[str] = None
    limit: int = 100

    def run(self, store: Store, budget: Budget) -> Keys:
        if self.limit < 1:
            raise BadRequest("`limit` must be above 0")
        room = min(PAGE_BYTES, budget.limits.max_reply_bytes // 2)
        keys, cursor = store.scan(self.cursor, self.prefix, self.limit)
        fit = _count_that_fit(keys, room)
        if fit < len(keys):
            keys, cursor = store.scan(self.cursor, self.prefix, fit)
        return Keys(keys if self.prefix.startswith(MARK) else visible(keys), cursor)

    def shown_keys(self) -> None:
        return None


def _count_that_fit(keys: Sequence[str], room: int) -> int:
    """How many of the keys, at least one, fit into a page, whose cursor may hold the last of them
    once more."""
    size = 0
    for count, key in enumerate(keys):
        length = json_size(key)
        size += length + len(b",")
        if size + length > room and count:
            return count
    return len(keys)
