"""redis-py against a server process, as programs use it: both versions, threads and asyncio."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Iterator, List

import pytest
import redis
import redis.asyncio

from tests.support import Server, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(params=[2, 3])
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    client = redis.Redis("127.0.0.1", server.port, protocol=request.param)
    client.flushall()
    yield client
    client.close()


def test_values_of_any_bytes_and_ttls_come_back(client: Any) -> None:
    assert client.set("k", b"\x00\xff\r\n", ex=100)
    assert client.get("k") == b"\x00\xff\r\n"
    assert 0 < client.ttl("k") <= 100
    assert client.set("k", "v", nx=True) is None
    assert client.set("k", "v", xx=True, get=True) == b"\x00\xff\r\n"
    assert client.get("none") is None
    assert client.mget("k", "none") == [b"v", None]
    assert client.incrbyfloat("f", 0.5) == 0.5


def test_what_is_wrong_is_an_error_of_the_library(client: Any) -> None:
    client.set("k", "v")
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("k")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.lpush("list", 1)
    assert client.ping()


def test_all_keys_are_scanned(client: Any) -> None:
    client.mset({f"key:{number}": number for number in range(3000)})
    assert len(set(client.scan_iter("key:*", count=10))) == 3000
    assert client.dbsize() == 3000
    assert sorted(client.keys("key:299?")) == [b"key:%d" % n for n in range(2990, 3000)]


def test_a_transaction_is_retried_when_a_watched_key_changes(client: Any) -> None:
    client.set("n", 1)
    attempts: List[int] = []

    def double(pipe: Any) -> None:
        value = int(pipe.get("n"))
        if not attempts:
            client.set("n", 5)
        attempts.append(value)
        pipe.multi()
        pipe.set("n", 2 * value)

    assert client.transaction(double, "n") == [True]
    assert attempts == [1, 5]
    assert client.get("n") == b"10"


def test_a_pipeline_returns_each_result(client: Any) -> None:
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]
    with client.pipeline(transaction=False) as pipe:
        for number in range(200):
            pipe.set(f"p{number}", number)
        assert pipe.execute() == [True] * 200


def test_databases_are_apart(server: Server, client: Any) -> None:
    other = redis.Redis("127.0.0.1", server.port, db=5)
    client.set("k", "zero")
    other.set("k", "five")
    assert client.get("k") == b"zero"
    assert other.keys() == [b"k"]
    assert other.flushdb()
    assert client.dbsize() == 1
    other.close()


def test_the_server_tells_about_itself(client: Any) -> None:
    info = client.info()
    assert info["redis_version"] == "7.2.4"
    assert info["server_name"] == "kvjson"
    assert client.config_get("databases") == {"databases": "16"}
    assert client.client_id() > 0
    assert client.command_count() > 60
    assert client.client_setname("me")
    assert client.client_getname() in (b"me", "me")
    seconds, microseconds = client.time()
    assert 0 <= microseconds < 1_000_000 < seconds


def test_asyncio_shares_keys_with_threads(server: Server, client: Any) -> None:
    async def main() -> object:
        other = redis.asyncio.Redis(host="127.0.0.1", port=server.port)
        await asyncio.gather(*(other.incr("n") for _ in range(50)))
        value = await other.get("n")
        await other.aclose()
        return value

    client.delete("n")
    assert asyncio.run(main()) == b"50"
    assert client.get("n") == b"50"


def test_a_password_is_asked_for() -> None:
    with running_server(KV_PASSWORD="open sesame") as server:
        with pytest.raises(redis.AuthenticationError):
            redis.Redis("127.0.0.1", server.port).ping()
        client = redis.Redis("127.0.0.1", server.port, password="open sesame")
        assert client.ping()
        client.close()


def test_what_is_published_reaches_subscribers(server: Server, client: Any) -> None:
    with client.pubsub() as pubsub:
        pubsub.subscribe("news")
        pubsub.psubscribe("w*")
        told = [pubsub.get_message(timeout=10) for _ in range(2)]
        assert [each["type"] for each in told] == ["subscribe", "psubscribe"]
        assert client.publish("news", "hello") == 1
        assert client.publish("weather", b"\xff") == 1
        first, second = (pubsub.get_message(timeout=10) for _ in range(2))
        assert (first["type"], first["channel"], first["data"]) == ("message", b"news", b"hello")
        assert (second["type"], second["pattern"], second["data"]) == ("pmessage", b"w*", b"\xff")
        pubsub.unsubscribe("news")
        assert pubsub.get_message(timeout=10)["type"] == "unsubscribe"


def test_a_lock_is_acquired_extended_and_released(client: Any) -> None:
    lock = client.lock("lock", timeout=100)
    other = client.lock("lock", timeout=100, blocking=False)
    assert lock.acquire()
    assert not other.acquire()
    assert lock.extend(100)
    assert 100 < client.ttl("lock") <= 200
    assert lock.extend(50, replace_ttl=True)
    assert client.ttl("lock") <= 50
    assert lock.reacquire()
    assert 50 < client.ttl("lock") <= 100
    lock.release()
    assert not client.exists("lock")
    with lock:
        client.set("lock", "somebody else's")
        with pytest.raises(redis.exceptions.LockNotOwnedError):
            lock.extend(100)
        with pytest.raises(redis.exceptions.LockNotOwnedError):
            lock.reacquire()
        client.set("lock", lock.local.token)
        with pytest.raises(redis.exceptions.LockNotOwnedError):
            lock.extend(100)  # without a ttl there is nothing to extend


def test_a_server_with_a_journal_pushes_messages_while_writes_wait_for_the_disk(
    tmp_path: Path,
) -> None:
    with running_server("--data-dir", str(tmp_path / "data")) as server:
        client: Any = redis.Redis("127.0.0.1", server.port)
        with client.pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.subscribe("news")
            pubsub.get_message(timeout=10)
            with client.pipeline(transaction=False) as pipe:
                for number in range(20):
                    pipe.set("k", number)
                    pipe.publish("news", number)
                assert pipe.execute() == [True, 1] * 20
            told = [pubsub.get_message(timeout=10)["data"] for _ in range(20)]
            assert told == [b"%d" % number for number in range(20)]
        client.close()
