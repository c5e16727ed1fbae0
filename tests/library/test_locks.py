"""Locks, with many callers in threads, greenlets and tasks, and with clients that vanish."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Coroutine, List, NoReturn

import pytest
from kvjson import (
    AsyncClient,
    AsyncLock,
    BadRequest,
    Client,
    Lock,
    LockLost,
    TimedOut,
    Unavailable,
    Unreachable,
)

from domain.store import MAX_TTL
from entrypoints.library.locks import MAX_PAUSE
from entrypoints.library.runtime import BlockingRuntime, Work, finish
from tests.library.crowd import Programs
from tests.library.kinds import OnLoop, greenlets, threads
from tests.library.programs import python
from tests.library.proxy import Fault, Proxy, reply_lost, request_lost
from tests.library.steps import broken_off_at_each_step, by_steps
from tests.support import TIMEOUT, Clock, Server


def test_a_lock_lets_one_caller_in_at_a_time(programs: Programs) -> None:
    inside: List[int] = []
    most = []

    def caller(number: int) -> Callable[[], None]:
        client = programs.clients[number % 3]

        def work() -> None:
            for _ in range(10):
                with Lock(client, "lock"):
                    inside.append(number)
                    most.append(len(inside))
                    client.set("n", client.get("n", 0) + 1)
                    inside.remove(number)

        return work

    programs.together([caller(number) for number in range(6)])
    assert programs.clients[0].get("n") == 60
    assert set(most) == {1}
    assert not programs.clients[0].exists("lock")


def test_a_lock_object_that_is_shared_lets_one_caller_in_at_a_time(programs: Programs) -> None:
    client = programs.clients[0]
    lock = client.lock("lock")

    def work() -> None:
        for _ in range(10):
            with lock:
                client.set("n", client.get("n", 0) + 1)

    programs.together([work] * 5)
    assert client.get("n") == 50


def test_a_lock_lets_one_task_in_at_a_time(server: Server) -> None:
    async def run() -> Any:
        async with AsyncClient(port=server.port) as client:
            shared = client.lock("lock")

            async def work(lock: AsyncLock) -> None:
                for _ in range(5):
                    async with lock:
                        await client.set("n", await client.get("n", 0) + 1)

            locks = [shared, shared, shared, client.lock("lock")]
            await asyncio.gather(*map(work, locks))
            return await client.get("n"), await client.exists("lock")

    assert asyncio.run(run()) == (20, False)


def test_a_caller_that_cannot_wait_any_longer_is_told(client: Client) -> None:
    assert client.lock("lock").acquire() is True
    late = client.lock("lock")
    assert late.acquire(timeout=0) is False
    assert late.acquire(timeout=0.03) is False
    assert late.release() is False
    assert client.exists("lock")


def test_a_lock_that_was_left_behind_ends_by_itself(client: Client) -> None:
    assert client.lock("lock", ttl=0.05).acquire()
    assert client.lock("lock").acquire(timeout=TIMEOUT)


def test_a_lost_lock_does_not_touch_the_next_holders(client: Client) -> None:
    mine, theirs = client.lock("lock"), client.lock("lock")
    mine.acquire()
    client.delete("lock")  # as if its time was up
    theirs.acquire()
    assert mine.release() is False
    assert mine.renew() is False
    assert mine.release() is False
    assert theirs.renew() is True
    assert theirs.release() is True
    assert theirs.release() is False
    assert not client.exists("lock")


def test_a_thread_that_lost_a_shared_lock_touches_nothing_of_the_next_threads(
    programs: Programs,
) -> None:
    client = programs.clients[0]
    lock = client.lock("lock")
    told = {}

    def first() -> None:
        lock.acquire()
        client.delete("lock")  # as if its time was up
        client.set("lost", True)
        while not client.exists("lock"):
            client.sleep(0.001)
        told["first"] = (lock.release(), lock.renew(), lock.lost)
        client.set("told", True)

    def second() -> None:
        while not client.exists("lost"):
            client.sleep(0.001)
        lock.acquire()
        while not client.exists("told"):
            client.sleep(0.001)
        told["second"] = (lock.renew(), lock.lost, lock.release())

    programs.together([first, second])
    assert told == {"first": (False, False, True), "second": (True, False, True)}


def test_a_lock_that_an_ended_thread_acquired_can_be_released(direct: Client) -> None:
    lock = direct.lock("lock")
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    gc.collect()
    assert lock.release() is True


def test_a_lock_that_a_waiting_thread_acquired_is_not_released_by_others(direct: Client) -> None:
    lock, acquired, go_on = direct.lock("lock"), threading.Event(), threading.Event()

    def hold() -> bool:
        lock.acquire()
        acquired.set()
        go_on.wait(TIMEOUT)
        return lock.release()

    with ThreadPoolExecutor() as pool:
        holding = pool.submit(hold)
        acquired.wait(TIMEOUT)
        assert lock.release() is False
        go_on.set()
        assert holding.result(TIMEOUT) is True


def test_a_lock_acquired_within_a_time_limit_is_its_callers(server: Server) -> None:
    async def run() -> Any:
        async with AsyncClient(port=server.port) as client:
            lock = client.lock("lock")
            await asyncio.wait_for(lock.acquire(), TIMEOUT)
            return await lock.renew(), await lock.release(), await client.exists("lock")

    assert asyncio.run(run()) == (True, True, False)


def test_renewing_a_lock_starts_its_time_again(client: Client) -> None:
    lock = client.lock("lock", ttl=60)
    lock.acquire()
    client.expire("lock", 1)
    assert lock.renew() is True
    assert (client.ttl("lock") or 0) > 50


def test_a_block_that_raises_frees_the_lock(client: Client) -> None:
    with pytest.raises(BadRequest), client.lock("lock"):
        client.scan(limit=0)
    assert client.lock("lock").acquire(timeout=0)


def test_losing_the_lock_in_its_block_raises(client: Client) -> None:
    with pytest.raises(LockLost, match="nightly"), client.lock("nightly"):
        client.delete("nightly")
    assert not client.exists("nightly")


@pytest.mark.parametrize("renew", [False, True])
def test_a_holder_that_fails_to_acquire_once_more_holds_it_still(
    direct: Client, background: Background, renew: bool
) -> None:
    lock = direct.lock("lock", ttl=60, renew=renew)
    assert lock.acquire()
    assert not lock.acquire(timeout=0)
    assert (lock.lost, lock.renew(), repr(lock)[-5:]) == (False, True, "held>")
    assert lock.release()
    assert background.stopped == renew
    assert not direct.exists("lock")
    assert repr(lock)[-9:] == "not held>"


def test_a_task_that_fails_to_acquire_once_more_holds_it_still(server: Server) -> None:
    async def run() -> Any:
        async with AsyncClient(port=server.port) as client:
            lock = client.lock("lock")
            return await lock.acquire(), await lock.acquire(timeout=0), await lock.release()

    assert asyncio.run(run()) == (True, False, True)


def test_a_block_that_lost_the_lock_to_one_inside_it_raises(direct: Client) -> None:
    lock = direct.lock("nightly", ttl=60)

    def lose_it() -> None:
        direct.delete("nightly")
        with lock:
            assert not lock.lost

    with pytest.raises(LockLost, match="nightly"), lock:
        lose_it()
    with lock:
        assert not lock.lost
    assert not direct.exists("nightly")


def test_losing_the_lock_does_not_replace_the_blocks_exception(client: Client) -> None:
    def lose_it() -> None:
        client.delete("lock")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), client.lock("lock"):
        lose_it()


def test_a_server_that_is_gone_does_not_replace_the_blocks_exception(proxy: Proxy) -> None:
    def lose_the_server() -> None:
        proxy.faults.extend([request_lost] * 5)
        raise ZeroDivisionError

    with threads(proxy.port, attempts=1) as client:
        with pytest.raises(ZeroDivisionError), client.lock("lock", ttl=60):
            lose_the_server()
        proxy.faults.clear()
        client.delete("lock")
        with pytest.raises(Unavailable), client.lock("lock", ttl=60):
            proxy.faults.extend([request_lost] * 5)


def test_a_lock_freed_within_its_block_is_not_lost(client: Client) -> None:
    with client.lock("lock") as lock:
        assert lock.release()


def test_a_lock_tells_by_the_clock_that_it_was_lost(direct: Client) -> None:
    clock = Clock()
    direct._runtime.clock = clock
    lock = direct.lock("lock", ttl=60)
    assert not lock.lost
    lock.acquire()
    clock.now += 59
    assert not lock.lost
    lock.renew()
    clock.now += 59
    assert not lock.lost
    assert "held" in repr(lock)
    clock.now += 1
    assert lock.lost
    assert "lost" in repr(lock)
    assert lock.acquire(timeout=0) is False, "another holds it, for all that is known"


@pytest.mark.parametrize("fault", [reply_lost, request_lost])
def test_acquiring_again_after_a_lost_reply_takes_the_lock_over(
    fault: Fault, proxy: Proxy, direct: Client
) -> None:
    with threads(proxy.port, attempts=1) as client:
        client.ping()
        lock = client.lock("lock", ttl=600)
        proxy.faults.append(fault)
        with pytest.raises((Unavailable, TimedOut)):
            lock.acquire()
        assert direct.exists("lock") is (fault is reply_lost)
        assert lock.acquire(timeout=0) is True
        assert lock.release() is True
        assert not direct.exists("lock")


def test_releasing_after_a_lost_reply_frees_the_lock(proxy: Proxy, direct: Client) -> None:
    with threads(proxy.port, attempts=1) as client:
        client.ping()
        lock = client.lock("lock", ttl=600)
        proxy.faults.append(reply_lost)
        with pytest.raises(Unavailable):
            lock.acquire()
        lock.release()
        assert not direct.exists("lock")


def test_a_lock_that_renews_itself_is_kept_until_it_is_released(client: Client) -> None:
    with client.lock("lock", ttl=3, renew=True) as lock:  # a busy machine may be late by a second
        renewals, left = 0, client.ttl("lock")
        while renewals < 2:
            wait(client, 0.005)
            before, left = left, client.ttl("lock")
            assert before
            assert left
            renewals += left > before
        assert not lock.lost
    assert not client.exists("lock")


def test_greenlets_without_patching_renew_in_a_greenlet(server: Server) -> None:
    with greenlets(server.port) as client:
        test_a_lock_that_renews_itself_is_kept_until_it_is_released(client)


class Background:
    """A `Runtime.repeat` whose work is done when a test says so."""

    def __init__(self) -> None:
        self.work: List[Work] = []
        self.stopped = 0

    def repeat(
        self, interval: float, work: Callable[[], Coroutine[Any, Any, bool]]
    ) -> Callable[[], None]:
        assert interval == 20
        self.work.append(work)
        return self._stop

    def _stop(self) -> None:
        self.stopped += 1

    def goes_on(self) -> bool:
        return finish(self.work[-1]())


@pytest.fixture
def background(direct: Client, monkeypatch: pytest.MonkeyPatch) -> Background:
    background = Background()
    monkeypatch.setattr(direct._runtime, "repeat", background.repeat)
    return background


def test_a_renewal_ends_when_the_lock_is_released(direct: Client, background: Background) -> None:
    lock = direct.lock("lock", ttl=60, renew=True)
    lock.acquire()
    direct.expire("lock", 1)
    assert background.goes_on()
    assert (direct.ttl("lock") or 0) > 50
    lock.release()
    assert background.stopped == 1
    assert not background.goes_on()


def test_a_renewal_that_finds_the_lock_gone_tells_its_holder(
    direct: Client, background: Background
) -> None:
    lock = direct.lock("lock", ttl=60, renew=True)
    lock.acquire()
    direct.set("lock", "theirs")
    assert not background.goes_on()
    assert lock.lost
    assert lock.release() is False
    assert direct.get("lock") == "theirs"


def test_a_renewal_ends_with_the_lock_object(direct: Client, background: Background) -> None:
    direct.lock("lock", ttl=60, renew=True).acquire()
    gc.collect()
    assert not background.goes_on()


def test_a_renewal_goes_on_without_a_server_until_the_lock_is_lost(
    direct: Client, background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    direct._runtime.clock = clock
    lock = direct.lock("lock", ttl=60, renew=True)
    lock.acquire()

    def unreachable(_: object) -> NoReturn:
        raise Unreachable("gone")

    monkeypatch.setattr(direct, "_send", unreachable)
    clock.now += 20
    assert background.goes_on()
    clock.now += 40
    assert not background.goes_on()
    assert lock.lost


def test_a_lock_refuses_the_other_kind_of_client() -> None:
    client: Any = Client.local()
    awaited: Any = AsyncClient.local()
    with pytest.raises(TypeError, match="AsyncLock"):
        Lock(awaited, "lock")
    with pytest.raises(TypeError, match="use Lock"):
        AsyncLock(client, "lock")
    with pytest.raises(TypeError):
        Lock(client.pipeline(), "lock")


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e17])
def test_a_lock_refuses_a_ttl_that_cannot_be_meant(ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl"):
        Client.local().lock("lock", ttl=ttl)


def wait(client: Any, seconds: float) -> None:
    """Lets a renewal in the background have its turn."""
    if isinstance(client, OnLoop):
        client.until_done(asyncio.sleep(seconds))
    else:
        client.sleep(seconds)


def test_a_renewal_is_ended_by_a_call_that_no_signal_can_break_off() -> None:
    """Python code could be, and leave a lock of its own behind: the next call would wait for it."""

    async def work() -> bool:
        return True

    stop = BlockingRuntime(Client.local(), time.sleep).repeat(60, work)
    frames: List[Any] = []
    sys.settrace(lambda frame, *_: frames.append(frame))
    try:
        stop()
    finally:
        sys.settrace(None)
    assert [frame.f_code.co_name for frame in frames] == []


def test_a_lock_for_centuries_is_renewed_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client.local()
    intervals: List[float] = []

    def repeat(interval: float, work: Work) -> Callable[[], None]:
        intervals.append(interval)
        return lambda: None

    monkeypatch.setattr(client._runtime, "repeat", repeat)
    assert client.lock("lock", ttl=MAX_TTL, renew=True).acquire()
    assert intervals == [MAX_PAUSE]


FORKED = """
import os, sys
from kvjson import Client

