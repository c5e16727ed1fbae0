"""A cache for functions, with many callers in threads and in greenlets, and without a server."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any, Callable

import pytest
from kvjson import BadRequest, Client, OutOfMemory, Unreachable, cached

from tests.library.crowd import Programs
from tests.library.kinds import Kind, greenlets, threads
from tests.library.proxy import Proxy
from tests.support import TIMEOUT, running_server


def test_of_many_that_miss_at_once_one_calls_the_function(programs: Programs) -> None:
    calls = []

    def slow(client: Client) -> Callable[[int], Any]:
        @cached(client, ttl=60, prefix="slow")
        def square(number: int) -> Any:
            calls.append(number)
            while client.info()["commands"]["SET"] < before + 20:  # others miss meanwhile
                client.sleep(0.001)
            return {"square": number**2, "as bytes": bytes([number])}

        return square

    before = programs.clients[0].info()["commands"].get("SET", 0)
    works = [lambda client=client: slow(client)(5) for client in programs.clients * 7]
    assert programs.together(works[:20]) == [{"square": 25, "as bytes": b"\x05"}] * 20
    assert calls == [5]
    assert programs.clients[0].count() == 1, "nothing is left of the claim"


def test_a_result_of_none_is_kept_too(direct: Client) -> None:
    calls = []

    @cached(direct, ttl=60)
    def nothing() -> None:
        calls.append(1)

    assert (nothing(), nothing()) == (None, None)
    assert calls == [1]
    assert 50 < (direct.ttl(next(direct.keys())) or 0) <= 60


def test_each_set_of_arguments_has_a_result(direct: Client) -> None:
    calls = []

    @cached(direct, ttl=60)
    def told(*args: Any, **kwargs: Any) -> Any:
        calls.append((args, kwargs))
        return [list(args), kwargs]

    for args, kwargs in (
        *[((), {}), ((1,), {}), (("1",), {}), ((1.0,), {}), ((True,), {}), ((None,), {})],
        *[((1, 2), {}), (([1, 2],), {}), ((b"1",), {}), ((), {"a": 1}), ((["a", 1],), {})],
        *[((), {"a": 1, "b": 2}), ((1,), {"a": 1}), (({"a": 1},), {})],
    ):
        arguments: Any = args
        assert repr(told(*arguments, **kwargs)) == repr([list(args), kwargs])
        assert repr(told(*arguments, **kwargs)) == repr([list(args), kwargs])
    assert len(calls) == 14
    told(b=2, a=1)
    assert len(calls) == 14, "the order in which arguments are named does not matter"


def test_functions_do_not_share_results(direct: Client) -> None:
    @cached(direct, ttl=60)
    def one() -> int:
        return 1

    @cached(direct, ttl=60)
    def two() -> int:
        return 2

    assert [one(), two(), one(), two()] == [1, 2, 1, 2]
    assert one.__name__ == "one"


@pytest.mark.timing
def test_an_exception_is_not_kept_and_the_next_one_tries_at_once(programs: Programs) -> None:
    calls = []

    @cached(programs.clients[0], ttl=60, patience=TIMEOUT)
    def fails_first() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return "right"

    def attempt() -> str:
        with contextlib.suppress(ZeroDivisionError):
            return fails_first()
        return "raised"

    started = time.monotonic()
    assert sorted(programs.together([attempt] * 5)) == ["raised", *["right"] * 4]
    assert time.monotonic() - started < TIMEOUT / 2
    assert len(calls) == 2


def test_who_waits_in_vain_calls_the_function(direct: Client) -> None:
    @cached(direct, ttl=60, prefix="f", patience=0.1)
    def right() -> str:
        return "right"

    direct.set("f:[[],[]]:making", True, ttl=60)  # somebody vanished
    assert right() == "right"
    assert right() == "right"


@pytest.mark.parametrize("kind", [threads, greenlets])
def test_without_a_server_the_function_is_called(kind: Kind) -> None:
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with kind(port, attempts=1) as client:

        @cached(client, ttl=60)
        def called() -> str:
            calls.append(1)
            return "right"

        assert [called(), called()] == ["right"] * 2
        assert calls == [1, 1]
        with pytest.raises(Unreachable):
            client.ping()


def test_a_server_that_goes_meanwhile_takes_no_result_along(proxy: Proxy) -> None:
    with threads(proxy.port, attempts=1) as client, contextlib.ExitStack() as gone:

        @cached(client, ttl=60)
        def called() -> str:
            gone.enter_context(proxy.refusing())
            client.close()
            return "right"

        assert called() == "right"


def test_a_server_that_is_full_is_no_reason_not_to_call_the_function() -> None:
    with running_server("--max-memory", "1kb") as server, threads(server.port) as client:
        with pytest.raises(OutOfMemory):
            client.mset({str(number): "full" for number in range(100)})
        for number in range(100):
            with contextlib.suppress(OutOfMemory):
                client.set(str(number), "full")

        @cached(client, ttl=60)
        def called() -> str:
            return "right"

        assert called() == "right"


def test_an_argument_that_is_no_json_is_refused(direct: Client) -> None:
    @cached(direct, ttl=60)
    def called(argument: object) -> int:
        return 1

    with pytest.raises(BadRequest):
        called(object())
