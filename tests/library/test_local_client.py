"""Clients of a store in their own process: what was begun is ended, and nothing waits for ever."""

from __future__ import annotations

import signal
import threading
import time
from typing import Any, Callable, Iterator, cast

import pytest
from kvjson import Client

from tests.library.programs import complaints, python
from tests.support import TIMEOUT


class Interrupted(Exception):
    """What the handler of a signal raises."""


class Held:
    """A local client whose next call, once it has begun, does something until it is released."""

    def __init__(self) -> None:
        self.client = Client.local()
        self.release = threading.Event()
        self._session: Any = cast(Any, self.client)._executor._client

    def next_call(self, then: Callable[[], object]) -> None:
        send = self._session.send

        def waiting(commands: Any) -> Any:
            self._session.send = send
            end = time.monotonic() + TIMEOUT
            while not self.release.wait(0.01) and time.monotonic() < end:
                then()  # again: a signal right before its thread blocks does not wake that
            return send(commands)

        self._session.send = waiting


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.release.set()


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Has the main thread call a function when `send_signal` is first called."""

    def handle_by(function: Callable[[], None]) -> None:
        def handle(*_: object) -> None:
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            function()

        signal.signal(signal.SIGUSR2, handle)

    before = signal.getsignal(signal.SIGUSR2)
    yield handle_by
    signal.signal(signal.SIGUSR2, before)


def send_signal() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)


def test_a_local_call_that_is_interrupted_is_carried_out_as_a_whole(
    held: Held, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    def interrupt() -> None:
        raise Interrupted

    on_signal(interrupt)
    held.next_call(then=send_signal)
    with pytest.raises(Interrupted):
        held.client.mset({str(number): number for number in range(1000)})
    held.release.set()
    assert held.client.count() == 1000


def test_the_handler_of_a_signal_may_call_a_local_client_that_is_in_a_call(
    held: Held, on_signal: Callable[[Callable[[], None]], None]
) -> None:
    def call() -> None:
        held.release.set()
        held.client.incr("k", 5)

    on_signal(call)
    held.next_call(then=send_signal)
    held.client.set("k", 1)
    assert held.client.get("k") == 6


def test_a_local_client_refuses_a_call_within_its_own(held: Held) -> None:
    refused = []

    def call() -> None:
        with pytest.raises(RuntimeError, match="within one of its own calls"):
            held.client.ping()
        refused.append(True)
        held.release.set()

    held.next_call(then=call)
    held.client.set("k", 1)
    assert refused
    assert held.client.get("k") == 1


def test_a_local_client_works_in_a_process_forked_while_a_thread_calls_it() -> None:
    assert not complaints(
        """
        import os, threading, kvjson
        client = kvjson.Client.local()
        client.mset({"x": 0, "y": 0})

        def write():
            while True:
                client.mset(dict.fromkeys("xy", client.incr("n")))

        threading.Thread(target=write, daemon=True).start()
        for _ in range(50):
            child = os.fork()
            if not child:
                found = client.mget(["x", "y"])
                os._exit(found["x"] != found["y"])
            assert os.waitpid(child, 0)[1] == 0
        os._exit(0)
    """,
        warnings="ignore",
    )


def test_a_local_client_can_be_called_while_its_program_ends() -> None:
    done = python("""
        import builtins, kvjson

        class Last:
            def __init__(self):
                self.client = kvjson.Client.local()
                self.client["k"] = 1

            def __del__(self):
                print(self.client["k"])

        builtins.last = Last()
    """)
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


def test_greenlets_wait_for_a_lock_of_a_local_client_in_a_program_that_gevent_patches_later() -> (
    None
):
    assert not complaints(
        """
        import kvjson
        client = kvjson.Client.local()
        from gevent import monkey
        monkey.patch_all()
        import gevent

        def work():
            with client.lock("lock"):
                gevent.sleep(0.001)

        gevent.joinall([gevent.spawn(work) for _ in range(5)], raise_error=True)
    """,
        warnings="ignore",
    )
