"""The server, the library and the shell over an engine."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import kvjson
import pytest
import redis

from tests.engines import Engine, programs, running, shared, start, stop
from tests.support import ROOT, TIMEOUT, Server, environment, kv, running_server

PROGRAM = next(iter(programs().values()), "")

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no Redis or Valkey is here")


@pytest.fixture(params=list(programs()))
def engine(request: pytest.FixtureRequest) -> Engine:
    return shared(request.param)


@pytest.fixture
def server(engine: Engine) -> Iterator[Server]:
    with running_server("--store", engine.url) as server:
        yield server


def ask(server: Server, *requests: str) -> List[Any]:
    """The replies to requests, each a JSON object."""
    lines = server.ask("".join(f"{request}\n" for request in requests).encode()).splitlines()
    return [json.loads(line) for line in lines]


def test_servers_before_one_engine_have_the_same_keys(engine: Engine, server: Server) -> None:
    with running_server("--store", engine.url) as other:
        ask(server, '{"type":"SET","key":"k","value":{"a":[1]}}')
        assert ask(other, '{"type":"INCR","key":"n"}')[0]["result"] == 1
        assert ask(server, '{"type":"INCR","key":"n"}')[0]["result"] == 2
        (reply,) = ask(other, '{"type":"MGET","keys":["k","n","no"]}')
        assert reply["result"] == {"k": {"a": [1]}, "n": 2}
    assert engine.client.get("kv:k") == b'{"a":[1]}'


def test_each_protocol_of_the_port_is_served(engine: Engine, server: Server) -> None:
    client = redis.Redis("127.0.0.1", server.port)
    assert client.set("k", b"\xff", ex=100)
    assert client.get("k") == engine.client.get("kv:k") == b"\xff"
    assert 0 < client.ttl("k") <= 100
    client.mset({f"key:{number}": number for number in range(3000)})
    assert len(set(client.scan_iter("key:*", count=10))) == client.dbsize() - 1 == 3000
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, b"2"]
    with pytest.raises(redis.ResponseError, match="WATCH needs a store that tells"):
        client.execute_command("WATCH", "a")
    client.close()


def test_info_tells_the_engine_and_its_figures(engine: Engine, server: Server) -> None:
    ask(server, '{"type":"SET","key":"k","value":1}')
    (reply,) = ask(server, '{"type":"INFO"}')
    report = reply["result"]
    assert report["engine"]["name"] in ("redis", "valkey")
    assert report["engine"]["role"] == "master"
    assert report["keyspace"]["keys"] == 1
    assert report["keyspace"]["memory"] > 0


def test_without_its_engine_a_server_says_so_and_serves_again_once_it_is_back() -> None:
    engine = start(PROGRAM)
    ready = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with running_server("--store", engine.url) as server:
        ask(server, '{"type":"INCR","key":"n"}')
        stop(engine)
        ping, get, incr, info = ask(
            server,
            '{"type":"PING"}',
            '{"type":"GET","key":"n"}',
            '{"type":"INCR","key":"n"}',
            '{"type":"INFO"}',
        )
        assert ping["ok"] is True
        for reply in (get, incr, info):
            assert reply["error"]["code"] == "UNAVAILABLE"
        assert server.ask(ready).startswith(b"HTTP/1.1 503 ")
        with running(PROGRAM, port=engine.port):
            assert ask(server, '{"type":"INCR","key":"n"}')[0]["result"] == 1
            assert server.ask(ready).startswith(b"HTTP/1.1 200 ")
            assert b"\nkvjson_engine_servers 1.0\n" in server.ask(
                ready.replace(b"readyz", b"metrics")
            )
        assert server.process.poll() is None


def test_a_server_starts_before_its_engine() -> None:
    with running(PROGRAM) as engine:
        stop(engine)
        with running_server("--store", engine.url) as server:
            assert ask(server, '{"type":"GET","key":"n"}')[0]["error"]["code"] == "UNAVAILABLE"
            with running(PROGRAM, port=engine.port):
                assert ask(server, '{"type":"INCR","key":"n"}')[0]["result"] == 1


def test_an_engine_with_a_password(engine: Engine) -> None:
    secret = "open:sesame/?"
    quoted = "open%3Asesame%2F%3F"
    with running(PROGRAM, password=secret) as guarded:
        url = f"redis://:{quoted}@127.0.0.1:{guarded.port}/2?prefix=app%3A"
        with running_server(KV_STORE=url) as server:
            assert ask(server, '{"type":"INCR","key":"n"}')[0]["result"] == 1
        with kvjson.Client(url) as client:
            assert client.get("n") == 1
            assert secret not in repr(client)
        with kvjson.Client(f"redis://127.0.0.1:{guarded.port}", password="wrong") as client:
            with pytest.raises(kvjson.Unavailable, match="engine refuses the password") as refusal:
                client.get("n")
            assert "wrong" not in str(refusal.value)
        guarded.client.select(2)
        assert guarded.client.keys() == [b"app:n"]


def refusal(*arguments: str, **variables: str) -> str:
    """The error that a server ends with at its start."""
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.server", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**variables),
        timeout=TIMEOUT,
    )
    assert done.returncode in (1, 2)
    return done.stderr


def test_a_wrong_password_ends_the_server_with_a_clear_error() -> None:
    with running(PROGRAM, password="right") as guarded:
        said = refusal(KV_STORE=f"redis://:wrong@127.0.0.1:{guarded.port}")
        assert "Error: the engine refuses the password" in said
        assert ":wrong" not in said
        said = refusal("--store", f"redis://127.0.0.1:{guarded.port}")
        assert "Error: the engine refuses the password" in said


URL = "redis://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--store", URL, "--max-memory", "1gb"),
            "'--store' and '--max-memory' exclude each other",
        ),
        (("--store", URL, "--data-dir", "."), "'--store' and '--data-dir' exclude each other"),
        (("--store-prefix", "x:"), "'--store-prefix' has no effect without the engine's address"),
        (("--store", "http://x"), "an engine is redis://"),
        (("--store", "redis://:secret@host:6379/x"), "an engine is redis://"),
    ],
)
def test_settings_that_contradict_an_engine_are_refused(
    arguments: Tuple[str, ...], words: str
) -> None:
    said = " ".join(refusal(*arguments).split())
    assert words in said
    assert "secret" not in said


def test_a_servers_keys_have_the_prefix_that_is_set(engine: Engine) -> None:
    with running_server("--store", engine.url, "--store-prefix", "*:") as server:
        ask(server, '{"type":"SET","key":"k","value":1}')
    assert engine.client.keys() == [b"*:k"]


@pytest.mark.parametrize("is_option", [True, False])
def test_a_password_that_other_users_can_see_is_warned_of(tmp_path: Path, is_option: bool) -> None:
    url = "redis://:secret@127.0.0.1:1"
    arguments = ["--store", url] if is_option else []
    stderr = (tmp_path / "log").open("w")
    with stderr, running_server(*arguments, stderr=stderr, KV_STORE=url) as server:
        server.stop()
    log = (tmp_path / "log").read_text()
    assert ("other users can see the password in '--store'; set KV_STORE" in log) is is_option
    assert "the engine does not answer" in log
    assert "secret" not in log


def test_the_shell_uses_an_engine_without_a_server(engine: Engine) -> None:
    assert kv(0, "-u", engine.url, "set", "k", '{"a":1}').stdout == "true\n"
    assert kv(0, "-u", engine.url, "get", "k").stdout == '{"a":1}\n'
    done = kv(0, "-u", engine.url, stdin="incr n\nincr n\ncount\n")
    assert done.stdout.split() == ["1", "2", "2"]
    assert engine.client.get("kv:n") == b"2"


@pytest.mark.parametrize("network", ["threads", "gevent"])
class TestLibrary:
    @pytest.fixture
    def client(self, engine: Engine, network: Any) -> Iterator[kvjson.Client]:
        with kvjson.Client(engine.url, network=network) as client:
            yield client

    def test_a_program_changes_its_address_and_nothing_else(self, client: kvjson.Client) -> None:
        client["user:1"] = {"name": "Ada"}
        client.update({"a": True, "b": None, "c": "5", "d": [1.5]})
        assert dict(client.items()) == {
            "user:1": {"name": "Ada"},
            "a": True,
            "b": None,
            "c": "5",
            "d": [1.5],
        }
        assert client.pop("c") == "5"
        assert client.set("c", 1, ttl=100, if_="absent") is True
        assert 99 < (client.ttl("c") or 0) <= 100
        assert client.setdefault("new", 1) == 1
        assert len(client) == 6
        assert client.flush() == 6

    def test_pipelines_and_batches(self, client: kvjson.Client) -> None:
        with client.pipeline() as pipe:
            results = [pipe.incr("n"), pipe.incr("n"), pipe.get("n"), pipe.get("no")]
        assert [each.result for each in results] == [1, 2, 2, None]
        client.set("word", "x")
        batch = client.batch()
        batch.set("n", 0)
        batch.incr("word")
        with pytest.raises(kvjson.NotANumber):
            batch.run()
        assert client.get("n") == 2

    def test_recipes(self, client: kvjson.Client) -> None:
        with client.lock("l"):
            assert not client.lock("l").acquire(timeout=0)
        assert client.lock("l").acquire(timeout=0)
        assert client.limiter("r", 1, per=60).allow()

        @client.cached(60, name="double")
        def double(number: int) -> int:
            return 2 * number

        assert double(2) == double(2) == 4


def test_asyncio_uses_an_engine_in_threads(engine: Engine) -> None:
    async def main() -> Any:
        async with kvjson.AsyncClient(engine.url) as client:
            await asyncio.gather(*(client.incr("n") for _ in range(50)))
            return await client.get("n")

    assert asyncio.run(main()) == 50
