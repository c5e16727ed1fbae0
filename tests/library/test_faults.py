"""Clients on a network that fails, and with a server that comes and goes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Awaitable, Callable, Dict, Iterator, Tuple

import pytest
from kvjson import AsyncClient, Client, TimedOut, TooLarge, TooManyClients, Unavailable, Unreachable

from application import retries
from tests.library.crowd import at_once
from tests.library.kinds import CALLS, METHODS, Kind
from tests.library.proxy import (
    Fault,
    Link,
    Proxy,
    reply_cut,
    reply_lost,
    request_cut,
    request_lost,
    reset,
)
from tests.support import TIMEOUT, Server, running_server

DONE: Dict[Fault, int] = {
    request_lost: 0,
    request_cut: 0,
    reply_lost: 1,
    reply_cut: 1,
    reset: 1,
}
"""How often a request is carried out that meets with this fault once."""

FAULTS = pytest.mark.parametrize("fault", DONE, ids=lambda fault: fault.__name__)


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE", 0.002)


@FAULTS
def test_a_read_is_repeated_after_a_lost_connection(
    kind: Kind, fault: Fault, proxy: Proxy, direct: Client
) -> None:
    direct.set("k", "right")
    with kind(proxy.port) as client:
        proxy.faults.append(fault)
        assert client.get("k") == "right"
        proxy.faults.extend([fault, fault])
        assert client.mget(["k"]) == {"k": "right"}
        proxy.faults.append(fault)
        queue = client.pipeline()
        queue.get("k")
        queue.count()
        assert queue.run() == ["right", 1]


@FAULTS
def test_a_change_is_never_sent_twice(
    kind: Kind, fault: Fault, proxy: Proxy, direct: Client
) -> None:
    with kind(proxy.port) as client:
        proxy.faults.append(fault)
        with pytest.raises(Unavailable):
            client.incr("alone")
        assert direct.get("alone", 0) == DONE[fault]
        for queue in (client.pipeline(), client.batch()):
            direct.flush()
            proxy.faults.append(fault)
            queue.get("in line")
            queue.incr("in line")
            with pytest.raises(Unavailable):
                queue.run()
            assert direct.get("in line", 0) == DONE[fault]


@pytest.mark.parametrize("name", METHODS)
def test_a_command_is_repeated_if_and_only_if_it_changes_nothing(
    kind: Kind, name: str, proxy: Proxy
) -> None:
    with kind(proxy.port) as client:
        proxy.faults.append(reply_lost)
        if METHODS[name].readonly:
            getattr(client, name)(*CALLS[name])
        else:
            with pytest.raises(Unavailable):
                getattr(client, name)(*CALLS[name])
        assert proxy.requests == 1 + METHODS[name].readonly


@FAULTS
def test_replies_after_any_fault_match_their_requests(
    kind: Kind, fault: Fault, proxy: Proxy, direct: Client
) -> None:
    direct.mset({"a": "wrong", "b": "right"})
    with kind(proxy.port, attempts=1) as client:
        for _ in range(3):
            proxy.faults.append(fault)
            with pytest.raises(Unavailable):
                client.get("a")
            assert [client.get("b") for _ in range(3)] == ["right"] * 3


def test_an_answer_that_does_not_come_in_time_is_never_given_to_another(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    direct.mset({"a": "wrong", "b": "right"})
    with kind(proxy.port, timeout=0.5) as client:
        proxy.hold()
        with pytest.raises(TimedOut):
            client.get("a")
        assert proxy.requests == 1, "it is not asked for again"
        proxy.release()
        assert [client.get("b") for _ in range(3)] == ["right"] * 3


def test_an_answer_that_is_late_and_comes_in_time_is_waited_for(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    direct.set("k", "right")
    with kind(proxy.port) as client:
        proxy.hold(then=threading.Timer(0.1, proxy.release).start)
        assert client.get("k") == "right"
    assert proxy.requests == 1


def test_a_port_without_a_listener_is_unreachable_and_nothing_is_sent(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    with kind(proxy.port) as client:
        with proxy.refusing():
            for attempt in (client.ping, client.flush, client.pipeline().run):
                with pytest.raises(Unreachable, match=str(proxy.port)):
                    attempt()
        assert client.incr("n") == 1
    assert direct.get("n") == 1


def test_a_change_that_was_not_sent_is_tried_again(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    with kind(proxy.port, attempts=50) as client, contextlib.ExitStack() as until:
        until.enter_context(proxy.refusing())
        back = threading.Timer(0.1, until.close)
        back.start()
        assert client.incr("n") == 1
        back.join()
    assert direct.get("n") == 1


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_connection_that_fails_before_sending_is_tried_attempts_times(
    kind: Kind, attempts: int, proxy: Proxy, direct: Client
) -> None:
    with kind(proxy.port, attempts=attempts, password="comes first") as client:
        proxy.faults.extend([reply_lost] * attempts)
        with pytest.raises(Unreachable):
            client.incr("n")
        assert proxy.accepted == attempts
        assert client.incr("n") == 1
    assert direct.get("n") == 1


@contextlib.contextmanager
def restarting() -> Iterator[Tuple[int, Callable[[], None]]]:
    """The port of a server, and how to kill it and start another one in its place."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
    with contextlib.ExitStack() as running:

        def restart() -> None:
            running.close()
            running.enter_context(running_server("--port", str(port)))

        restart()
        yield port, restart


