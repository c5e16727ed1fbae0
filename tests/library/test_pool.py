"""Callers that share a client: each gets its own answers, over no more connections than allowed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any, Deque, List, TypeVar

from kvjson import AsyncClient, Client

from tests.library.crowd import Script, at_once, in_threads
from tests.library.kinds import Kind, local
from tests.library.proxy import Proxy
from tests.support import ROOT, TIMEOUT, Server, client_container, environment

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
    assert run(PATCHED, server.port) == ""


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


def test_after_a_fork_the_child_has_connections_of_its_own(server: Server) -> None:
    assert run(FORKED, server.port) == ""


def run(program: str, port: int) -> str:
    """What a program complains of, with warnings as errors."""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(port)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        timeout=TIMEOUT,
    )
    return ended.stderr or f"{ended.returncode or ''}"


def test_threads_that_share_a_store_in_this_process_do_not_disturb_each_other() -> None:
    with local() as client:

        def count() -> None:
            for _ in range(500):
                client.incr("n")

        in_threads([count] * 8)
        assert client.get("n") == 4000


def test_after_it_was_closed_it_serves_another_event_loop(server: Server) -> None:
    client = AsyncClient(port=server.port, max_connections=2)

    async def crowd() -> List[str]:
        async with client:
            return list(await asyncio.gather(*[client.ping() for _ in range(5)]))

    assert asyncio.run(crowd()) == ["PONG"] * 5
    assert asyncio.run(crowd()) == ["PONG"] * 5


class Contended(Deque[Any]):
    """Whoever finds something in it has found it together with another thread."""

    both = threading.Barrier(2)

    def __len__(self) -> int:
        found = super().__len__()
        if found:
            self.both.wait(TIMEOUT)
        return found

    def __bool__(self) -> bool:
        return len(self) > 0


def test_two_threads_can_let_go_of_the_idle_connections_at_once() -> None:
    container = client_container("127.0.0.1", 1, network="threads")
    pool: Any = container.executor()
    pool._idle = Contended([container.connection()])
    in_threads([pool.close] * 2)
