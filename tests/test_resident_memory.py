"""What a bounded store counts is what the process grows by, whatever its keys and however used."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from typing import Callable, Dict, Iterator

import msgspec
import pytest

from adapters.process import resident_memory
from domain.bounded import BoundedStore
from domain.errors import OutOfMemory
from domain.evicting import EvictingStore
from tests.support import ROOT, TIMEOUT

MB = 1 << 20
DAY = 86_400.0


def text() -> bytes:
    """A text, each time another object."""
    return b'"%20d"' % 1


def names(template: str) -> Iterator[str]:
    """Keys without end."""
    number = 0
    while True:
        yield template % number
        number += 1


def fill(store: BoundedStore, template: str, ttl: float = 0.0) -> int:
    """Stores keys until the bound is reached; returns how many."""
    evicted = store._evicted
    for count, key in enumerate(names(template)):
        if store._evicted > evicted:
            return count
        try:
            if ttl:
                store.set_many({key: text()}, ttl)
            else:
                store.set(key, text())
        except OutOfMemory:
            return count
    raise AssertionError


def encode(store: BoundedStore) -> None:
    """Makes Python keep the UTF-8 of each key, as SCAN does."""
    cursor = None
    while True:
        page = store.scan(cursor, "", 1000)
        msgspec.json.encode(page.keys)
        cursor = page.cursor
        if cursor is None:
            return


LONG_KEY, WIDE_KEY, SHORT_WIDE_KEY = "x" * 65_000 + "%d", "x" * 16_000 + "🗝%d", "x" * 50 + "🗝%08d"


def wide(template: str, store: BoundedStore) -> None:
    fill(store, template)
    encode(store)


def stored_again(template: str, store: BoundedStore) -> None:
    count = store._max_memory // (2 * len(template) + 1000)
    for turn in range(6):
        for number in range(count):
            store.set_many({template % number: text()}, DAY - 100 * turn)
            if turn % 3 == 2:
                store.set(template % number, text())


def deleted(template: str, store: BoundedStore) -> None:
    for _ in range(2):
        count = fill(store, template, DAY)
        store.delete([template % number for number in range(count)])


def deleted_before_others(store: BoundedStore) -> None:
    for turn in range(2):
        deleted(f"{turn}:%012d", store)
    fill(store, "other:%012d")


def deleted_without_ttl(template: str, store: BoundedStore) -> None:
    count = fill(store, template)
    store.delete([template % number for number in range(count)])


def read(template: str, store: BoundedStore) -> None:
    count = fill(store, template)
    for number in range(max(count, 10_500)):
        store.get(template % (number % count))


SCENARIOS: Dict[str, Callable[[BoundedStore], None]] = {
    "long": lambda store: wide(LONG_KEY, store),
    "wide": lambda store: wide(WIDE_KEY, store),
    "short and wide": lambda store: wide(SHORT_WIDE_KEY, store),
    "short-lived": lambda store: void(fill(store, "key:%012d", DAY)),
    "long and short-lived": lambda store: void(fill(store, LONG_KEY, DAY)),
    "stored again": lambda store: stored_again("key:%012d", store),
    "long, stored again": lambda store: stored_again(LONG_KEY, store),
    "deleted, others stored": deleted_before_others,
    "long, deleted": lambda store: deleted(LONG_KEY, store),
    "long, without a ttl, deleted": lambda store: deleted_without_ttl(LONG_KEY, store),
    "read": lambda store: read("key:%012d", store),
    "long, read": lambda store: read(LONG_KEY, store),
}


def void(_: object) -> None:
    """Drops a result."""


@pytest.mark.parametrize("policy", ["refuse", "evict"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_resident_growth_is_accounted_memory_within_a_fifth_of_the_bound(
    policy: str, scenario: str, long: bool
) -> None:
    size = (100 if long else 12) * MB
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_resident_memory", policy, scenario, str(size)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=10 * TIMEOUT,
        check=True,
    )
    grown, counted = map(int, done.stdout.split())
    print(f"{policy:7} {scenario:30} grown {grown / size:.3f}, counted {counted / size:.3f}")
    assert abs(grown - counted) < 0.2 * size


def main(policy: str, scenario: str, size: int) -> None:
    """Prints the growth of this process, and what the store counts."""
    kind = {"refuse": BoundedStore, "evict": EvictingStore}[policy]
    store = kind(time.monotonic, size)
    before = resident_memory()
    SCENARIOS[scenario](store)
    ctypes.CDLL(None).malloc_trim(0)  # what is freed, the C library may keep for a while
    print(resident_memory() - before, store.stats().memory)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
