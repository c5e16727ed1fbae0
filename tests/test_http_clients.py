"""HTTP clients that programs use, against a real server."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator

import httpx
import pytest
import requests
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis

from tests.support import TIMEOUT, Server, kv, running_server

AUTHORIZED: Dict[str, Any] = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with running_server(KV_PASSWORD="secret") as server:
        yield server


def url(server: Server, path: str = "") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def test_httpx_keeps_a_connection(guarded: Server) -> None:
    with httpx.Client(base_url=url(guarded), headers=AUTHORIZED, timeout=TIMEOUT) as client:
        value = {"text": "ä" * 50_000, "list": [1, 2.5, None]}
        assert client.put("/v1/keys/httpx/ä", json=value).status_code == 201
        found = client.get("/v1/keys/httpx/ä")
        assert found.json() == value
        stale = {"If-Match": '"other"'}
        assert client.put("/v1/keys/httpx/ä", json=1, headers=stale).status_code == 412
        assert client.put("/v1/keys/stream", content=iter([b"[1", b",2]"])).status_code == 201
        assert client.get("/v1/keys/stream").json() == [1, 2]
        lines = '{"type":"PING"}\n' * 1000
        told = client.post(
            "/v1/commands", content=lines, headers={"Content-Type": "application/x-ndjson"}
        )
        assert told.text == '{"ok":true,"result":"PONG"}\n' * 1000
        client.delete("/v1/keys/httpx/ä")
    assert httpx.get(url(guarded, "/v1/keys"), timeout=TIMEOUT).status_code == 401


def test_requests_with_basic_authentication(guarded: Server) -> None:
    with requests.Session() as session:
        session.auth = ("me", "secret")
        for number in range(20):
            put = session.put(url(guarded, f"/v1/keys/r{number}"), json=number, timeout=TIMEOUT)
            assert put.status_code == 201
        page = session.get(url(guarded, "/v1/keys"), params={"prefix": "r"}, timeout=TIMEOUT)
        assert sorted(page.json()["keys"]) == sorted(f"r{number}" for number in range(20))
        head = session.head(url(guarded, "/v1/keys/r7"), timeout=TIMEOUT)
        assert head.headers["Content-Length"] == "1"


def test_what_http_stores_the_command_line_reads(guarded: Server) -> None:
    with httpx.Client(base_url=url(guarded), headers=AUTHORIZED, timeout=TIMEOUT) as client:
        client.put("/v1/keys/shared", json={"a": 1})
        read = kv(guarded.port, "GET", "shared", KV_PASSWORD="secret")
        assert read.stdout == '{"a":1}\n'
        assert client.get("/metrics").text.count("kvjson_keys ") == 3


def test_upstashs_client_works(guarded: Server) -> None:
    with Redis(url=url(guarded), token="secret", allow_telemetry=False) as redis:
        assert redis.set("u", "ä", ex=60)
        assert redis.get("u") == "ä"
        assert 0 < redis.ttl("u") <= 60
        assert redis.mset({"u1": "1", "u2": "2"})
        assert redis.mget("u1", "u2", "none") == ["1", "2", None]
        assert redis.incrby("u1", 5) == 6
        assert redis.exists("u1", "none") == 1
        assert redis.setnx("u1", "x") is False
        assert redis.getdel("u2") == "2"
        pipeline: Any = redis.pipeline()
        assert pipeline.set("p", 1).incr("p").get("p").exec() == [True, 2, "2"]
        transaction: Any = redis.multi()
        assert transaction.set("p", 5).decr("p").exec() == [True, 4]
        _, keys = redis.scan(0, match="u*")
        assert set(keys) == {"u", "u1"}
        assert redis.delete("u", "u1", "p") == 3
        with pytest.raises(Exception, match="not an integer"):
            redis.set("text", "x") and redis.incr("text")


def test_upstashs_client_for_asyncio_works(guarded: Server) -> None:
    async def use() -> Any:
        async with AsyncRedis(url=url(guarded), token="secret", allow_telemetry=False) as redis:
            await redis.set("async", "v")
            return await redis.get("async")

    assert asyncio.run(use()) == "v"


PROGRAM = """
import { Redis } from "@upstash/redis";
const redis = new Redis({ url: process.argv[2], token: "secret", enableTelemetry: false });
const told = [
  await redis.set("js", { a: 1, b: "ä" }, { ex: 60 }),
  await redis.get("js"),
  await redis.mset({ x: 1, y: "two" }),
  await redis.mget("x", "y", "none"),
  await redis.pipeline().set("p", 1).incr("p").exec(),
  await redis.multi().set("m", "v").get("m").exec(),
  await redis.scan(0, { match: "x*" }),
  await redis.del("js", "x", "p", "m"),
  await redis.incr("y").catch((error) => error.message),
];
console.log(JSON.stringify(told));
"""


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node.js")
def test_upstashs_client_on_node_works(guarded: Server, tmp_path: Path) -> None:
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "@upstash/redis"]
    if subprocess.run(install, cwd=tmp_path, timeout=TIMEOUT).returncode:
        pytest.skip("npm cannot fetch the client")
    (tmp_path / "program.mjs").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.check_output(
        ["node", "program.mjs", url(guarded)], cwd=tmp_path, encoding="utf-8", timeout=TIMEOUT
    )
    told = json.loads(done)
    assert told[:4] == ["OK", {"a": 1, "b": "ä"}, "OK", [1, "two", None]]
    assert told[4:8] == [["OK", 2], ["OK", "v"], ["0", ["x"]], 4]
    assert "not an integer" in told[8]


def test_a_slow_body_is_cut_and_others_are_served() -> None:
    with running_server("--request-timeout", "0.3") as server, server.connect() as sock:
        sock.sendall(b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1")
        assert httpx.get(url(server, "/v1/keys"), timeout=TIMEOUT).status_code == 200
        assert sock.recv(100).startswith(b"HTTP/1.1 408 ")
        sock.settimeout(TIMEOUT)
        while sock.recv(4096):
            pass


def test_a_client_that_reads_nothing_holds_nobody_up(guarded: Server) -> None:
    with httpx.Client(base_url=url(guarded), headers=AUTHORIZED, timeout=TIMEOUT) as client:
        client.put("/v1/keys/large", json="x" * 1_000_000)
        get = b"GET /v1/keys/large HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n\r\n"
        get = get.replace(b"Host: x", b"Host: localhost")
        with guarded.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(get * 1000)
            assert client.get("/v1/keys/large").status_code == 200
