"""A server in the program's own process, and clients without any server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest
from kvjson import (
    AsyncClient,
    Client,
    Limits,
    OutOfMemory,
    TooLarge,
    Unauthenticated,
    Unavailable,
    serve,
)

from entrypoints.local_container import LocalContainer
from tests.certificates import Files
from tests.model import ModelStore
from tests.support import ROOT, TIMEOUT, Clock, kv


def test_a_server_in_this_process_serves_this_program_and_others() -> None:
    with serve() as server, server.client() as client:
        client["k"] = [1, 2]
        assert server.url == f"kv://127.0.0.1:{server.port}"
        assert kv(server.port, "get", "k").stdout == "[1,2]\n"
        kv(server.port, "set", "k", "other")
        assert client["k"] == "other"
        assert repr(server) == f"<EmbeddedServer {server.url}>"
    assert repr(server) == "<EmbeddedServer closed>"


def test_a_server_that_was_closed_is_gone_and_can_be_closed_again() -> None:
    before = threading.active_count()
    server = serve()
    client = server.client(attempts=1)
    client.ping()
    server.close()
    server.close()
    assert threading.active_count() <= before  # one of another test may have ended meanwhile
    with pytest.raises(Unavailable):
        client.ping()
    socket.create_server(("127.0.0.1", server.port)).close()


def test_several_servers_have_stores_of_their_own() -> None:
    with serve() as one, serve() as other, one.client() as first, other.client() as second:
        first["k"] = 1
        second["k"] = 2
        assert (first["k"], second["k"]) == (1, 2)


def test_a_server_serves_tasks_of_the_same_thread() -> None:
    async def run(url: str) -> Any:
        async with AsyncClient(url) as client:
            await asyncio.gather(*(client.incr("n") for _ in range(100)))
            return await client.get("n")

    with serve() as server:
        assert asyncio.run(run(server.url)) == 100


def test_a_server_takes_the_settings_of_the_program() -> None:
    limits = Limits(max_key_bytes=10, max_request_bytes=2000, max_reply_bytes=4000)
    options: Any = {"password": "right", "max_memory": 1000, "limits": limits}
    with serve(**options) as server:
        with server.client() as client:
            with pytest.raises(OutOfMemory):
                client.mset({f"{number}": "x" * 90 for number in range(10)})
            with pytest.raises(TooLarge):
                client.set("k", "x" * 2000)
        with Client(server.url, password="wrong") as client, pytest.raises(Unauthenticated):
            client.ping()
        assert "right" not in repr(server) + server.url


def test_a_server_speaks_tls(files: Files) -> None:
    certificate, key = files.server
    options: Any = {"tls_cert": certificate, "tls_key": key}
    with serve(**options) as server, server.client(tls_ca=files.authority) as client:
        assert server.url.startswith("kvs://")
        assert client.ping() == "PONG"


def test_a_server_serves_another_engine() -> None:
    store = ModelStore(Clock())
    with serve(store=store) as server, server.client() as client:
        client["k"] = [1]
    assert store.get("k") == b"[1]"


def test_an_address_that_is_taken_is_told_where_the_server_is_started() -> None:
    with serve() as server, pytest.raises(OSError, match="in use"):
        serve(port=server.port)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"host": "0.0.0.0"}, "0.0.0.0"),
        ({"memory_policy": "evict"}, "max_memory"),
        ({"memory_policy": "forget", "max_memory": 1}, "forget"),
        ({"tls_key": "key.pem"}, "tls_cert"),
        ({"tls_cert": "none.pem"}, "tls_cert='none.pem' cannot be used: No such file"),
        ({"max_memory": -1}, "max_memory=-1 is not 0, or from 1"),
        ({"max_memory": "64mb"}, "max_memory"),
        ({"max_memory": True}, "max_memory"),
        ({"password": 5}, "password"),
        ({"password": ""}, "password is empty"),
        ({"password": "x" * 2049}, "password: it is longer than 2,048 bytes"),
        ({"limits": 5}, "limits"),
    ],
)
def test_bad_arguments_of_serve_are_refused_before_anything_starts(
    options: Any, named: str
) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match=named):
        serve(**options)
    assert threading.active_count() <= before


def test_an_unknown_option_is_refused_by_name() -> None:
    options: Any = {"pasword": "x"}
    with pytest.raises(TypeError, match="pasword"):
        serve(**options)


def ran(program: str) -> subprocess.CompletedProcess[str]:
    """A program of Python, once it has ended."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_a_server_runs_where_gevent_has_patched_the_standard_library() -> None:
    program = """
        import gevent.monkey; gevent.monkey.patch_all()
        import gevent, kvjson
        with kvjson.serve() as server, server.client() as client:
            gevent.joinall([gevent.spawn(client.incr, "n") for _ in range(20)], raise_error=True)
            with client.lock("lock", renew=True):
                print(client["n"])
        gevent.sleep(0)
        print("over")
    """
    done = ran(program)
    assert (done.stdout, done.stderr) == ("20\nover\n", "")


@pytest.mark.parametrize("begin", ["kvjson.serve()", "kvjson.Client(network='gevent').close()"])
def test_gevent_that_a_thread_imported_starts_other_programs_in_the_main_one(begin: str) -> None:
    program = f"""
        import threading, kvjson
        thread = threading.Thread(target=lambda: {begin})
        thread.start()
        thread.join()
        import gevent.subprocess
        print(gevent.subprocess.check_output(["echo", "started"]))
    """
    done = ran(program)
    assert (done.stdout, done.stderr) == ("b'started\\n'\n", "")


def test_a_program_that_leaves_its_server_running_ends() -> None:
    program = "import kvjson; server = kvjson.serve(); print(server.client().ping())"
    done = ran(program)
    assert (done.returncode, done.stdout) == (0, "PONG\n")


def test_local_clients_have_stores_of_their_own() -> None:
    one, other = Client.local(), Client.local()
    one["k"] = 1
    assert "k" not in other


def test_every_part_of_a_local_client_can_be_swapped() -> None:
    clock = Clock()
    container = LocalContainer()
    container.clock.override(clock)
    client = Client.local()
    client._use(container.executor(), "local")
    client.set("k", 1, ttl=60)
    clock.now += 59
    assert client.get("k") == 1
    clock.now += 1
    assert client.get("k") is None


def test_a_local_client_for_asyncio_has_the_same_methods() -> None:
    async def run() -> Any:
        async with AsyncClient.local() as client:
            await client.set("k", [1])
            async with client.batch() as batch:
                value = batch.getdel("k")
            async with client.lock("lock"):
                return value.result, await client.count()

    assert asyncio.run(run()) == ([1], 1)


def test_what_is_logged_is_not_written_unasked() -> None:
    program = (
        "import kvjson\n"
        "client = kvjson.Client.local()\n"
        "try:\n"
        "    client.set('large', 'x' * 5_000_000)\n"
        "except kvjson.TooLarge:\n"
        "    print('refused')\n"
    )
    done = ran(program)
    assert (done.stdout, done.stderr) == ("refused\n", "")
