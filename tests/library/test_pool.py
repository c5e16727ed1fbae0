"""Callers that share a client: each gets its own answers, over no more connections than allowed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Deque, List, TypeVar

import pytest
from kvjson import AsyncClient, Client, TimedOut, Unavailable, Unreachable

from tests.library.crowd import Script, at_once, in_threads
from tests.library.kinds import Kind, greenlets, local, tasks, threads
from tests.library.proxy import Proxy, request_lost
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


def test_who_waits_for_a_connection_in_vain_is_told_in_time(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    direct.set("k", "right")

    async def told(client: AsyncClient) -> Any:
        try:
            return await client.get("k")
        except TimedOut as error:
            proxy.release()
            return str(error)

    with kind(proxy.port, max_connections=1, connect_timeout=0.5) as client:
        proxy.hold()
        assert sorted(at_once(client, [told, told])) == ["all 1 connections are in use", "right"]
        assert in_the_end(lambda: client.get("k")) == "right"


def holding(proxy: Proxy) -> None:
    proxy.hold()


def dripping(proxy: Proxy) -> None:
    proxy.drip(0.6)


def losing(proxy: Proxy) -> None:
    proxy.faults.extend([request_lost] * 1000)


def in_the_end(call: Callable[[], T]) -> T:
    """What a call gives, when a machine that is busy with something else has let it."""
    for _ in range(20):
        with contextlib.suppress(TimedOut, Unreachable):
            return call()
    raise AssertionError("that was no stall")


@pytest.mark.parametrize(("fault", "total"), [(holding, 0.3), (dripping, 0.9), (losing, 0.3)])
def test_a_call_with_all_that_belongs_to_it_ends_in_time(
    kind: Kind, fault: Callable[[Proxy], None], total: float, proxy: Proxy, direct: Client
) -> None:
    direct.set("k", "right" * 100)
    with kind(proxy.port, total_timeout=total, attempts=1000) as client:
        fault(proxy)
        started = time.monotonic()
        with pytest.raises((TimedOut, Unavailable)):
            client.get("k")
        assert time.monotonic() - started < 10
        proxy.faults.clear()
        proxy.release()
        assert in_the_end(lambda: client.get("k")) == "right" * 100


def test_a_call_that_is_tried_again_and_again_ends_in_time(kind: Kind, proxy: Proxy) -> None:
    with kind(proxy.port, total_timeout=0.3, attempts=1000) as client, proxy.refusing():
        started = time.monotonic()
        with pytest.raises((TimedOut, Unreachable)):
            client.incr("n")
        assert time.monotonic() - started < 10


def test_waiting_for_a_connection_counts_too(kind: Kind, proxy: Proxy) -> None:
    async def told(client: AsyncClient) -> bool:
        try:
            return not await client.ping()
        except (TimedOut, Unreachable):
            return True

    with kind(proxy.port, max_connections=1, connect_timeout=0, total_timeout=0.3) as client:
        for _ in range(30):
            proxy.hold()
        started = time.monotonic()
        assert at_once(client, [told] * 30) == [True] * 30
        assert time.monotonic() - started < 5, "they have waited at the same time"


@pytest.mark.parametrize(
    "kind",
    [threads, greenlets, tasks],
)
def test_the_end_of_the_time_for_all_is_told_as_such(kind: Kind, proxy: Proxy) -> None:
    with kind(proxy.port, total_timeout=0.2, attempts=1000) as client, proxy.refusing():
        attempt = client.ping
        with pytest.raises(TimedOut):
            attempt()


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
