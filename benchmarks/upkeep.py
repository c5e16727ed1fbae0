"""Times what a store does in steps: scans, expiry, freeing what was cleared.

The rule it keeps: steps are timed one by one and the longest counts, for that is how long a client
may have to wait for it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

from domain.memory import InMemoryStore

EXPIRING_A_SECOND = 100_000
LOOK = 0.1
"""Seconds between two looks at what has expired, as the server has them."""


def fill(store: InMemoryStore, keys: int) -> None:
    """Store many keys without a ttl."""
    for number in range(keys):
        store.set(f"key:{number:012}", b'"abcdefghijklmnopqrst"')


def timed(step: Callable[[], bool]) -> Iterator[float]:
    """How many milliseconds each call takes, as long as they say that there is more to do."""
    more = True
    while more:
        started = time.perf_counter()
        more = step()
        yield (time.perf_counter() - started) * 1e3


def scan_pages(store: InMemoryStore) -> Iterator[float]:
    """A scan that finds nothing, page by page."""
    cursor: list[str | None] = [None]

    def page() -> bool:
        cursor[0] = store.scan(cursor[0], "nothing", 100).cursor
        return cursor[0] is not None

    return timed(page)


def expiry_looks() -> Iterator[list[float]]:
    """The steps of each look, with `EXPIRING_A_SECOND` keys coming to their end all the time."""
    now = [0.0]
    store = InMemoryStore(lambda: now[0])
    for number in range(EXPIRING_A_SECOND * 5):
        store.set_many({f"key:{number:012}": b"1"}, ttl=(number + 1) / EXPIRING_A_SECOND)
    while store.count():
        now[0] += LOOK
        yield list(timed(store.run_maintenance))


def clearing_steps(store: InMemoryStore) -> Iterator[float]:
    """FLUSH itself, and then every step of freeing."""
    yield from timed(lambda: store.clear() < 0)
    yield from timed(store.run_maintenance)


def main() -> None:
    """Print the longest of each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upkeep", description=__doc__)
    parser.add_argument("--keys", type=int, default=5_000_000)
    options = parser.parse_args()
    store = InMemoryStore(time.monotonic)
    fill(store, options.keys)
    looks = list(expiry_looks())
    busy = max(map(sum, looks)) / (LOOK * 1e3)
    figures = {
        f"page of a scan over {options.keys:,} keys": max(scan_pages(store)),
        f"step of expiry, {EXPIRING_A_SECOND:,} keys a second": max(map(max, looks)),
        f"FLUSH of {options.keys:,} keys, or step of freeing": max(clearing_steps(store)),
    }
    for what, longest in figures.items():
        print(f"longest {what}: {longest:.1f} ms")
    print(f"time that expiry takes, at most: {busy:.0%} of one core")


if __name__ == "__main__":
    main()
