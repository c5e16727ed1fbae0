"""The store over a cluster: what is in several slots, what moves, and what is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import pytest
import redis
from msgspec import Raw
from redis.crc import key_slot
from redis.exceptions import ClusterDownError

from adapters.storage.redis.cluster import ClusterEngine
from adapters.storage.redis.cursor import Position
from adapters.storage.redis.engine import Node
from adapters.storage.redis.engine import Words as EngineWords
from adapters.storage.redis.slots import Server
from adapters.storage.redis.store import RedisStore
from application.commands import Batch, Command, Count, Flush, Get, Incr, MDelete, MSet, Set
from application.commands.strings import Rename
from application.executor import LocalExecutor
from application.in_process import InProcess
from application.limits import Limits
from domain.errors import BadRequest, CrossSlot, Unavailable
from tests.engines import SLOTS, Cluster, Engine, opened, programs, shared_cluster, until
from tests.fake_engine import Reply, fake_engine
from tests.support import ROOT, TIMEOUT, running_server

PROGRAM = next(iter(programs().values()), "")

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no Redis or Valkey is here")

KEYS = [f"key:{number}" for number in range(1000)]


@pytest.fixture
def cluster() -> Cluster:
    return shared_cluster()


@pytest.fixture
def store(cluster: Cluster) -> Iterator[RedisStore]:
    with opened(cluster.url) as store:
        yield store


def test_keys_are_spread_and_all_are_there(cluster: Cluster, store: RedisStore) -> None:
    executor = InProcess(LocalExecutor(store), Limits(), store.close)
    outcomes = executor.execute_all([Set(key, Raw(b"1")) for key in KEYS])
    assert outcomes == [True] * 1000
    assert all(server.client.dbsize() > 100 for server in cluster.servers)
    assert store.get_many([*KEYS, "no"]) == [*[b"1"] * 1000, None]
    assert executor.execute(Count()) == store.stats().keys == 1000
    assert executor.execute(MDelete(KEYS[:100])) == 100
    assert executor.execute(Incr(KEYS[500])) == 2
    assert executor.execute(Flush()) == 900
    assert store.count() == 0


@pytest.mark.parametrize("limit", [1, 7, 5000])
def test_a_scan_goes_over_all_servers(store: RedisStore, limit: int) -> None:
    keys = KEYS[:50] if limit == 1 else KEYS
    for key in keys:
        store.set(key, b"1")
    seen: List[str] = []
    cursor = None
    while True:
        page = store.scan(cursor, "key:", limit)
        assert len(page.keys) <= limit
        seen += page.keys
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(set(seen)) == sorted(keys)


def test_a_cursor_of_another_layout_is_refused(store: RedisStore) -> None:
    for key in KEYS:
        store.set(key, b"1")
    cursor = store.scan(None, "", 10).cursor
    assert cursor
    assert int(cursor) < 1 << 64
    with pytest.raises(BadRequest, match="layout"):
        store.scan(f"{int(cursor) // 10 ^ 1}7", "", 10)


@pytest.mark.parametrize("layout", ["", "0000", "ffff"])
@pytest.mark.parametrize("position", [1, (1 << 30) - 1, (1 << 34) + 5, (1 << 40) - 1])
@pytest.mark.parametrize("shown", [(), ("0" * 32,), ("0" * 32, "f" * 32)])
def test_a_cursor_stands_for_its_position(
    layout: str, position: int, shown: Tuple[str, ...]
) -> None:
    at = Position(position, SLOTS - 1 if layout else 0, shown, layout)
    assert Position.of(str(at), layout) == at
    if position < 1 << 30 and not shown:
        assert int(str(at)) < 1 << 64


def test_a_client_of_resp_scans_a_cluster_by_cursors_of_64_bits(cluster: Cluster) -> None:
    with running_server("--store", cluster.url) as server:
        client = redis.Redis("127.0.0.1", server.port)
        for key in KEYS[:300]:
            client.set(key, 1)
        cursor, seen = client.scan(0)
        while cursor:
            assert cursor < 1 << 64
            cursor, keys = client.scan(cursor)
            seen += keys
        client.close()
    assert {key.decode() for key in seen} == set(KEYS[:300])


SPREAD: List[Command[Any]] = [
    MSet({"a": Raw(b"9"), "b": Raw(b"9")}),
    MSet({"a": Raw(b"9"), "b": Raw(b"9")}, ttl=100),
    MSet({"a": Raw(b"9"), "b": Raw(b"9"), "c": Raw(b"9")}, if_="absent"),
    Batch([Set("a", Raw(b"9")), Set("b", Raw(b"9"))]),
    Batch([Get("a"), Get("b")]),
    Batch([Set("a", Raw(b"9")), Get("b")]),
    Batch([Set("a", Raw(b"9")), Count()]),
    Batch([Flush()]),
    Rename("a", "b"),
]


@pytest.mark.parametrize("command", SPREAD, ids=lambda command: type(command).__name__)
def test_what_needs_several_slots_at_once_is_refused(
    store: RedisStore, command: Command[Any]
) -> None:
    store.set("a", b"1")
    store.set("b", b"2")
    with pytest.raises(CrossSlot, match=r"keys with the same \{tag\} are in one"):
        LocalExecutor(store).execute(command)
    assert store.get_many("abc") == [b"1", b"2", None]


def test_keys_with_one_tag_are_changed_together(store: RedisStore) -> None:
    executor = LocalExecutor(store)
    assert executor.execute(MSet({"{u}:a": Raw(b"1"), "{u}:b": Raw(b"2")}, if_="absent")) is True
    assert executor.execute(MSet({"{u}:a": Raw(b"1"), "{u}:b": Raw(b"2")}, if_="absent")) is False
    assert executor.execute(Batch([Incr("{u}:a"), Incr("{u}:b")])) == [2, 3]
    assert executor.execute(Rename("{u}:a", "{u}:c")) is True


@pytest.mark.parametrize("ttl", [None, 1000])
def test_a_plain_mset_may_be_partial_where_that_is_allowed(cluster: Cluster, ttl: Any) -> None:
    with opened(cluster.url, allow_partial=True) as store:
        store.set_many(dict.fromkeys(KEYS[:50], b"1"), ttl)
        assert store.get_many(KEYS).count(b"1") == 50
        entry, _ = store.update(KEYS[0], lambda before: before)
        assert entry
        assert (entry.ttl is None) == (ttl is None)
        with pytest.raises(CrossSlot):
            LocalExecutor(store).execute(Batch([Get("a"), Get("b")]))


def test_counters_count_exactly_while_slots_move(cluster: Cluster, store: RedisStore) -> None:
    executor = LocalExecutor(store)
    tags = [f"{{{number}}}" for number in range(5)]
    still: List[str] = []
    moved = threading.Event()

    def count(name: str) -> int:
        done = 0
        while not moved.is_set() or done < 10:
            outcome = attempt(partial(executor.execute, Incr(name)))
            done = outcome if isinstance(outcome, int) else done  # else redirected too often
        return done

    with ThreadPoolExecutor(4) as threads:
        counts = [threads.submit(count, tag) for tag in tags[:4]]
        try:
            for tag in tags:
                still.append(f"still:{tag}")
                until(lambda: attempt(partial(store.set, still[-1], b"1")) is None)
                move(cluster, key_slot(tag.encode()))
                until(cluster.is_agreed)  # else the servers' epochs collide, and keys are lost
        finally:
            moved.set()
        found = {name: each.result() for name, each in zip(tags, counts)}
    read = partial(store.get_many, [*found, *still])
    until(lambda: isinstance(attempt(read), list))  # the servers agree on the slots
    assert read() == [*(b"%d" % count for count in found.values()), *[b"1"] * len(still)]


def move(cluster: Cluster, slot: int) -> None:
    """Moves a slot that has keys to the next server."""
    words = ("CLUSTER GETKEYSINSLOT", slot, 1)
    (source,) = [i for i, each in enumerate(cluster.servers) if each.client.execute_command(*words)]
    target = cluster.servers[(source + 1) % len(cluster.servers)]
    move_keys(slot, cluster.servers[source], target)
    hand_over(cluster, slot, target)


def move_keys(slot: int, old: Engine, new: Engine) -> None:
    """Moves the keys of a slot; the old server still owns it, and redirects."""
    new.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", identity(old))
    old.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", identity(new))
    while True:
        names = old.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100)
        if not names:
            break
        old.client.execute_command("MIGRATE", "127.0.0.1", new.port, "", 0, 5000, "KEYS", *names)


def hand_over(cluster: Cluster, slot: int, new: Engine) -> None:
    """Lets a server own a slot whose keys it has."""
    others = [server for server in cluster.servers if server is not new]
    for server in (new, *others):
        server.client.execute_command("CLUSTER SETSLOT", slot, "NODE", identity(new))


def identity(server: Engine) -> str:
    name: bytes = server.client.execute_command("CLUSTER MYID")
    return name.decode()


def test_a_scan_ends_with_an_error_when_a_key_moved_to_a_server_that_it_has_left(
    cluster: Cluster, store: RedisStore
) -> None:
    first, *_, last = sorted(cluster.servers, key=lambda server: server.port)
    name = next(f"{{moved {n}}}" for n in range(99) if on(last, f"kv:{{moved {n}}}"))
    slot = key_slot(name.encode())
    store.set(name, b"1")
    cursor = store.scan(None, "", 10).cursor
    assert cursor
    assert Position.of(cursor, store._engine.layout(anew=False)).server == 1
    move_keys(slot, last, first)
    for is_handed_over in (False, True):
        if is_handed_over:
            hand_over(cluster, slot, first)
        with pytest.raises((Unavailable, BadRequest), match="start the scan again"):
            scan_to_the_end(store, cursor)
    until(cluster.is_agreed)
    assert scan_to_the_end(store, None) == [name]


def on(server: Engine, name: str) -> bool:
    """Whether a server would have a key."""
    try:
        return server.client.get(name) is None
    except redis.ResponseError:
        return False


def scan_to_the_end(store: RedisStore, cursor: Optional[str]) -> List[str]:
    page = store.scan(cursor, "", 10)
    keys = list(page.keys)
    while page.cursor is not None:
        page = store.scan(page.cursor, "", 10)
        keys += page.keys
    return keys


def test_a_server_stands_before_a_cluster(cluster: Cluster) -> None:
    with running_server("--store", cluster.url, "--store-allow-partial") as server:
        requests = [
            '{"type":"MSET","items":{"a":1,"b":2,"c":3}}',
            '{"type":"MGET","keys":["a","b","c"]}',
            '{"type":"BATCH","commands":[{"type":"GET","key":"a"},{"type":"INCR","key":"b"}]}',
            '{"type":"INFO"}',
        ]
        lines = server.ask("".join(f"{line}\n" for line in requests).encode()).splitlines()
        mset, mget, batch, info = map(json.loads, lines)
    assert mset["result"] is True
    assert mget["result"] == {"a": 1, "b": 2, "c": 3}
    assert batch["error"]["code"] == "CROSS_SLOT"
    assert info["result"]["engine"]["servers"] == 3


def all_slots_at(port: int) -> bytes:
    """The reply to CLUSTER SLOTS of a server that knows of one with all the slots."""
    return b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n" % port


def member(port: int, reply: Optional[bytes]) -> Reply:
    """What a server of a cluster replies that has all the slots, as far as it knows."""
    return lambda words: all_slots_at(port) if words[0] == b"CLUSTER" else reply


@pytest.mark.parametrize("reply", [b"-CLUSTERDOWN The cluster is down\r\n", None])
def test_a_server_that_lost_the_others_is_asked_last_which_has_a_key(reply: Any) -> None:
    """Else one that was cut off from the others, and has the keys no more, would be believed."""
    with fake_engine(lambda _: None) as old, fake_engine(lambda _: None) as new:
        old.reply = member(old.port, reply)
        new.reply = member(new.port, b"$1\r\n1\r\n")
        with opened(f"redis-cluster://127.0.0.1:{old.port},127.0.0.1:{new.port}") as store:
            with pytest.raises(Unavailable):
                store.get("k")
            assert store.get("k") == b"1"


class FakeNode(Node):
    """Replies by itself, and tells whether it was closed."""

    def __init__(self, reply: Callable[[EngineWords], Any]) -> None:
        self._reply = reply
        self.is_closed = False

    def exchange(
        self, commands: Sequence[EngineWords], repeat: bool, is_bounded: bool = True
    ) -> List[Any]:
        return list(map(self._reply, commands))

    def close(self) -> None:
        self.is_closed = True


def test_the_connections_to_a_server_that_left_the_cluster_are_closed() -> None:
    nodes: Dict[str, FakeNode] = {}
    owner = "old"

    def new_node(host: str, port: int) -> Node:
        def reply(words: EngineWords) -> Any:
            if words[0] == "CLUSTER":
                return [[0, SLOTS - 1, [owner.encode(), port]]]
            return b"1" if host == owner else ClusterDownError("CLUSTERDOWN")

        return nodes.setdefault(host, FakeNode(reply))

    store = RedisStore(ClusterEngine(new_node, [Server("seed", 1)]), "kv:", lambda: None)
    assert store.get("k") == b"1"
    owner = "new"
    with pytest.raises(Unavailable):
        store.get("k")
    assert store.get("k") == b"1"
    assert [host for host, node in nodes.items() if node.is_closed] == ["old"]


def test_a_redirection_without_a_host_is_to_the_host_that_sent_it() -> None:
    with fake_engine(lambda _: b"$1\r\n1\r\n") as new, fake_engine(lambda _: None) as old:
        old.reply = member(old.port, b"-MOVED 1 :%d\r\n" % new.port)
        with opened(f"redis-cluster://127.0.0.1:{old.port}") as store:
            assert store.get("k") == b"1"


def attempt(use: Callable[[], object]) -> object:
    """The result, or the `Unavailable` that is raised."""
    try:
        return use()
    except Unavailable as error:
        return error


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="redis-cli makes the cluster")
def test_the_demonstration_of_a_cluster_runs() -> None:
    script = ["sh", str(ROOT / "docs" / "demo-cluster.sh"), str(Path(sys.executable).parent)]
    done = subprocess.run(script, capture_output=True, text=True, cwd=ROOT, timeout=TIMEOUT)
    assert done.returncode == 0
    assert done.stdout.count("listens on") == 2
    results = [line for line in done.stdout.splitlines()[3:] if line[0] != "$"]
    assert results == ["true", '{"name": "Ada"}', "1", "2", "true", "4"]
    assert done.stderr.startswith("CROSS_SLOT: ")
