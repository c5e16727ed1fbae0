"""How long a call may take: for a connection, for progress, and with all that belongs to it."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from typing import Any, Callable, Iterator, TypeVar

import pytest
from kvjson import AsyncClient, Client, TimedOut, Unavailable, Unreachable

from tests.library.crowd import at_once
from tests.library.kinds import Kind, greenlets, tasks, threads
from tests.library.proxy import Proxy, request_lost
from tests.support import TIMEOUT

T = TypeVar("T")


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

    with kind(proxy.port, max_connections=1, connect_timeout=0.3) as client:
        proxy.hold()
        assert sorted(at_once(client, [told, told])) == ["all 1 connections are in use", "right"]
        assert in_the_end(lambda: client.get("k")) == "right"


def holding(proxy: Proxy) -> None:
    proxy.hold()


def dripping(proxy: Proxy) -> None:
    proxy.drip(0.35)


def losing(proxy: Proxy) -> None:
    proxy.faults.extend([request_lost] * 1000)


def in_the_end(call: Callable[[], T]) -> T:
    """The outcome of a call, whatever else delays the machine."""
    for _ in range(20):
        with contextlib.suppress(TimedOut, Unreachable):
            return call()
    raise AssertionError("that was no stall")


TIMED = pytest.mark.parametrize(
    "kind",
    [
        threads,
        greenlets,
        tasks,
    ],
)


@pytest.mark.timing
@TIMED
@pytest.mark.parametrize(("fault", "total"), [(holding, 0.3), (dripping, 0.5), (losing, 0.3)])
def test_a_call_with_connecting_and_repeating_ends_in_time(
    kind: Kind, fault: Callable[[Proxy], None], total: float, proxy: Proxy, direct: Client
) -> None:
    direct.set("k", "right")
    with kind(proxy.port, total_timeout=total, attempts=20) as client:
        fault(proxy)
        started = time.monotonic()
        with pytest.raises((TimedOut, Unavailable)):
            client.get("k")
        assert time.monotonic() - started < 4
        proxy.faults.clear()
        proxy.release()
        assert in_the_end(lambda: client.get("k")) == "right"


@pytest.mark.timing
@TIMED
def test_a_call_that_is_tried_again_and_again_ends_in_time(kind: Kind, proxy: Proxy) -> None:
    with kind(proxy.port, total_timeout=0.3, attempts=20) as client, proxy.refusing():
        started = time.monotonic()
        with pytest.raises((TimedOut, Unreachable)):
            client.incr("n")
        assert time.monotonic() - started < 4


@pytest.mark.timing
def test_waiting_for_a_pooled_connection_counts_towards_the_time_limit(
    kind: Kind, proxy: Proxy
) -> None:
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
    with kind(proxy.port, total_timeout=0.2, attempts=20) as client, proxy.refusing():
        attempt = client.ping
        with pytest.raises(TimedOut):
            attempt()


@contextlib.contextmanager
def slow_reader(pause: float) -> Iterator[int]:
    """The port of a server that reads 64 KiB at the most and rests, and then answers."""
    closing = threading.Event()

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while not closing.wait(pause):
                data = sock.recv(64 * 1024)
                if data.endswith(b"\n"):
                    sock.sendall(b'{"id":0,"ok":true,"result":true}\n')
                if not data:
                    return

    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(TIMEOUT)
        serving = threading.Thread(target=lambda: serve(listener.accept()[0]))
        serving.start()
        yield listener.getsockname()[1]
        closing.set()
        serving.join(TIMEOUT)


def busy_polling(port: int, **options: Any) -> Any:
    return threads(port, **options)


def not_polling(port: int, **options: Any) -> Any:
    return threads(port, busy_poll=0.0, **options)


NETWORKS = pytest.mark.parametrize("network", [busy_polling, not_polling, greenlets, tasks])


@NETWORKS
def test_a_server_that_reads_slowly_does_not_outlast_the_total(network: Kind) -> None:
    with slow_reader(0.2) as port, network(port, total_timeout=0.5, attempts=1) as client:
        started = time.monotonic()
        with pytest.raises(TimedOut):
            client.set("k", "v" * 16_000_000)
        assert time.monotonic() - started < 10, "reading takes it minutes"


@NETWORKS
def test_a_server_that_reads_slowly_makes_progress(network: Kind) -> None:
    with slow_reader(0.01) as port, network(port, timeout=1.5, attempts=1) as client:
        started = time.monotonic()
        client.set("k", "v" * 1_200_000)
        assert time.monotonic() - started > 1.5, "it was not slow"


@NETWORKS
def test_a_server_that_takes_nothing_makes_none(network: Kind) -> None:
    with slow_reader(TIMEOUT) as port, network(port, timeout=0.3, attempts=1) as client:
        attempt = client.set
        with pytest.raises(TimedOut):
            attempt("k", "v" * 16_000_000)


@pytest.mark.parametrize("limit", ["timeout", "total_timeout"])
@pytest.mark.parametrize("network", [busy_polling, not_polling])
def test_signals_do_not_start_the_time_anew(network: Kind, limit: str, proxy: Proxy) -> None:
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        with network(proxy.port, attempts=1, **{limit: 0.5}) as client:
            proxy.hold()
            signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
            attempt = client.ping
            with pytest.raises(TimedOut):
                attempt()
            assert 3 <= len(seen) < 40
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