client = Client(port=int(sys.argv[1]))
lock = client.lock("job", ttl=600)
with lock:
    child = os.fork()
    if child == 0:
        print(lock.lost, lock.renew(), lock.release(), flush=True)
        sys.exit(0)
    os.waitpid(child, 0)
    print(client.exists("job"), lock.lost, lock.renew(), flush=True)
print(client.exists("job"))
"""


def test_a_process_that_is_forked_has_none_of_the_locks_of_its_parent(server: Server) -> None:
    ended = python(FORKED, server.port, warnings="ignore")
    assert ended.stdout == "False False False\nTrue False True\nFalse\n"
    assert ended.returncode == 0


FILES = ("library/locks.py", "library/runtime.py")


@by_steps
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_lock_is_free_after_a_release_wherever_its_acquisition_was_broken_off() -> None:
    client = Client.local()
    lock = client.lock("lock", ttl=600)
    for step in broken_off_at_each_step(lambda: lock.acquire, FILES):
        lock.release()
        assert not client.exists("lock"), step
    assert lock.release()


@by_steps
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_lock_is_free_after_a_second_release_wherever_the_first_was_broken_off() -> None:
    client = Client.local()
    lock = client.lock("lock", ttl=600)

    def acquired() -> Callable[[], object]:
        assert lock.acquire(timeout=0)
        return lock.release

    for step in broken_off_at_each_step(acquired, FILES):
        lock.release()
        assert not client.exists("lock"), step
