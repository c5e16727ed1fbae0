"""No single step of any request in JSON lines takes long, whatever is stored and over whichever
store. The table that this prints is the first that docs/security.md shows.
"""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict, Iterator, List

import pytest

from application.commands import NAMES
from application.executor import LocalExecutor
from application.limits import Limits
from domain.bounded import BoundedStore
from domain.evicting import EvictingStore
from domain.memory import InMemoryStore
from tests.support import session_of
from tests.torture.steps import DOCUMENTS, KEYS, LARGE, MIB, VALUE, least, longest_step, print_table

KEY_COST = 200
"""Bytes that one of our small keys counts for, about."""

STORES: Dict[str, Callable[[int], InMemoryStore]] = {
    "unbounded": lambda keys: InMemoryStore(time.monotonic),
    "refuse": lambda keys: BoundedStore(time.monotonic, keys * KEY_COST + 64 * MIB),
    "evict": lambda keys: EvictingStore(time.monotonic, keys * KEY_COST),
}


class Server:
    """A session on a store with many small keys."""

    def __init__(self, kind: str, keys: int) -> None:
        self.store = STORES[kind](keys)
        self.session = session_of(LocalExecutor(self.store, Limits()))
        self._keys = keys
        self.fill()

    def fill(self) -> None:
        """Make up for keys that are gone; free what was cleared."""
        while self.store.run_maintenance():
            pass
        for start in range(0, self._keys, 1000):
            names = [f"key:{number:012}" for number in range(start, start + 1000)]
            if not all(self.store.get_many(names)):
                self.store.set_many(dict.fromkeys(names, VALUE))

    def longest_step(self, line: bytes) -> float:
        """Milliseconds on the processor of the longest step that a request takes."""
        longest, replies = longest_step(self.session, line)
        assert replies.count(b"\n") == line.count(b"\n")
        return longest


def request(type: str, **members: Any) -> bytes:
    return json.dumps({"type": type, **members}, separators=(",", ":")).encode() + b"\n"


def setting(document: bytes, command: bytes = b'"SET"') -> bytes:
    return b'{"type":%b,"key":"document","value":%b}\n' % (command, document)


def spaced(document: bytes) -> bytes:
    """The same value, in a text that is another."""
    return document[:-1] + b" " + document[-1:]


def many(count: int, name: str = "new") -> List[str]:
    return [f"{name}:{number:08}" for number in range(count)]


def batch(commands: List[Dict[str, Any]]) -> bytes:
    return request("BATCH", commands=commands)


def sets(count: int, **members: Any) -> List[Dict[str, Any]]:
    value = VALUE.decode()[1:-1]
    return [{"type": "SET", "key": key, "value": value, **members} for key in many(count)]


