"""Commands on all the keys of a database."""

from __future__ import annotations

from typing import Callable, Generator, List, Optional

from application.budget import Budget
from application.commands.base import Command, register
from application.commands.keyspace import Keys, Scan
from application.databases import PAGE_KEYS, Databases, page_of, pages_of, visible
from application.glob import Glob, glob
from application.snapshot_read import SteppedStore
from application.steps import finished
from domain.errors import TooLarge
from domain.store import Store


class InDatabase(Command[int], kw_only=False, gc=False):
    """A command on all the keys of the database whose keys begin with `prefix`."""

    prefix: str
    databases: Databases

    def touches_keyspace(self) -> bool:
        return True


@register
class CountKeys(InDatabase, tag="DBSIZE", gc=False):
    """Return how many keys a database has."""

    readonly = True
    cost = 100

    def run(self, store: Store, budget: Budget) -> int:
        return self.databases.count(store, self.prefix, budget)

    def run_in_steps(self, store: SteppedStore, budget: Budget) -> Generator[None, None, int]:
        return self.databases.count_in_steps(store, self.prefix)


@register
class ClearKeys(InDatabase, tag="FLUSHDB", gc=False):
    """Remove every key of a database."""

    cost = 1000

    def run(self, store: Store, budget: Budget) -> int:
        return self.databases.clear(store, self.prefix, budget)

    def run_in_steps(self, store: SteppedStore, budget: Budget) -> Generator[None, None, int]:
        return self.databases.clear_in_steps(store, self.prefix, budget)


@register
class MatchingKeys(Command[List[str]], tag="KEYS", kw_only=False, gc=False):
    """Return the keys of a database that match a pattern, all at once; refused when the store has
    more keys than a request may name."""

    readonly = True
    cost = 1000

    prefix: str
    pattern: str

    def run(self, store: Store, budget: Budget) -> List[str]:
        n_keys, most = store.stats().keys, budget.limits.max_keys_per_request
        if n_keys > most:
            raise TooLarge(f"KEYS looks at {n_keys} keys; at most {most} (max_keys_per_request)")
        pattern, budget = glob(self.pattern), budget.parts()
        budget.open(pattern.cost)
        found: List[str] = []
        for keys in pages_of(store, self.prefix, pattern.literal_prefix):
            budget.open(pattern.matching_cost(keys))
            some = _matching(pattern, keys, self.prefix)
            budget.reply(sum(map(_bytes_of, some)))
            found += some
        return found

    def touches_keyspace(self) -> bool:
        return True


@register
class ScanMatching(Command[Keys], tag="SCAN", kw_only=False, gc=False):
    """Return some of the keys of a database that match a pattern."""

    readonly = True
    cost = 1000

    prefix: str
    pattern: str
    cursor: Optional[str]

    def shown_keys(self) -> None:
        return None

    def run(self, store: Store, budget: Budget) -> Keys:
        pattern = glob(self.pattern)
        prefix = self.prefix + pattern.literal_prefix
        page = Scan(prefix=prefix, cursor=self.cursor, limit=MAX_PAGE_KEYS).run(store, budget)
        keys = page.keys if self.prefix else visible(page.keys)
        budget.open(pattern.cost + pattern.matching_cost(keys))
        return Keys(_matching(pattern, keys, self.prefix), page.cursor)


def _bytes_of(key: str) -> int:
    return len(key) if key.isascii() else len(key.encode())


def _matching(pattern: Glob, keys: List[str], prefix: str) -> List[str]:
    """Those of the keys that match, without the prefix of their database."""
    skip = len(prefix)
    return [key[skip:] for key in keys if pattern.matches(key[skip:])]


MAX_PAGE_KEYS = 100_000
"""So many keys are on a page at the most: it ends before, by its length or the store's bound."""


@register
class RandomKey(Command[Optional[str]], tag="RANDOMKEY", kw_only=False, gc=False):
    """Return one of the keys of a database, which `choose` chooses among the first of them."""

    readonly = True
    cost = 100

    prefix: str
    choose: Callable[[List[str]], str]

    def shown_keys(self) -> None:
        return None

    def touches_keyspace(self) -> bool:
        """Others than the first database may have few keys among many."""
        return bool(self.prefix)

    def run(self, store: Store, budget: Budget) -> Optional[str]:
        return finished(self._choose_in_steps(store, budget))

    def run_in_steps(
        self, store: SteppedStore, budget: Budget
    ) -> Generator[None, None, Optional[str]]:
        return self._choose_in_steps(store, budget)

    def _choose_in_steps(
        self, store: Store, budget: Budget
    ) -> Generator[None, None, Optional[str]]:
        found: List[str] = []
        cursor: Optional[str] = None
        while True:
            keys, cursor = page_of(store, self.prefix, cursor, "", PAGE_KEYS)
            found += keys
            if cursor is None or len(found) >= _FIRST:
                return self._chosen(found[:_FIRST])
            budget.convert(_PAGE_BYTES)
            yield

    def _chosen(self, keys: List[str]) -> Optional[str]:
        return self.choose([key[len(self.prefix) :] for key in keys]) if keys else None


_FIRST = 1000
"""How many keys one is chosen among."""

_PAGE_BYTES = 128 * 1024
"""What a page counts for that has too few keys of the database, of the bytes that a transaction
works on: the store may look at many for it."""
