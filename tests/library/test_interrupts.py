"""Calls that are broken off: no later call gets a reply to them.

Rule: no call that is broken off costs a connection.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any, Callable, Iterator, List

import gevent
import pytest
from kvjson import AsyncClient, Client

from tests.library.crowd import at_once
from tests.library.kinds import greenlets, tasks, threads
from tests.library.programs import python
from tests.library.proxy import Link, Proxy, passed_on
from tests.library.steps import broken_off_at_each_step, by_steps
from tests.support import TIMEOUT, Server


class Interrupted(BaseException):
    """As `KeyboardInterrupt`, which would end the tests."""


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Interrupts the main thread, from another one."""

    def handle(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handle)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_a_thread_that_is_interrupted_leaves_no_answer_to_the_next(
    proxy: Proxy, direct: Client, interrupt: Callable[[], None]
) -> None:
    direct.mset({"a": "wrong", "b": "right"})
    with threads(proxy.port, max_connections=1) as client:
        proxy.hold(then=interrupt)
        with pytest.raises(Interrupted):
            client.get("a")
        proxy.release()
        assert [client.get("b") for _ in range(3)] == ["right"] * 3


def test_a_greenlet_that_is_timed_out_or_killed_leaves_no_answer_to_the_next(
    proxy: Proxy, direct: Client
) -> None:
    direct.mset({"a": "wrong", "b": "right"})
    with greenlets(proxy.port, max_connections=1) as client:
        proxy.hold()
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
            client.get("a")
        proxy.release()
        assert [client.get("b") for _ in range(3)] == ["right"] * 3
        asked = threading.Event()
        proxy.hold(then=asked.set)
        killed = gevent.spawn(client.get, "a")
        while not asked.is_set():
            gevent.sleep(0.001)
        killed.kill()
        proxy.release()
        assert [client.get("b") for _ in range(3)] == ["right"] * 3


def test_a_task_that_is_cancelled_leaves_no_answer_to_the_next(
    proxy: Proxy, direct: Client
) -> None:
    direct.mset({"a": "wrong", "b": "right"})
    asked = threading.Event()

    async def cancelled(client: AsyncClient) -> Any:
        task = asyncio.ensure_future(client.get("a"))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.release()
        return [await client.get("b") for _ in range(3)]

    with tasks(proxy.port, max_connections=1) as client:
        proxy.hold(then=asked.set)
        assert at_once(client, [cancelled]) == [["right"] * 3]


def test_a_lock_whose_acquisition_is_interrupted_is_free(
    proxy: Proxy, direct: Client, interrupt: Callable[[], None]
) -> None:
    with threads(proxy.port) as client:
        lock = client.lock("lock", ttl=600)
        for leave in (lock.acquire, lock.__enter__):
            is_done = proxy.delay(then=interrupt)
            with pytest.raises(Interrupted):
                leave()
            assert is_done.wait(TIMEOUT)
            assert direct.count() == 0
        assert lock.acquire(timeout=0)
        is_done = proxy.delay(then=interrupt)
        with pytest.raises(Interrupted):
            lock.release()
        assert is_done.wait(TIMEOUT)
        assert direct.count() == 0


def test_locks_of_greenlets_that_are_killed_together_are_free(server: Server) -> None:
    with greenlets(server.port) as client:

        def hold() -> None:
            with client.lock("lock", ttl=600):
                gevent.sleep(TIMEOUT)

        for _ in range(20):
            holders = [gevent.spawn(hold) for _ in range(5)]
            gevent.sleep(0.0002)
            gevent.killall(holders)
            assert all(isinstance(holder.value, gevent.GreenletExit) for holder in holders)
            assert client.count() == 0


def test_a_claim_of_a_cached_function_that_is_interrupted_is_free(
    proxy: Proxy, direct: Client, interrupt: Callable[[], None]
) -> None:
    with threads(proxy.port) as client:
        made = client.cached(ttl=60, name="made", lock_timeout=600)(lambda: "right")
        proxy.faults.append(passed_on)  # it looks, then it claims
        is_done = proxy.delay(then=interrupt)
        with pytest.raises(Interrupted):
            made()
        assert is_done.wait(TIMEOUT)
        assert direct.count() == 0
        assert made() == "right"


def test_a_lock_whose_acquisition_is_cancelled_is_free(proxy: Proxy, direct: Client) -> None:
    async def cancelled(client: AsyncClient) -> List[int]:
        lock, counts = client.lock("lock", ttl=600), []
        for n_cancels in (1, 1, 1, 2, 3, 4):
            asked = threading.Event()
            is_done = proxy.delay(then=asked.set)
            task = asyncio.ensure_future(lock.acquire())
            while not asked.is_set():
                await asyncio.sleep(0.001)
            for _ in range(n_cancels):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])
            assert task.cancelled()
            is_done.wait(TIMEOUT)
            counts.append(direct.count())
        return counts

    with tasks(proxy.port) as client:
        assert at_once(client, [cancelled]) == [[0] * 6]


