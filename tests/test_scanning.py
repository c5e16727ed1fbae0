"""Scans in memory: their cursors are short numbers, whatever the keys are."""

from __future__ import annotations

import contextlib
import random
from typing import Callable, Dict, Iterator, List, Optional, Set

import pytest
from dependency_injector import providers

from domain import memory, scanning
from domain.contents import MASK, SHARDS
from domain.memory import InMemoryStore
from domain.scanning import LEAST_HASH, cursor_at, first_by_hash, position_of
from domain.store import Page, Store
from sqlite_store import SqliteStore
from tests.support import Clock, answer, server_container
from tests.test_resp import conversation, request

FEW_HASHES: Dict[str, int] = {f"k{at}": (at % 7 - 3) * SHARDS + at % 2 for at in range(40)}
"""Keys that have a few hashes between them, in two shards."""


@pytest.fixture
def with_few_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, scanning):
        monkeypatch.setattr(module, "hash", FEW_HASHES.__getitem__, raising=False)


def pages(store: Store, limit: int) -> Iterator[List[str]]:
    cursor: Optional[str] = None
    while True:
        page = store.scan(cursor, "", limit)
        yield page.keys
        if page.cursor is None:
            return
        cursor = page.cursor
        assert 0 < int(cursor) < 1 << 64


@pytest.mark.usefixtures("with_few_hashes")
@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_keys_of_one_hash_are_on_one_page(limit: int) -> None:
    store = InMemoryStore(Clock())
    store.set_many(dict.fromkeys(FEW_HASHES, b"1"))
    seen: Set[int] = set()
    found: List[str] = []
    for keys in pages(store, limit):
        hashes = {FEW_HASHES[key] for key in keys}
        assert not hashes & seen
        assert len(hashes) <= limit
        seen |= hashes
        found += keys
    assert sorted(found) == sorted(FEW_HASHES)


@pytest.mark.usefixtures("with_few_hashes")
def test_a_page_is_longer_by_the_keys_of_its_last_hash() -> None:
    keys = ["k0", "k14", "k28", "k1"]
    assert first_by_hash(keys, LEAST_HASH, 2) == (keys[:3], FEW_HASHES["k1"])
    assert first_by_hash(keys, LEAST_HASH, 0) == ([], FEW_HASHES["k0"])
    assert first_by_hash(keys, LEAST_HASH, -1) == ([], FEW_HASHES["k0"])
    assert first_by_hash(keys, FEW_HASHES["k1"], 9) == (["k1"], None)


@pytest.mark.parametrize("next_hash", [LEAST_HASH, LEAST_HASH + 1, -2, 0, 1023, (1 << 63) - 1])
def test_a_cursor_points_at_the_hash_that_it_is_of(next_hash: int) -> None:
    cursor = cursor_at(next_hash)
    assert int(cursor) < 1 << 64
    index, least = position_of(cursor)
    assert index == next_hash & MASK
    assert least + index == next_hash


def test_a_key_that_stays_is_on_exactly_one_page_whatever_happens_to_others() -> None:
    clock, rng = Clock(), random.Random(5)
    store = InMemoryStore(clock)
    kept = [f"kept:{at}" for at in range(3000)]
    store.set_many(dict.fromkeys(kept, b"1"))
    store.set_many({f"brief:{at}": b"1" for at in range(3000)}, ttl=50)
    found: List[str] = []
    for keys in pages(store, 70):
        found += [key for key in keys if key.startswith("kept")]
        clock.now += 1
        store.set_many({f"new:{rng.random()}": b"1" for _ in range(300)})
        store.delete([key for key in keys if key.startswith("new")])
    assert sorted(found) == sorted(kept)


def scanned_by_resp(ask: Callable[[bytes], bytes], bits: int = 64) -> List[str]:
    """All keys, by a client that reads a cursor as so many bits without a sign."""
    cursor, keys = b"0", []
    while True:
        _, _, cursor, _, *parts = ask(request(b"SCAN", cursor)).split(b"\r\n")
        keys += [part.decode() for part in parts[1::2]]
        if cursor == b"0":
            return keys
        assert int(cursor) < 1 << bits


@pytest.mark.parametrize(("length", "count"), [(1, 90), (300, 8000), (2000, 2000), (60_000, 60)])
def test_a_cursor_of_resp_has_64_bits_however_long_the_keys_are(length: int, count: int) -> None:
    keys = [chr(33 + at) if length == 1 else f"{at:06}".ljust(length, "x") for at in range(count)]
    container = server_container()
    container.store().set_many(dict.fromkeys(keys, b"1"))
    talk = conversation(container)
    found = scanned_by_resp(lambda sent: answer(talk, [sent]))
    assert sorted(found) == sorted(keys)


def test_the_cursor_of_an_engine_that_is_no_number_becomes_a_longer_one() -> None:
    container = server_container()
    with contextlib.closing(SqliteStore.open(":memory:", Clock())) as store:
        container.store.override(providers.Object(store))
        keys = [f"{at:04}".ljust(1500, "x") for at in range(1000)]
        store.set_many(dict.fromkeys(keys, b"1"))
        talk = conversation(container)
        assert sorted(scanned_by_resp(lambda sent: answer(talk, [sent]), 13_000)) == keys
        store.clear()
        store.set_many(dict.fromkeys([f"{at:04}".ljust(5000, "x") for at in range(300)], b"1"))
        assert b"too long to be a number" in answer(talk, [request(b"SCAN", b"0")])


class CountingStore(InMemoryStore):
    scans = 0

    def scan(self, cursor: Optional[str], prefix: str, limit: int) -> Page:
        self.scans += 1
        return super().scan(cursor, prefix, limit)


def test_keys_that_are_too_long_for_a_reply_are_refused_before_all_are_looked_at() -> None:
    container = server_container(max_request_bytes=10_000, max_reply_bytes=20_000)
    store = CountingStore(Clock())
    container.store.override(providers.Object(store))
    store.set_many({f"{at:05}".ljust(30, "x"): b"1" for at in range(15_000)})
    said = answer(conversation(container), [request(b"KEYS", b"*")])
    assert b"(max_reply_bytes)" in said
    assert store.scans == 1
