"""Commands on keys, whatever their bytes are."""

from __future__ import annotations

from typing import Any, Callable, Collection, Dict, Optional

from application.budget import Budget
from application.commands.base import Command, ManyKeys, OneKey, changed, register
from application.commands.strings.base import Lifetime
from application.databases import Databases
from domain.errors import BadRequest
from domain.store import Entry, Store

SAME = 0.0005
"""Seconds by which two ttls of one deadline may differ, since they are looked at one after another:
half of what deadlines are told in."""

EXPIRE_CONDITIONS: Dict[str, Callable[[Optional[float], float], bool]] = {
    "nx": lambda before, left: before is None,
    "xx": lambda before, left: before is not None,
    "gt": lambda before, left: before is not None and left > before + SAME,
    "lt": lambda before, left: before is None or left < before - SAME,
}
"""What the ttl that a key has, and the one that it is to get, have to be."""


class ExpireBytes(OneKey[bool], gc=False):
    """Set how long a key lives, if all of `conditions` hold, by their names."""

    is_quick = True

    lifetime: Lifetime
    conditions: Collection[str] = ()

    def run(self, store: Store, budget: Budget) -> bool:
        left = self.lifetime.left()
        conditions = [EXPIRE_CONDITIONS[each] for each in self.conditions]

        def change(before: Optional[Entry]) -> Optional[Entry]:
            if before is None or not all(holds(before.ttl, left) for holds in conditions):
                return before
            return Entry(before.text, left) if left > 0 else None

        return changed(store, self.key, change)


class ExpireTime(OneKey[Optional[float]], gc=False):
    """Return the instant of the clock on the wall at which a key expires, -1 when it never does,
    -2 when it is missing."""

    readonly = True

    wall: Callable[[], float]

    def run(self, store: Store, budget: Budget) -> float:
        entry, _ = store.update(self.key, lambda before: before)
        if entry is None:
            return -2
        return -1 if entry.ttl is None else self.wall() + entry.ttl


class CountExisting(ManyKeys[int], gc=False):
    """Return how many of the keys are there; one that is named twice counts twice."""

    readonly = True
    has_one_text = True

    def run(self, store: Store, budget: Budget) -> int:
        texts = store.get_many(self.keys)
        return len(texts) - texts.count(None)


@register
class Describe(OneKey[Any], tag="OBJECT", gc=False):
    """Return what `describe` tells of a key and its text; None when it is missing."""

    readonly = True

    describe: Callable[[str, bytes], Any]

    def run(self, store: Store, budget: Budget) -> Any:
        text = store.get(self.key)
        return None if text is None else self.describe(self.key, text)


class FromTo(Command[bool], kw_only=False, gc=False):
    """A command that stores the value and ttl of one key at another."""

    is_quick = True

    source: str
    target: str

    def run(self, store: Store, budget: Budget) -> bool:
        return store.atomically(lambda store: self.transfer(store, budget))

    def transfer(self, store: Store, budget: Budget) -> bool:
        """Do it, with nothing in between."""
        raise NotImplementedError

    def named_keys(self) -> Collection[str]:
        return (self.source, self.target)


@register
class Rename(FromTo, tag="RENAME", gc=False):
    """Move a key's value and ttl to another key; false if that must be absent, and is not."""

    if_absent: bool = False

    def transfer(self, store: Store, budget: Budget) -> bool:
        entry, _ = store.update(self.source, lambda before: before)
        if entry is None:
            raise BadRequest("no such key")
        if self.if_absent and store.get(self.target) is not None:
            return False
        if self.source != self.target:
            store.delete((self.source,))
            store.update(self.target, lambda _: entry)
        return True


@register
class Copy(FromTo, tag="COPY", gc=False):
    """Copy a key's value and ttl to another key, which must be absent unless it is replaced, and
    may be of another of the databases."""

    databases: Databases
    replace: bool = False

    def transfer(self, store: Store, budget: Budget) -> bool:
        entry, _ = store.update(self.source, lambda before: before)
        if entry is None or (not self.replace and store.get(self.target) is not None):
            return False
        budget.convert(len(entry.text))
        self.databases.expect(self.target)
        store.update(self.target, lambda _: entry)
        return True