async def ping(client: AsyncClient) -> int:
    return await errors(client.ping)


async def count(client: AsyncClient) -> int:
    return await errors(lambda: client.incr("n"))


async def errors(call: Callable[[], Awaitable[object]]) -> int:
    """How many of ten calls find the server gone."""
    found = 0
    for _ in range(10):
        try:
            await call()
        except Unavailable:
            found += 1
    return found


def test_a_restarted_server_fails_each_caller_once_at_most_and_no_read(kind: Kind) -> None:
    with restarting() as (port, restart), Proxy(port) as proxy, kind(proxy.port) as client:
        for callers, most in (([count], 1), ([count] * 8, 1), ([ping] * 8, 0)):
            proxy.gather(5)
            at_once(client, [ping] * 5)
            restart()
            assert max(at_once(client, callers)) <= most
            proxy.gather(5)
            assert at_once(client, [count] * 5) == [0] * 5, "one has noticed for all"


def test_a_request_that_is_too_large_does_no_harm_to_the_next(kind: Kind, server: Server) -> None:
    with kind(server.port) as client:
        with pytest.raises(TooLarge):
            client.set("k", "x" * (17 * 1024 * 1024))
        client.set("k", 1)


def test_a_server_that_was_full_is_told_as_such_each_time(kind: Kind) -> None:
    with running_server("--max-clients", "1") as server, server.connect() as other:
        other.sendall(b'{"type":"PING"}\n')
        assert other.recv(1000)
        with kind(server.port) as client:
            for _ in range(3):
                with pytest.raises(TooManyClients):
                    client.set("k", 1)


def test_a_connection_that_the_server_cut_while_it_was_idle_is_replaced(kind: Kind) -> None:
    with running_server("--idle-timeout", "0.2") as server, kind(server.port) as client:
        client.set("k", 1)
        time.sleep(1.2)  # for the server to see that nothing comes
        client.set("k", 2)
        assert client.get("k") == 2


def saying_more(proxy: Proxy) -> threading.Event:
    """Lets a surplus reply follow the next one, when the event is set; it is cleared when the
    surplus is sent."""
    go = threading.Event()

    def fault(link: Link, request: bytes) -> None:
        link.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.client.sendall(link.ask(request))

        def say_more() -> None:
            go.wait(TIMEOUT)
            link.client.sendall(b'{"ok":true,"result":"surplus"}\n')
            go.clear()

        threading.Thread(target=say_more).start()

    proxy.faults.append(fault)
    return go


