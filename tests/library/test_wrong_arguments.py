"""An argument that a server refuses is refused alike by a client that has no server."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Callable, Dict

import pytest
from kvjson import BadRequest, Client

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
