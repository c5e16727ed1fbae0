"""No single step of any Redis command takes long, nor of any request over HTTP. The table that this
prints is the second that docs/security.md shows.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from adapters.client.loopback import LoopbackLink
from application.ports import Conversation
from entrypoints.server.container import ServerContainer
from tests.support import server_container
from tests.torture.steps import DOCUMENTS, KEYS, LARGE, VALUE, least, longest_step, print_table

Case = Tuple[str, bytes, bytes]
"""What it is, what comes before it, and the request."""

BYTES: Dict[str, Callable[[int], bytes]] = {
    "digits": lambda size: b"1" * size,
    "digits and a letter": lambda size: b"1" * (size - 1) + b"x",
    "fractions of many digits and a letter": lambda size: b"1." + b"1" * (size - 3) + b"x",
    "control characters": lambda size: b"\x01" * size,
    "quotes": lambda size: b'"' * size,
    "no UTF-8": lambda size: b"\xff" * size,
    "two-byte characters": lambda size: "é".encode() * (size // 2),
    "an array that is cut": lambda size: DOCUMENTS["objects"](size)[:-1] + b"x]",
    "what stands for bytes": lambda size: (
        b'{"$binary":{"base64":"%b","subType":"00"}}' % (b"AAAA" * (size // 4))
    ),
}
WORST = ("control characters", "deep arrays", "no UTF-8", "digits and a letter")


def command(*arguments: object) -> bytes:
    """A request of a Redis client."""
    words = [each if isinstance(each, bytes) else str(each).encode() for each in arguments]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def transaction(*arguments: object, count: int = 4990) -> bytes:
    return command("MULTI") + command(*arguments) * count + command("EXEC")


def pairs(name: str) -> List[object]:
    return [word for number in range(KEYS) for word in (f"{name}:{number:012}", "value" * 4)]


EXISTING = [f"key:{number:012}" for number in range(KEYS)]


def values(is_long: bool) -> Iterator[Case]:
    """Commands on one large value."""
    documents = {**DOCUMENTS, **BYTES}
    for name in documents if is_long else WORST[:2]:
        data = documents[name](LARGE)
        stored = command("SET", "d", data)
        yield f"SET of 3.5 MiB: {name}", b"", stored
        yield f"GET of 3.5 MiB: {name}", stored, command("GET", "d")
        yield f"APPEND to 3.5 MiB: {name}", stored, command("APPEND", "d", "x")
    for name in WORST if is_long else WORST[:1]:
        data = documents[name](LARGE)
        stored = command("SET", "d", data)
        yield f"SET EX of 3.5 MiB: {name}", b"", command("SET", "d", data, "EX", 100)
        yield f"SETNX of 3.5 MiB: {name}", command("DEL", "e"), command("SETNX", "e", data)
        yield f"GETSET of 3.5 MiB: {name}", stored, command("GETSET", "d", data)
        yield f"SET IFEQ of 3.5 MiB: {name}", stored, command("SET", "d", 1, "IFEQ", data)
        yield f"MSET of 3.5 MiB: {name}", b"", command("MSET", "d", data)
        yield f"SETRANGE in 3.5 MiB: {name}", stored, command("SETRANGE", "d", 0, "x")
        yield f"GETRANGE of 3.5 MiB: {name}", stored, command("GETRANGE", "d", 0, -1)
        yield f"INCRBYFLOAT of 3.5 MiB: {name}", stored, command("INCRBYFLOAT", "d", 1)
        yield f"LCS of twice 3.5 MiB: {name}", stored, command("LCS", "d", "d")


def keyspace() -> Iterator[Case]:
    """Commands on many keys, and on what others hold."""
    for name in ("MGET", "EXISTS", "TOUCH", "DEL"):
        yield f"{name} of 20,000 keys", b"", command(name, *EXISTING)
    yield "MSET of 20,000 keys", b"", command("MSET", *pairs("key"))
    yield (
        "MSETNX of 20,000 new keys",
        command("DEL", *[f"new:{number:012}" for number in range(KEYS)]),
        command("MSETNX", *pairs("new")),
    )
    for pattern in ("*a*b*c*", "*?" * 500, "*[a-z][0-9]" * 90):
        found = command("SCAN", 0, "MATCH", pattern, "COUNT", 10**9)
        yield f"SCAN with MATCH `{pattern:.12}`, {len(pattern)} characters", b"", found
    yield "KEYS", b"", command("KEYS", "*")
    yield "COMMAND DOCS of 20,000 names", b"", command("COMMAND", "DOCS", *["get"] * KEYS)
    yield "CONFIG GET of 10,000 patterns", b"", command("CONFIG", "GET", *["*"] * 10_000)
    channels = [f"c{number}" for number in range(10_000)]
    yield "SUBSCRIBE to 10,000 channels", b"", command("SUBSCRIBE", *channels)
    yield "… and UNSUBSCRIBE", command("SUBSCRIBE", *channels), command("UNSUBSCRIBE")
    patterns = [f"*?*c{number}*" for number in range(1000)]
    yield "PSUBSCRIBE to 1,000 patterns", b"", command("PSUBSCRIBE", *patterns)
    for text in ("--\n", "'", " \n", "[["):
        script = text * (LARGE // len(text))
        yield f"EVAL of 3.5 MiB of {text!r}", b"", command("EVAL", script, 0)
    yield "an unknown command of 3.5 MiB", b"", command("x" * LARGE)
    yield "FLUSHALL", b"", command("FLUSHALL")


def transactions() -> Iterator[Case]:
    """Nearly as many commands as a transaction may have."""
    for arguments in (
        "SET a value", "SETEX a 100 value", "GET key:000000000001", "INCR n", "INCRBYFLOAT f 1.5",
        "APPEND a x", "EXPIRE key:000000000001 100", "COPY key:000000000001 a REPLACE", "GETDEL a",
        "SETRANGE a 100 x", "RANDOMKEY", "DBSIZE", "KEYS no*", "SCAN 0 COUNT 100000", "INFO",
        "COMMAND", "CLIENT LIST", "CONFIG GET *", "PUBLISH c message", "PUBSUB CHANNELS",
        "FLUSHDB", "UNKNOWN",
    ):  # fmt: skip
        yield f"MULTI of 4,990 {arguments}", b"", transaction(*arguments.split())
    for name in ("control characters", "no UTF-8"):
        stored = command("SET", "d", BYTES[name](LARGE))
        for arguments in ("APPEND d x", "GETRANGE d 0 0", "STRLEN d", "COPY d e REPLACE"):
            words = arguments.split()
            yield f"MULTI of 4,990 {arguments} of 3.5 MiB: {name}", stored, transaction(*words)


def http(method: str, path: str, body: bytes = b"", media: str = "application/json") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def requests(is_long: bool) -> Iterator[Case]:
    """Requests over HTTP."""
    octets, merge = "application/octet-stream", "application/merge-patch+json"
    documents = {**DOCUMENTS, **BYTES}
    for name in documents if is_long else WORST[:2]:
        stored = http("PUT", "/v1/keys/d", documents[name](LARGE), octets)
        yield f"PUT of 3.5 MiB as octets: {name}", b"", stored
        yield f"GET of 3.5 MiB: {name}", stored, http("GET", "/v1/keys/d")
    for name in DOCUMENTS if is_long else ("deep arrays",):
        large, small = DOCUMENTS[name](LARGE), DOCUMENTS[name](500_000)
        yield f"PUT of 3.5 MiB: {name}", b"", http("PUT", "/v1/keys/d", large)
        stored = http("PUT", "/v1/keys/d", b"{}")
        patch = http("PATCH", "/v1/keys/d", b'{"a":%b}' % small, merge)
        yield f"merge patch with 0.5 MB: {name}", stored, patch
        stored = http("PUT", "/v1/keys/d", small)
        test = b'[{"op":"test","path":"","value":%b}]' % small
        patch = http("PATCH", "/v1/keys/d", test, "application/json-patch+json")
        yield f"JSON patch that tests 0.5 MB: {name}", stored, patch
    for name, words in (("SET", ["SET", "a", "b"]), ("an unknown command", ["UNKNOWN"])):
        body = json.dumps([words] * 4_990).encode()
        yield f"POST /pipeline of 4,990 {name}", b"", http("POST", "/pipeline", body)
        yield f"POST /multi-exec of 4,990 {name}", b"", http("POST", "/multi-exec", body)
    body = json.dumps([["MSET", *pairs("key")]]).encode()
    yield "POST /pipeline of MSET of 20,000 keys", b"", http("POST", "/pipeline", body)
    stored = http("PUT", "/v1/keys/d", DOCUMENTS["a long string"](LARGE))
    body = json.dumps([["GET", "d"]] * 15).encode()
    yield "POST /pipeline of 15 GETs of 3.5 MiB", stored, http("POST", "/pipeline", body)
    lines = b'{"type":"PING"}\n' * 240_000
    yield "POST /v1/commands of 240,000 PINGs", b"", http("POST", "/v1/commands", lines)
    yield "GET /v1/keys", b"", http("GET", "/v1/keys?prefix=nothing&limit=100000")
    yield "GET /metrics", b"", http("GET", "/metrics")


class Server:
    """A server with many small keys; each request has a connection of its own."""

    def __init__(self, keys: int) -> None:
        self._container: ServerContainer = server_container()
        self._keys = keys
        self.fill()

    def fill(self) -> None:
        """Makes up for keys that are gone."""
        store: Any = self._container.store()
        while store.run_maintenance():
            pass
        if store.count() >= self._keys:
            return
        for start in range(0, self._keys, 1000):
            names = [f"key:{number:012}" for number in range(start, start + 1000)]
            if not all(store.get_many(names)):
                store.set_many(dict.fromkeys(names, VALUE))

    def longest_step(self, before: bytes, data: bytes) -> float:
        """Milliseconds of the longest step of what a client asks after something else."""
        talk: Conversation = self._container.plain_conversation(LoopbackLink())
        if before:
            longest_step(talk, before)
        longest, replies = longest_step(talk, data)
        talk.close()
        assert replies
        return longest


@pytest.fixture(scope="module")
def table() -> Iterator[Dict[str, Dict[str, float]]]:
    """The longest step of each request, printed at the end."""
    rows: Dict[str, Dict[str, float]] = {}
    yield rows
    print_table(rows, ["RESP", "HTTP"])


N_SUBSCRIBERS = 8000
"""So many that a transaction may publish to them twice."""


@pytest.mark.timing
def test_no_step_of_publishing_to_many_takes_long(
    long: bool, table: Dict[str, Dict[str, float]]
) -> None:
    container = server_container()
    clients = [container.plain_conversation(LoopbackLink()) for _ in range(N_SUBSCRIBERS + 1)]
    for each in clients[1:]:
        each.receive(command("SUBSCRIBE", "c"))
    for name, data in (
        ("PUBLISH of 3 MB", command("PUBLISH", "c", b"x" * 3_000_000)),
        ("MULTI of 2 PUBLISHes", transaction("PUBLISH", "c", b"x", count=2)),
    ):

        def measure(data: bytes = data) -> float:
            took, replies = longest_step(clients[0], data)
            assert replies.endswith(b":%d\r\n" % N_SUBSCRIBERS)
            return took

        found, slow = least(100.0, measure)
        table.setdefault(f"{name} to 8,000 subscribers", {})["RESP"] = found
        assert found < (100.0 if long else 250.0) * slow


@pytest.mark.timing
@pytest.mark.parametrize("protocol", ["RESP", "HTTP"])
def test_no_step_of_any_request_takes_long(
    protocol: str, long: bool, table: Dict[str, Dict[str, float]]
) -> None:
    most = 100.0 if long else 250.0
    server = Server(1_000_000 if long else KEYS)
    too_long = {}
    cases: List[Iterator[Case]] = [requests(long)]
    if protocol == "RESP":
        cases = [values(long), keyspace(), transactions()]
    for name, before, data in (case for some in cases for case in some):
        server.fill()

        def measure(before: bytes = before, data: bytes = data) -> float:
            return server.longest_step(before, data)

        found, slow = least(most, measure)
        table.setdefault(name, {})[protocol] = found
        if found > most * slow:
            too_long[name] = f"{found:.0f} ms"
    assert not too_long
