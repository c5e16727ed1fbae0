"""Callers that share a client: each gets its own answers, over no more connections than allowed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Deque, List, TypeVar

import pytest
from kvjson import AsyncClient, Client

from tests.engines import programs, shared
from tests.library.crowd import Script, at_once, in_threads
from tests.library.kinds import Kind, local
from tests.library.programs import complaints
from tests.library.proxy import Proxy
from tests.support import TIMEOUT, Server, client_container

T = TypeVar("T")


def caller(number: int) -> Script[bool]:
    """Whether a hundred answers are all to what one caller asked."""

    async def work(client: AsyncClient) -> bool:
        key, right = f"caller:{number}", True
        for turn in range(100):
            await client.set(key, [number, turn])
            right &= await client.get(key) == [number, turn]
        return right

    return work


def test_every_caller_gets_its_own_answers_over_as_many_connections_as_allowed(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    before = direct.info()["server"]["accepted_clients"]
    with kind(proxy.port, max_connections=3) as client:
        proxy.gather(3)
        assert at_once(client, [caller(number) for number in range(8)]) == [True] * 8
        assert direct.info()["server"]["accepted_clients"] - before == 3


PATCHED = """
from gevent import monkey
monkey.patch_all()
import sys, gevent, kvjson

begun, most = set(), [0]

def work(number):
    begun.add(number)
    for turn in range(50):
        client.set(f"caller:{number}", [number, turn])
        assert client.get(f"caller:{number}") == [number, turn]
        most[0] = max(most[0], len(begun))
    begun.discard(number)

client = kvjson.Client(port=int(sys.argv[1]), max_connections=3)
before = client.info()["server"]["accepted_clients"]
callers = [gevent.spawn(work, number) for number in range(20)]
gevent.joinall(callers, raise_error=True)
assert most[0] > 1, "each waited for the one before"
assert client.info()["server"]["accepted_clients"] - before == 2
client.close()
"""


def test_the_client_for_threads_serves_greenlets_where_gevent_has_patched_all(
    server: Server,
) -> None:
    assert complaints(PATCHED, server.port) == ""


FORKED = """
import os, sys, kvjson
client = kvjson.Client(port=int(sys.argv[1]))
before = client.info()["server"]["accepted_clients"]
if os.fork() == 0:
    client.ping()
    os._exit(0)
os.wait()
assert client.info()["server"]["accepted_clients"] == before + 1
client.close()
"""


def test_a_forked_child_opens_connections_of_its_own(server: Server) -> None:
    assert complaints(FORKED, server.port) == ""


def test_threads_that_share_a_store_in_this_process_do_not_disturb_each_other() -> None:
    with local() as client:

        def count() -> None:
            for _ in range(500):
                client.incr("n")

        in_threads([count] * 8)
        assert client.get("n") == 4000


def test_a_closed_asyncio_pool_serves_another_event_loop(server: Server) -> None:
    client = AsyncClient(port=server.port, max_connections=2)

    async def crowd() -> List[str]:
        async with client:
            return list(await asyncio.gather(*[client.ping() for _ in range(5)]))

    assert asyncio.run(crowd()) == ["PONG"] * 5
    assert asyncio.run(crowd()) == ["PONG"] * 5


def test_two_threads_can_close_the_idle_connections_at_once() -> None:
    pool: Any = client_container("127.0.0.1", 1, network="threads").executor()
    idle = Contended([pool.lender.leases().take()])
    pool.lender.leases()._idle = idle
    in_threads([pool.close] * 2)
    assert not len(list(idle))


FORKED_UNSEEN = """
import ctypes, os, sys, kvjson
client = kvjson.Client(sys.argv[1], network=sys.argv[2], total_timeout=20)
client.mset({"parent": "parent", "child": "child"})
for _ in range(5):
    child = ctypes.CDLL(None).fork() == 0
    name = "child" if child else "parent"
    right = all([client.get(name) == name for _ in range(300)])
    if child:
        os._exit(0 if right else 1)
    assert right, "the parent got what the child asked for"
    assert os.wait()[1] == 0, "the child got what the parent asked for"