def test_a_lock_of_a_greenlet_that_is_killed_twice_is_free(proxy: Proxy, direct: Client) -> None:
    with greenlets(proxy.port) as client:
        asked = threading.Event()
        is_done = proxy.delay(then=asked.set)
        holder = gevent.spawn(client.lock("lock", ttl=600).acquire)
        while not asked.is_set():
            gevent.sleep(0.001)
        for _ in range(3):
            holder.kill(block=False)
            gevent.sleep(0.001)
        holder.join()
        assert isinstance(holder.value, gevent.GreenletExit)
        assert is_done.wait(TIMEOUT)
        assert direct.count() == 0


def test_a_task_that_is_cancelled_ends_even_if_its_answer_has_just_arrived(
    proxy: Proxy, direct: Client
) -> None:
    direct.set("k", 1)

    async def attempt(client: AsyncClient, turns: int) -> bool:
        """Whether a cancelled task ends, after so many turns of the loop with the answer there."""
        asked, go_on, sent = threading.Event(), threading.Event(), threading.Event()

        def answered(link: Link, request: bytes) -> None:
            reply = link.ask(request)
            asked.set()
            go_on.wait(TIMEOUT)
            link.client.sendall(reply)
            sent.set()

        proxy.faults.append(answered)
        task = asyncio.ensure_future(client.get("k"))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        go_on.set()
        sent.wait(TIMEOUT)
        for _ in range(turns):
            await asyncio.sleep(0)
        told = task.cancel()
        await asyncio.wait([task])
        return task.cancelled() if told else task.result() == 1

    async def attempts(client: AsyncClient) -> List[bool]:
        return [await attempt(client, turns) for turns in range(10)]

    with tasks(proxy.port) as client:
        assert at_once(client, [attempts]) == [[True] * 10]


def test_connections_of_calls_that_were_broken_off_can_be_used_again(proxy: Proxy) -> None:
    async def crowd(client: AsyncClient) -> None:
        broken_off = [asyncio.ensure_future(client.ping()) for _ in range(20)]
        for number, task in enumerate(broken_off):
            for _ in range(number % 7):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait(broken_off)

    async def ping(client: AsyncClient) -> str:
        return await client.ping()

    with tasks(proxy.port, max_connections=3) as client:
        at_once(client, [crowd] * 5)
        proxy.gather(3)
        assert at_once(client, [ping] * 3) == ["PONG"] * 3


SIGNALLED = """
import random, signal, sys
import kvjson

class Interrupted(BaseException):
    pass

def handle(*_):
    raise Interrupted

signal.signal(signal.SIGALRM, handle)
client = kvjson.Client(port=int(sys.argv[1]), max_connections=2, connect_timeout=5)
keys = [f"k{number}" for number in range(10)]
client.mset({key: key for key in keys})
chance = random.Random(sys.argv[2])
interrupted, wrong = 0, 0
while interrupted < 2000:
    try:
        try:
            # Again a second later: what is raised where Python frees objects is lost.
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.0003), 1.0)
            while True:
                key = chance.choice(keys)
                wrong += client.get(key) != key
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupted:
        interrupted += 1
leases = client._executor.lender.leases()
both = [leases.take(), leases.take()]
print(wrong, both.count(None), leases.take())
"""


def test_a_signal_at_any_point_of_a_call_loses_no_connection_and_no_reply(server: Server) -> None:
    ended = python(SIGNALLED, server.port, "seed", warnings="ignore")
    assert ended.stdout == "0 0 None\n"


@by_steps
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of one that nothing knows yet
@pytest.mark.parametrize("is_connected", [True, False])
def test_a_call_that_is_broken_off_at_any_step_costs_no_connection(
    server: Server, is_connected: bool
) -> None:
    files = [f"client/{name}.py" for name in ("pool", "lender", "leases", "tcp", "connection")]
    files += ["client/unread.py", "client/network.py", "library/client.py"]
    files += [f"client/json_lines/{name}.py" for name in ("session", "lines", "marks")]
    files += [f"client/json_lines/{name}.py" for name in ("requests", "replies")]
    with threads(server.port, max_connections=1) as client:
        client.mset({"a": "wrong", "b": "right"})

        def connected() -> Callable[[], object]:
            if not is_connected:
                client.close()
            return lambda: client.get("a")

        for step in broken_off_at_each_step(connected, tuple(files)):
            assert client.get("b") == "right", step


def test_tasks_that_are_cancelled_twice_lose_no_connection(proxy: Proxy) -> None:
    async def cancelled_twice(client: AsyncClient) -> None:
        for turn in range(40):
            task = asyncio.ensure_future(client.incr("n"))
            for _ in range(turn % 8):
                await asyncio.sleep(0)
            for _ in range(turn % 5):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])

    async def ping(client: AsyncClient) -> str:
        return await client.ping()

    with tasks(proxy.port, max_connections=3) as client:
        at_once(client, [cancelled_twice] * 8)
        pool: Any = client._executor
        (leases,) = pool._leases.values()
        assert leases.lent == 0
        proxy.gather(3)
        assert at_once(client, [ping] * 3) == ["PONG"] * 3