def test_a_surplus_reply_that_comes_between_two_calls_is_given_to_neither(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    direct.mset({"a": "a", "b": "b"})
    with kind(proxy.port, attempts=1, max_connections=1) as client:
        for _ in range(5):
            go = saying_more(proxy)
            assert client.get("a") == "a"
            go.set()
            while go.is_set():
                time.sleep(0.001)
            assert [client.get("b"), client.get("a")] == ["b", "a"]


SURPLUS = b'{"ok":true,"result":"surplus"}\n'


def test_a_surplus_reply_that_comes_before_the_right_one_is_given_to_no_caller(
    kind: Kind, proxy: Proxy, direct: Client
) -> None:
    def surplus_first(link: Link, request: bytes) -> None:
        link.client.sendall(SURPLUS)
        link.client.sendall(link.ask(request))

    direct.set("a", "a")
    with kind(proxy.port, attempts=1, max_connections=1) as client:
        for ask in (lambda: client.get("a"), lambda: client.mget(["a"]), client.ping):
            proxy.faults.append(surplus_first)
            with pytest.raises(Unavailable):
                ask()
            assert client.get("a") == "a"
        batch = client.batch()
        batch.get("a")
        proxy.faults.append(surplus_first)
        with pytest.raises(Unavailable):
            batch.run()
    with kind(proxy.port, max_connections=1) as client:
        proxy.faults.append(surplus_first)
        assert client.get("a") == "a", "a read is repeated"


@pytest.mark.parametrize("place", range(4))
def test_a_surplus_reply_in_a_pipeline_is_given_to_no_caller(
    kind: Kind, place: int, proxy: Proxy, direct: Client
) -> None:
    def surplus_within(link: Link, request: bytes) -> None:
        lines = link.ask(request).splitlines(keepends=True)
        lines.insert(place, SURPLUS)
        link.client.sendall(b"".join(lines))

    direct.mset({"a": "a", "b": "b", "c": "c"})
    with kind(proxy.port, attempts=1, max_connections=1) as client:
        queue = client.pipeline()
        for key in "abc":
            queue.get(key)
        proxy.faults.append(surplus_within)
        with pytest.raises(Unavailable):
            queue.run()
        assert [client.get(key) for key in "abc"] == ["a", "b", "c"]


def test_a_request_that_is_too_large_leaves_the_others_of_its_pipeline_their_results(
    kind: Kind, server: Server
) -> None:
    with kind(server.port) as client:
        queue = client.pipeline()
        queue.set("before", 1)
        queue.set("large", "x" * (17 * 1024 * 1024))
        queue.set("after", 2)
        before, large, after = queue.run()
        assert (before, after) == (True, True)
        assert type(large) is TooLarge
        assert client.mget(["before", "large", "after"]) == {"before": 1, "after": 2}


def test_requests_sent_with_one_that_is_too_large_fail_as_unavailable(kind: Kind) -> None:
    with running_server("--max-request-bytes", "1000") as server, kind(server.port) as client:
        queue = client.pipeline()
        queue.set("before", 1)
        queue.set("large", "x" * 2000)
        queue.set("after", 2)
        before, large, after = queue.run()
        assert before is True
        assert type(large) is TooLarge
        assert type(after) is Unavailable
        assert "refused a command before" in str(after)
        assert client.mget(["before", "large", "after"]) == {"before": 1}


GREETINGS = {
    "banner": (b"SSH-2.0-OpenSSH_9.6\r\n", b""),
    "refusal": (b"", b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "no end of line": (b"", b"\x15\x03\x01\x00\x02\x02F"),
}
"""What another kind of server sends first, and when it has received something."""


@pytest.mark.parametrize("greeting", GREETINGS)
@pytest.mark.parametrize("options", [{}, {"password": "secret"}], ids=["open", "password"])
def test_another_kind_of_server_is_told_by_the_beginning_of_its_reply(
    kind: Kind, greeting: str, options: Dict[str, str]
) -> None:
    first, then = GREETINGS[greeting]

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as sock:
            sock.sendall(first)
            sock.recv(1000)
            sock.sendall(then)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        with kind(listener.getsockname()[1], attempts=1, **options) as client:
            with pytest.raises(Unavailable, match="not of this protocol: it begins with ") as lost:
                client.incr("n")
            assert repr((first + then).split(b"\r\n")[0].decode()) in str(lost.value)
        thread.join(TIMEOUT)
