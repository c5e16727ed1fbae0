"""An argument that a server refuses is refused alike by a client that has no server."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from typing import Any, Callable, Dict, List

import pytest
from kvjson import BadRequest, Client, Limits, serve

from tests.engines import free_port

CALLS: Dict[str, Callable[[Any], Any]] = {
    "a ttl that is text": lambda client: client.set("k", 1, ttl="x"),
    "a ttl that is a boolean": lambda client: client.set("k", 1, ttl=True),
    "a ttl that is no number": lambda client: client.mset({"k": 1}, ttl=float("nan")),
    "a ttl of another type": lambda client: client.getset("k", 1, ttl=Decimal(1)),
    "no ttl where one is needed": lambda client: client.expire("k", None),
    "a flag that is a number": lambda client: client.set("k", 1, keep_ttl=1),
    "an addend that is text": lambda client: client.incr("n", by="x"),
    "an addend that is a boolean": lambda client: client.incr("n", by=True),
    "an addend that is no number": lambda client: client.incr("n", by=float("inf")),
    "a prefix that is a number": lambda client: client.scan(prefix=5),
    "a cursor that is a number": lambda client: client.scan(cursor=5),
    "a limit that is a fraction": lambda client: client.scan(limit=1.5),
    "half of a surrogate pair": lambda client: client.get("\ud800"),
    "a key that is a number": lambda client: client.set(5, 1),
}


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["ttl", "by", "limit"])
def test_a_number_that_is_not_finite_is_refused_as_such(
    client: Client, name: str, number: Any
) -> None:
    calls: Dict[str, List[Callable[[], object]]] = {
        "ttl": [
            lambda: client.set("k", 1, ttl=number),
            lambda: client.mset({"k": 1}, ttl=number),
            lambda: client.getset("k", 1, ttl=number),
            lambda: client.expire("k", number),
            lambda: client.incr("k", ttl=number),
        ],
        "by": [lambda: client.incr("k", number)],
        "limit": [lambda: client.scan(limit=number)],
    }
    for call in calls[name]:
        with pytest.raises(BadRequest, match=f"^`{name}` must be finite, not {number}$"):
            call()
    assert client.count() == 0


@pytest.mark.parametrize("number", [math.inf, math.nan, 0, -1, True, "5", None])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("ttl", lambda client, number: client.lock("x", ttl=number)),
        ("limit", lambda client, number: client.limiter("x", number, 1)),
        ("per", lambda client, number: client.limiter("x", 1, number)),
        ("ttl", lambda client, number: client.cached(number, name="x")(print)),
        ("lock_timeout", lambda client, number: client.cached(1, lock_timeout=number)(print)),
    ],
)
def test_a_time_or_a_count_is_a_finite_number_above_0(name: str, make: Any, number: Any) -> None:
    with Client.local() as client, pytest.raises(ValueError, match=f"^{name}={number!r} is not a"):
        make(client, number)


@pytest.mark.parametrize("timeout", [math.nan, "5"])
def test_a_lock_refuses_a_timeout_that_is_no_number(blocking: Client, timeout: Any) -> None:
    with pytest.raises(ValueError, match=f"timeout={timeout!r} is not a number of seconds"):
        blocking.lock("x").acquire(timeout=timeout)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"port": 99999}, "port=99999 is not an integer from 0 to 65535"),
        ({"port": "7379"}, "port='7379' is not an integer"),
        ({"host": 5}, "host=5 is not a text"),
        ({"host": "http://h"}, "it is no HOST:PORT"),
        ({"max_memory": "1"}, "`max_memory` must be an integer, not a string"),
    ],
)
def test_a_server_refuses_where_it_cannot_listen(options: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        serve(**options)


@pytest.mark.parametrize("value", ["5", None, True])
@pytest.mark.parametrize("name", ["idle_timeout", "max_clients"])
def test_a_limit_is_a_number(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is a number, not {value!r}"):
        Limits(**{name: value})


@pytest.fixture
def on_engine() -> Client:
    """A client of an engine, which is not there: what is refused is not sent."""
    pytest.importorskip("redis")
    return Client(f"redis://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_wrong_argument_is_refused_alike_with_and_without_a_server(
    client: Client, on_engine: Client, call: Callable[[Any], Any]
) -> None:
    with pytest.raises(BadRequest) as on_server:
        call(client)
    with pytest.raises(BadRequest) as without:
        call(on_engine)
    assert str(without.value) == str(on_server.value)


def test_a_wrong_argument_in_a_pipeline_is_refused_in_its_place(on_engine: Client) -> None:
    pipeline: Any = on_engine.pipeline()
    pending = [pipeline.incr("n", by="x"), pipeline.ping(), pipeline.expire("k", "x")]
    pipeline.run()
    first, second, third = (each.outcome for each in pending)
    assert str(first) == "`by` must be a number, not a string"
    assert second == "PONG"
    assert str(third) == "`ttl` must be a number, not a string"


def test_a_wrong_argument_in_a_batch_is_refused_with_its_place(
    client: Client, on_engine: Client
) -> None:
    for either in (client, on_engine):
        batch: Any = either.batch()
        batch.ping()
        batch.incr("n", by="x")
        with pytest.raises(BadRequest, match="`by` must be a number") as refused:
            batch.run()
        assert refused.value.index == 1


@pytest.mark.parametrize("ttl", [timedelta(seconds=5), Decimal(5), object()])
def test_a_ttl_of_another_type_is_refused_by_its_name(client: Any, ttl: object) -> None:
    with pytest.raises(BadRequest, match=f"`ttl` must be a number, not a {type(ttl).__name__}"):
        client.set("k", 1, ttl=ttl)


def test_items_that_are_no_mapping_are_refused(client: Any) -> None:
    with pytest.raises(TypeError, match="items is a list, not a mapping"):
        client.mset([("a", 1)])
