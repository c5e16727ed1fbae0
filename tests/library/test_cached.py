"""A cache for functions, with many callers in threads and in greenlets, and without a server."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import enum
import functools
import socket
import time
import types
from typing import Any, Callable, ClassVar, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kvjson import AsyncClient, Client, OutOfMemory, Unauthenticated, Unreachable, cached

from entrypoints.library.cache import identical
from entrypoints.library.unique_keys import unique_key
from tests.library.crowd import Programs
from tests.library.kinds import Kind, greenlets, threads
from tests.library.proxy import Proxy
from tests.library.steps import broken_off_at_each_step, by_steps
from tests.support import TIMEOUT, Server, running_server


def test_of_many_concurrent_misses_one_calls_the_function(programs: Programs) -> None:
    calls = []

    def slow(client: Client) -> Callable[[int], Any]:
        @cached(client, ttl=60, name="slow")
        def square(number: int) -> Dict[str, Any]:
            calls.append(number)
            while client.info()["commands"]["GET"] < before + 20:  # others miss meanwhile
                client.sleep(0.001)
            return {"square": number**2, "as bytes": bytes([number])}

        made: Callable[[int], Any] = square
        return made

    before = programs.clients[0].info()["commands"].get("GET", 0)
    works = [lambda client=client: slow(client)(5) for client in programs.clients * 7]
    assert programs.together(works[:20]) == [{"square": 25, "as bytes": b"\x05"}] * 20
    assert calls == [5]
    assert programs.clients[0].count() == 1, "nothing is left of the claim"


def test_a_result_of_none_is_cached(direct: Client) -> None:
    calls = []

    @cached(direct, ttl=60, name="nothing")
    def nothing() -> None:
        calls.append(1)

    assert (nothing(), nothing()) == (None, None)
    assert calls == [1]
    assert 50 < (direct.ttl(next(direct.keys())) or 0) <= 60


def test_each_set_of_arguments_has_a_result(direct: Client) -> None:
    calls = []

    @cached(direct, ttl=60, name="told")
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


@pytest.mark.timing
def test_an_exception_is_not_cached_and_the_next_caller_tries_at_once(programs: Programs) -> None:
    calls = []

    @cached(programs.clients[0], ttl=60, name="fails", lock_timeout=TIMEOUT)
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


@pytest.mark.parametrize("kind", [threads, greenlets])
def test_without_a_server_the_function_is_called(kind: Kind) -> None:
    calls = []
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with kind(port, attempts=1) as client:

        @cached(client, ttl=60, name="called")
        def called() -> str:
            calls.append(1)
            return "right"

        assert [called(), called()] == ["right"] * 2
        assert calls == [1, 1]
        with pytest.raises(Unreachable):
            client.ping()


def test_a_server_that_stops_during_the_call_loses_no_result(proxy: Proxy) -> None:
    with threads(proxy.port, attempts=1) as client, contextlib.ExitStack() as gone:

        @cached(client, ttl=60, name="called")
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

        @cached(client, ttl=60, name="called")
        def called() -> str:
            return "right"

        assert called() == "right"


def test_a_call_with_an_unusable_argument_is_passed_to_the_function(blocking: Client) -> None:
    calls = []

    @blocking.cached(ttl=60, name="called")
    def called(argument: object) -> int:
        calls.append(argument)
        return len(calls)

    for argument in (object(), {1, 2}, float("nan"), 1j, called, "\ud800", nested(100_000)):
        before = len(calls)
        assert [called(argument), called(argument)] == [before + 1, before + 2]
    assert blocking.count() == 0
    with pytest.raises(TypeError, match="set cannot be part of a key"):
        called.key({1})
    with pytest.raises(TypeError, match="argument"):
        called()  # type: ignore[call-arg]


def nested(depth: int) -> List[Any]:
    value: List[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@dataclasses.dataclass
class User:
    name: str
    photo: Any = b""


@dataclasses.dataclass
class Item:
    name: str
    photo: Any = b""


class Size(enum.IntEnum):
    SMALL = 1


RESULTS: List[Any] = [
    *[None, True, 1, 1.0, -0.0, "x", b"x", [], {}, [1, [2.0, {"a": None}]], 10**30],
    *[(1, 2), [(1,)], {1: 2}, {1, 2}, User("Ada"), bytearray(b"x"), Size.SMALL, float("inf")],
    *[
        {"a": (1,)},
        nested(200),
        object(),
        {"$claim": None},
        {"$claim": "x"},
        {"$binary": {"base64": "", "subType": "00"}},
    ],
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: repr(result)[:20])
def test_a_result_is_the_same_the_first_and_every_later_time(blocking: Client, result: Any) -> None:
    @blocking.cached(ttl=60, name="result")
    def made() -> Any:
        return result

    for _ in range(3):
        again = made()
        assert type(again) is type(result)
        assert repr(again) == repr(result)
        assert again == result


def test_a_result_of_a_type_that_was_named_is_kept(blocking: Client) -> None:
    calls = []

    @blocking.cached(ttl=60, name="user", decode_as=User)
    def user(name: str) -> User:
        calls.append(name)
        return User(name, b"photo")

    assert [user("Ada"), user("Ada")] == [User("Ada", b"photo")] * 2
    assert calls == ["Ada"]
    blocking.set(user.key("Ada"), {"nickname": "ada"})
    assert [user("Ada"), user("Ada")] == [User("Ada", b"photo")] * 2
    assert calls == ["Ada", "Ada"], "what is of another type is replaced"


class Mark(str):
    __slots__ = ()


class Number(float):
    pass


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "1", "a", "list", "x", "tuple", '",["', b"", b"1", b"x"])
    | st.sampled_from([Mark("a"), Mark("list"), Number(1)]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.sampled_from(["a", "list"]), inner, max_size=2)
        | st.builds(User, st.just("a"), inner)
        | st.builds(Item, st.just("a"), inner)
    ),
    max_leaves=4,
)


@given(one=st.lists(VALUES, max_size=2), other=st.lists(VALUES, max_size=2))
@settings(max_examples=500)
def test_calls_share_an_entry_only_if_their_arguments_are_identical(one: Any, other: Any) -> None:
    same = unique_key("cached", "f", one) == unique_key("cached", "f", other)
    assert same is identical(one, other)


@given(value=VALUES)
def test_a_key_is_short_and_always_the_same(value: Any) -> None:
    key = unique_key("cached", "f" * 1000, [value])
    assert key == unique_key("cached", "f" * 1000, [copy.deepcopy(value)])
    assert len(key.encode()) < 1000


def test_long_arguments_are_told_apart_by_short_keys(blocking: Client) -> None:
    @blocking.cached(ttl=60, name="length")
    def length(text: str) -> List[Any]:
        return [len(text), text[-1]]

    for _ in range(2):
        assert length("x" * 70_000) == [70_000, "x"]
        assert length("x" * 69_999 + "y") == [70_000, "y"]
    assert blocking.count() == 2
    assert all(len(key) < 600 for key in blocking)


def test_positional_and_keyword_arguments_make_the_same_key(blocking: Client) -> None:
    calls = []

    @blocking.cached(ttl=60, name="power")
    def power(base: int, exponent: int = 2, **rest: int) -> int:
        calls.append(base)
        return int(base**exponent)

    assert {power(3), power(base=3), power(3, 2), power(exponent=2, base=3)} == {9}
    assert calls == [3]
    assert power(3, 3) == 27
    power(3, a=1, b=2)
    power(3, b=2, a=1)
    assert calls == [3] * 3
    assert power.key(3) == power.key(base=3, exponent=2)


def test_a_key_function_says_what_identifies_a_call(blocking: Client) -> None:
    calls = []

    @blocking.cached(ttl=60, name="user", key=lambda session, name: name.lower())
    def user(session: object, name: str) -> str:
        calls.append(name)
        return name

    assert user(object(), "Ada") == user(object(), "ADA") == "Ada"
    assert calls == ["Ada"]
    assert user.key(None, "ADA") in blocking

    @blocking.cached(ttl=60, name="odd", key=lambda: 1 + None)  # type: ignore[operator]
    def odd() -> int:
        return 1

    with pytest.raises(TypeError, match="unsupported operand"):
        odd()


def test_a_result_can_be_invalidated(blocking: Client) -> None:
    calls = []

    @blocking.cached(ttl=60, name="square")
    def square(number: int) -> int:
        calls.append(number)
        return number**2

    assert square.invalidate(3) is False
    assert (square(3), square(4)) == (9, 16)
    assert square.invalidate(number=3) is True
    assert (square(3), square(4)) == (9, 16)
    assert calls == [3, 4, 3]


def test_a_result_that_is_invalidated_while_it_is_computed_is_not_kept(blocking: Client) -> None:
    calls: List[bool] = []

    @blocking.cached(ttl=60, name="count")
    def count() -> int:
        calls.append(count.invalidate() if not calls else True)
        return len(calls)

    assert [count(), count(), count()] == [1, 2, 2]
    assert calls[0] is False, "there was no result yet"


class Shop:
    """Methods to cache."""

    client = Client.local()
    calls: ClassVar[List[Any]] = []

    def __init__(self, rate: int) -> None:
        self.rate = rate

    @client.cached(ttl=60, name="price", key=lambda self, item: [self.rate, item])
    def price(self, item: str) -> int:
        self.calls.append(item)
        return self.rate * len(item)

    @client.cached(ttl=60)
    def careless(self, item: str) -> int:
        return self.rate

    def total(self) -> int:
        return len(self.calls)

    @staticmethod
    @client.cached(ttl=60)
    def static(item: str) -> int:
        return len(item)


@dataclasses.dataclass
class Rate:
    """Data, which can be part of a key as it is."""

    rate: int
    client = Client.local()

    @client.cached(ttl=60)
    def of(self, amount: int) -> int:
        return self.rate * amount


def test_a_method_is_cached_by_its_key_function() -> None:
    assert [Shop(2).price("tea"), Shop(3).price("tea"), Shop(2).price("tea")] == [6, 9, 6]
    assert Shop.calls == ["tea", "tea"]
    assert Shop(2).price.invalidate("tea") is True
    assert Shop.price(Shop(2), "tea") == 6
    static: Any = vars(Shop)["static"]
    assert static.__get__(Shop(2), Shop)("tea") == 3


def test_a_method_without_a_key_function_is_refused_unless_its_object_is_data() -> None:
    with pytest.raises(TypeError, match="key function"):
        Shop(2).careless("tea")
    assert [Rate(2).of(5), Rate(3).of(5), Rate(2).of(5)] == [10, 15, 10]


def plain(number: int) -> int:
    """A function that can be imported by its name."""
    return number + 1


@functools.wraps(plain)
def wrapped(number: int) -> int:
    return 5 * plain(number)


def factory() -> Any:
    def inner(number: int) -> int:
        return number

    return inner


def of_a_script(number: int) -> int:
    return number


of_a_script.__module__ = "__main__"


def renamed(number: int) -> int:
    return number


renamed.__name__ = renamed.__qualname__ = "plain"

AMBIGUOUS: Dict[str, Any] = {
    "a lambda": lambda number: number,
    "a function of a function": factory(),
    "a partial": functools.partial(pow, 2),
    "a bound method": Shop(2).total,
    "a method of a builtin": [].append,
    "a wrapper": wrapped,
    "a function of a script": of_a_script,
    "a renamed function": renamed,
    "an object that can be called": functools.lru_cache(plain),
}


@pytest.mark.parametrize("function", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_function_whose_name_another_may_have_is_refused_without_a_name(function: Any) -> None:
    client = Client.local()
    with pytest.raises(TypeError, match="needs name="):
        client.cached(ttl=60)(function)
    client.cached(ttl=60, name="given")(function)


def test_functions_made_by_one_line_of_code_are_refused_without_a_name() -> None:
    client = Client.local()
    client.cached(ttl=60)(plain)
    client.cached(ttl=60)(plain)
    twin = types.FunctionType(plain.__code__, {"__name__": __name__}, "plain", (5,))
    with pytest.raises(TypeError, match="several"):
        client.cached(ttl=60)(twin)


def test_functions_with_names_of_their_own_do_not_share_results(blocking: Client) -> None:
    works = [blocking.cached(ttl=60, name=str(by))(lambda n, by=by: n * by) for by in (2, 3)]
    assert [work(5) for work in works * 2] == [10, 15, 10, 15]
    assert blocking.cached(ttl=60)(plain)(5) == 6
    assert blocking.cached(ttl=60)(len)("abc") == 3


def test_one_waiter_takes_over_from_a_claimant_that_was_killed(programs: Programs) -> None:
    calls = []

    def slow(client: Client) -> Callable[[], str]:
        @client.cached(ttl=60, name="slow", lock_timeout=60)
        def right() -> str:
            calls.append(1)
            return "right"

        made: Callable[[], str] = right
        return made

    client = programs.clients[0]
    key = client.cached(ttl=60, name="slow")(slow(client)).key()
    client.set(key, {"$claim": "of a process that was killed"}, ttl=0.1)
    works = [slow(client) for client in programs.clients * 7]
    assert programs.together(works) == ["right"] * 21
    assert calls == [1]
    assert client.count() == 1


def test_a_claim_of_another_is_left_alone(blocking: Client) -> None:
    of_another = {"$claim": "of another, since this one ran out"}

    @blocking.cached(ttl=60, name="slow", lock_timeout=30)
    def fails(fail: bool) -> str:
        assert 20 < (blocking.ttl(fails.key(fail)) or 0) <= 30
        blocking.set(fails.key(fail), of_another)
        if fail:
            raise ZeroDivisionError
        return "right"

    with pytest.raises(ZeroDivisionError):
        fails(True)
    assert fails(False) == "right"
    for fail in (True, False):
        assert blocking.get(fails.key(fail)) == of_another


def test_a_result_is_kept_though_its_claim_ran_out(blocking: Client) -> None:
    @blocking.cached(ttl=60, name="slow", lock_timeout=30)
    def slow() -> str:
        assert blocking.delete(slow.key())
        return "right"

    assert slow() == blocking.get(slow.key()) == "right"


@by_steps
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_no_claim_is_left_wherever_a_call_is_broken_off() -> None:
    client = Client.local()

    @client.cached(ttl=60, name="right", lock_timeout=600)
    def right() -> str:
        return "right"

    def forgotten() -> Callable[[], object]:
        right.invalidate()
        client.flush()
        return right

    files = ("library/caching.py", "library/cache.py", "library/runtime.py")
    for step in broken_off_at_each_step(forgotten, files):
        assert client.get(right.key(), "right") == "right", step


def test_callers_do_not_wait_for_a_result_that_cannot_be_stored(programs: Programs) -> None:
    calls = []
    client = programs.clients[0]

    @client.cached(ttl=60, name="set", lock_timeout=60)
    def made() -> Any:
        calls.append(1)
        while len(calls) > 1 and len(calls) < 6:  # all but the first are in here together
            client.sleep(0.001)
        return {1, 2}

    assert programs.together([made] * 6) == [{1, 2}] * 6
    assert len(calls) == 6


def test_a_result_that_is_too_large_for_the_server_is_returned() -> None:
    options = ("--max-request-bytes", "1000", "--max-key-bytes", "100")
    with running_server(*options) as server, threads(server.port) as client:

        @client.cached(ttl=60, name="f")
        def repeated(text: str, times: int) -> str:
            return text * times

        for _ in range(2):
            assert repeated("x", 2000) == "x" * 2000
            assert repeated("y" * 200, 1) == "y" * 200
        assert client.count() <= 1


def test_a_wrong_password_raises() -> None:
    with running_server(KV_PASSWORD="right") as server, threads(server.port) as client:

        @client.cached(ttl=60, name="f")
        def called() -> int:
            return 1

        with pytest.raises(Unauthenticated):
            called()


def test_an_error_of_the_function_propagates_unchanged(blocking: Client) -> None:
    @blocking.cached(ttl=60, name="f")
    def fails() -> int:
        raise Unreachable("another server")

    with pytest.raises(Unreachable, match="another server"):
        fails()
    assert blocking.count() == 0


class TestAsyncio:
    def test_of_many_tasks_that_miss_one_calls_the_function(self, server: Server) -> None:
        calls = []

        async def run() -> Any:
            async with AsyncClient(port=server.port) as client:

                @client.cached(ttl=60, name="square")
                async def square(number: int) -> List[int]:
                    calls.append(number)
                    await asyncio.sleep(0)
                    return [number**2]

                assert asyncio.iscoroutinefunction(square)
                results = await asyncio.gather(*(square(3) for _ in range(20)))
                invalidated = await square.invalidate(3)
                return results, invalidated, await square(3), await client.count()

        assert asyncio.run(run()) == ([[9]] * 20, True, [9], 1)
        assert calls == [3, 3]

    def test_a_task_that_is_cancelled_lets_another_call_the_function(self) -> None:
        async def run() -> Any:
            client, started = AsyncClient.local(), asyncio.Event()

            @client.cached(ttl=60, name="slow", lock_timeout=600)
            async def slow() -> str:
                if not started.is_set():
                    started.set()
                    await asyncio.Event().wait()
                return "right"

            task = asyncio.create_task(slow())
            await started.wait()
            task.cancel()
            return await slow()

        assert asyncio.run(run()) == "right"

    def test_methods_and_results_that_cannot_be_stored(self) -> None:
        class Service:
            client = AsyncClient.local()

            @client.cached(ttl=60, name="f", key=lambda self, n: n)
            async def made(self, n: int) -> Any:
                return {n}

        async def run() -> Any:
            return [await Service().made(1), await Service().made(1)]

        assert asyncio.run(run()) == [{1}, {1}]

    def test_each_kind_of_function_needs_its_kind_of_client(self) -> None:
        async def awaited() -> None: ...

        client: Any = Client.local()
        other: Any = AsyncClient.local()
        with pytest.raises(TypeError, match="use an AsyncClient"):
            client.cached(ttl=60, name="f")(awaited)
        with pytest.raises(TypeError, match="use a Client"):
            other.cached(ttl=60, name="f")(plain)


@pytest.mark.parametrize("seconds", [0, float("inf"), 1e17])
@pytest.mark.parametrize("option", ["ttl", "lock_timeout"])
def test_a_bad_ttl_or_timeout_is_refused(option: str, seconds: float) -> None:
    options: Any = {"ttl": 60, option: seconds}
    with pytest.raises(ValueError, match=option):
        Client.local().cached(**options)(plain)
