"""Compares what eviction keeps: our store against exact LRU and exact LFU, on made-up traces.

The rule it keeps: all get the same requests and hold as many keys, a miss stores the key, and the
figure is the share of requests that missed in the second half, when the cache had long been full.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, count
from typing import Protocol

from domain.evicting import EvictingStore
from domain.sizes import cost

KEYS = 100_000
REQUESTS = 1_000_000
TEXT = b"0" * 100


class Cache(Protocol):
    """Tells whether a key is there, and stores it if not."""

    def request(self, key: str) -> bool: ...


class Ours:
    """The store that the server runs with `--memory-policy evict`."""

    def __init__(self, size: int) -> None:
        self._store = EvictingStore(lambda: 0.0, size * cost(name(0), TEXT))

    def request(self, key: str) -> bool:
        if self._store.get(key) is not None:
            return True
        self._store.set(key, TEXT)
        return False


class Lru:
    """Removes the key whose last request is the longest ago."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: OrderedDict[str, None] = OrderedDict()

    def request(self, key: str) -> bool:
        if key in self._keys:
            self._keys.move_to_end(key)
            return True
        if len(self._keys) == self._size:
            self._keys.popitem(last=False)
        self._keys[key] = None
        return False


class Lfu:
    """Removes the key with the fewest requests since it came in, of these the oldest."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: dict[str, int] = {}
        self._by_count: dict[int, OrderedDict[str, None]] = {}

    def request(self, key: str) -> bool:
        hit = key in self._counts
        if not hit and len(self._counts) == self._size:
            fewest = min(self._by_count)
            removed, _ = self._by_count[fewest].popitem(last=False)
            del self._counts[removed]
            self._drop_if_empty(fewest)
        self._count(key)
        return hit

    def _count(self, key: str) -> None:
        before = self._counts.get(key, 0)
        if before:
            del self._by_count[before][key]
            self._drop_if_empty(before)
        self._counts[key] = before + 1
        self._by_count.setdefault(before + 1, OrderedDict())[key] = None

    def _drop_if_empty(self, times: int) -> None:
        if not self._by_count[times]:
            del self._by_count[times]


CACHES: dict[str, Callable[[int], Cache]] = {"ours": Ours, "LRU": Lru, "LFU": Lfu}


def name(number: int) -> str:
    """A key; all of one length."""
    return f"key:{number:09}"


def zipf(draw: random.Random, requests: int) -> Iterator[str]:
    """Keys of which the nth is asked for 1/n as often as the first."""
    weights = list(accumulate(1 / rank for rank in range(1, KEYS + 1)))
    return (name(number) for number in draw.choices(range(KEYS), cum_weights=weights, k=requests))


def shifting(draw: random.Random, requests: int) -> Iterator[str]:
    """The same, but which keys are the popular ones changes five times."""
    for part in range(5):
        for key in zipf(draw, requests // 5):
            yield name((int(key[4:]) + part * 20_000) % KEYS)


def scanned(draw: random.Random, requests: int) -> Iterator[str]:
    """The first, and through it run scans of 10,000 keys that are not requested again."""
    fresh = count(KEYS)
    for number, key in enumerate(zipf(draw, requests // 2)):
        yield key
        if number % 50_000 < 10_000:
            for _ in range(5):
                yield name(next(fresh))


TRACES = {"Zipf(1.0)": zipf, "Zipf(1.0), shifting": shifting, "Zipf(1.0) with scans": scanned}


def miss_ratio(cache: Cache, trace: Sequence[str]) -> float:
    """Misses a request, in the second half of the trace."""
    for key in trace[: len(trace) // 2]:
        cache.request(key)
    hits = Counter(map(cache.request, trace[len(trace) // 2 :]))
    return hits[False] / hits.total()


def main() -> None:
    """Print a table of miss ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eviction", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args()
    print(f"{'trace':24}{'keys held':>10}" + "".join(f"{cache:>9}" for cache in CACHES))
    for title, make in TRACES.items():
        trace = list(make(random.Random(1), options.requests))
        for share in (0.01, 0.1):
            size = int(KEYS * share)
            ratios = [miss_ratio(new(size), trace) for new in CACHES.values()]
            print(f"{title:24}{size:10,}" + "".join(f"{ratio:9.4f}" for ratio in ratios))


if __name__ == "__main__":
    main()