def costly_requests() -> Iterator[Any]:
    """What it is, what comes before it, and the request."""
    large, half = LARGE, MIB // 2 - 100
    for name, make in DOCUMENTS.items():
        yield f"SET of 3.5 MiB: {name}", b"", setting(make(large))
    document = setting(DOCUMENTS["empty arrays"](large))
    yield "GETSET of 3.5 MiB", b"", setting(DOCUMENTS["objects"](large), b'"GETSET"')
    yield "INCR of 3.5 MiB", document, request("INCR", key="document")
    yield "DELETE if_equals 0, of 3.5 MiB", document, request("DELETE", key="document", if_equals=0)
    yield (
        "SET if_equals [], of 3.5 MiB",
        document,
        request("SET", key="document", value=1, if_equals=[]),
    )
    other = b'{"type":"DELETE","key":"document","if_equals":%b}\n'
    for name in ("objects", "deep arrays", "integers"):
        text = DOCUMENTS[name](large)
        yield f"DELETE if_equals, of twice 3.5 MiB: {name}", setting(text), other % spaced(text)
    for name, make in DOCUMENTS.items():
        text = make(half)
        yield f"DELETE if_equals, of twice 512 KiB: {name}", setting(text), other % spaced(text)
    text = DOCUMENTS["empty arrays"](MIB - 100)
    yield (
        "BATCH of 5,000 DELETE if_equals, of 1 MiB",
        setting(text),
        batch([{"type": "DELETE", "key": "document", "if_equals": []}] * 5_000),
    )
    existing = [f"key:{number:012}" for number in range(KEYS)]
    yield "MGET of 20,000 keys", b"", request("MGET", keys=existing)
    yield "MDELETE of 20,000 keys", b"", request("MDELETE", keys=existing)
    yield "MSET of 20,000 new keys", b"", request("MSET", items=dict.fromkeys(many(KEYS), 1))
    yield (
        "MSET of 20,000 keys with a ttl",
        b"",
        request("MSET", items=dict.fromkeys(existing, 1), ttl=60),
    )
    yield (
        "MSET if absent of 20,000 keys",
        b"",
        request("MSET", items=dict.fromkeys(many(KEYS, "newer"), 1), **{"if": "absent"}),
    )
    yield (
        "MSET of 3.5 MiB of tiny items",
        b"",
        b'{"type":"MSET","items":{%b}}\n'
        % b",".join(b'"%x":1' % number for number in range(380_000)),
    )
    tiny = b",".join(b'"%x":1' % number for number in range(KEYS - 1))
    bad = b'{"type":"MSET","items":{%b,"z":1e999}}\n' % tiny
    yield "MSET of 20,000 tiny items, the last value bad", b"", bad
    yield (
        "MGET of 3.5 MiB of tiny keys",
        b"",
        b'{"type":"MGET","keys":[%b"a"]}\n' % (b'"a",' * 900_000),
    )
    yield (
        "BATCH of 3.5 MiB of PINGs",
        b"",
        b'{"type":"BATCH","commands":[%b{}]}\n' % (b'{"type":"PING"},' * 230_000),
    )
    yield "BATCH of 5,000 SETs", b"", batch(sets(5_000))
    yield (
        "BATCH of 5,000 SETs with a ttl, undone",
        b"",
        batch([*sets(4_999, ttl=60), {"type": "INCR", "key": "new:00000000"}]),
    )
    yield "BATCH of 5,000 INCRs", b"", batch([{"type": "INCR", "key": "n"}] * 5_000)
    yield "BATCH of 4 FLUSHes", b"", batch([{"type": "FLUSH"}] * 4)
    yield "BATCH of 4 SCANs", b"", batch([{"type": "SCAN", "prefix": "no", "limit": 10**6}] * 4)
    yield "BATCH of 49 COUNTs", b"", batch([{"type": "COUNT"}] * 49)
    yield (
        "BATCH of SETs of 3 MB",
        b"",
        batch([{"type": "SET", "key": "k", "value": ["x"] * 1000}] * 700),
    )
    yield "SCAN that finds nothing", b"", request("SCAN", prefix="nothing", limit=10**6)
    yield "COUNT", b"", request("COUNT")
    yield "INFO", b"", request("INFO")
    yield "FLUSH", b"", request("FLUSH")
    wide = b"".join(
        request("SET", key=f"{number:04}" + "\x01" * 65_000, value=1) for number in range(1000)
    )
    yield "SCAN of 1,000 keys of 64 KB of escapes", wide, request("SCAN", limit=1000)


@pytest.fixture(scope="module")
def table() -> Iterator[Dict[str, Dict[str, float]]]:
    """The longest step of each request by store, printed at the end as docs/security.md has it."""
    rows: Dict[str, Dict[str, float]] = {}
    yield rows
    print_table(rows, [*STORES])


ALIKE = ("SET of 3.5 MiB", "GETSET", "DELETE if_equals")
"""What takes long before it comes to the store, so that one kind of store tells of all."""


@pytest.mark.timing
@pytest.mark.parametrize("kind", STORES)
def test_no_step_of_any_request_takes_long(
    kind: str, long: bool, table: Dict[str, Dict[str, float]]
) -> None:
    most = 100.0 if long else 250.0
    server = Server(kind, 1_000_000 if long else KEYS)
    too_long = {}
    for name, before, line in costly_requests():
        assert any(f'"{command}"'.encode() in line[:60] or command in name for command in NAMES)
        if name.startswith(ALIKE) and (kind != "unbounded" or not (long or "deep" in name)):
            continue
        server.fill()

        def measure(before: bytes = before, line: bytes = line) -> float:
            server.longest_step(before)
            return server.longest_step(line)

        found, slow = least(most, measure)
        table.setdefault(name, {})[kind] = found
        if found > most * slow:
            too_long[name] = f"{found:.0f} ms"
    assert not too_long