client.close()
"""


@pytest.fixture(params=["a server", "an engine"])
def url(request: pytest.FixtureRequest, server: Server) -> str:
    if request.param == "a server":
        return f"kv://127.0.0.1:{server.port}"
    for name in programs():
        return shared(name).url
    pytest.skip("no Redis or Valkey is here")


@pytest.mark.parametrize("network", ["threads", "gevent"])
def test_a_process_that_was_forked_unseen_by_python_has_connections_of_its_own(
    url: str, network: str
) -> None:
    warnings = "error" if url.startswith("kv:") else "ignore"  # redis-py's, of an old Python
    assert complaints(FORKED_UNSEEN, url, network, warnings=warnings) == ""


FORKED_ASYNCIO = """
import asyncio, os, sys, kvjson
client = kvjson.AsyncClient(port=int(sys.argv[1]))

async def get(name):
    return [await client.get(name) for _ in range(100)] == [name] * 100

async def main():
    await client.set("parent", "parent")
    await client.set("child", "child")
    if os.fork() == 0:
        try:
            right = asyncio.run(get("child"))
        finally:
            os._exit(0 if right else 1)
    assert await get("parent"), "the parent got what the child asked for"
    assert os.wait()[1] == 0, "the child got what the parent asked for"
    assert await get("parent"), "the child has closed the parent's connection"
    await client.close()

asyncio.run(main())
"""


def test_a_process_that_was_forked_by_a_task_has_connections_of_its_own(server: Server) -> None:
    assert complaints(FORKED_ASYNCIO, server.port) == ""


LOOPS = """
import asyncio, sys, kvjson
client = kvjson.AsyncClient(port=int(sys.argv[1]), max_connections=2)

async def crowd():
    return await asyncio.gather(*[client.ping() for _ in range(20)])

for _ in range(3):
    assert asyncio.run(crowd()) == ["PONG"] * 20
assert len(client._executor._leases) == 1, "loops that have ended are not kept"
"""


def test_a_client_that_was_not_closed_serves_one_event_loop_after_the_other(
    server: Server,
) -> None:
    assert complaints(LOOPS, server.port, warnings="ignore") == ""


def test_event_loops_of_two_threads_share_a_client(server: Server, direct: Client) -> None:
    client = AsyncClient(port=server.port, max_connections=2)

    async def crowd() -> None:
        async with client:
            await asyncio.gather(*[client.incr("n") for _ in range(100)])

    in_threads([lambda: asyncio.run(crowd())] * 2)
    assert direct.get("n") == 200


PATCHED_LATE = """
import sys, kvjson
client = kvjson.Client(port=int(sys.argv[1]), max_connections=3)
client.set("n", 0)
from gevent import monkey
monkey.patch_all()
import gevent

begun, most = set(), [0]

def work(number):
    begun.add(number)
    for _ in range(50):
        client.incr("n")
        most[0] = max(most[0], len(begun))
    begun.discard(number)

gevent.joinall([gevent.spawn(work, number) for number in range(20)], raise_error=True)
assert client.get("n") == 1000
assert most[0] > 1, "each waited for the one before"
connection = client._executor.lender.leases().take().connection
assert type(connection._link.sock).__module__ == "gevent._socket3"
client.close()
"""


def test_a_client_serves_greenlets_in_a_program_that_gevent_patches_later(server: Server) -> None:
    assert complaints(PATCHED_LATE, server.port) == ""


KILLED = """
from gevent import monkey
monkey.patch_all()
import random, sys, time, gevent, kvjson

client = kvjson.Client(port=int(sys.argv[1]), max_connections=2)
random.seed(1)
longest = 0

def work(number):
    global longest
    began = time.monotonic()
    client.set(str(number), number)
    assert client.get(str(number)) == number
    longest = max(longest, time.monotonic() - began)

running = set()
for number in range(1500):
    running.add(gevent.spawn(work, number))
    if random.random() < 0.5:
        gevent.spawn_later(random.random() * 0.01, [*running][-1].kill, block=False)
    while len(running) >= 20:
        gevent.sleep(0.0005)
        running = {each for each in running if not each.ready()}
gevent.joinall(running)
assert longest < 0.5, longest
"""


@pytest.mark.timing
def test_greenlets_that_are_killed_leave_no_connection_where_nobody_finds_it(
    server: Server,
) -> None:
    assert complaints(KILLED, server.port) == ""


class Contended(Deque[Any]):
    """Two threads that find something in it have found the same."""

    both = threading.Barrier(2)

    def __bool__(self) -> bool:
        found = len(self) > 0
        if found:
            self.both.wait(TIMEOUT)
        return found
