"""What a key may be, and that a store in this process is as strict as a server."""

from __future__ import annotations

from enum import Enum
from typing import Any, Callable

import pytest
from kvjson import BadRequest, Client, KvError

from tests.library.kinds import local, threads
from tests.support import Server


@pytest.mark.parametrize("key", ["", " ", "a\nb", "\x00", "ключ 🗝️", "x" * 65_536], ids=ascii)
def test_any_text_is_a_key(client: Client, key: str) -> None:
    client.mset({key: 1})
    assert client.incr(key) == 2
    assert client.mget([key]) == {key: 2}
    assert list(client.keys()) == [key]
    assert client.delete(key)


class Safe(str):
    """As web frameworks mark a text, with a form of its own."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"<{self.upper()}>"


class Member(str, Enum):
    ONE = "key"


class Seconds(float):
    pass


@pytest.mark.parametrize("key", [Safe("key"), Member.ONE])
def test_a_value_of_a_subclass_of_str_is_a_key(client: Client, key: str) -> None:
    assert client.set(key, 1, ttl=Seconds(60))
    assert client.mget([key]) == {"key": 1}
    assert client.incr(key) == 2
    assert list(client.keys(key)) == ["key"]
    assert client.delete("key")
    with client.lock(key):
        assert client.exists("key")


@pytest.mark.parametrize("key", ["\ud800", 5, None, "x" * 65_537], ids=lambda key: ascii(key)[:9])
def test_a_server_takes_no_other_key(server: Server, key: Any) -> None:
    with threads(server.port) as client:
        for attempt in (client.get, client.exists, client.delete, client.incr):
            with pytest.raises(BadRequest):
                attempt(key)
        assert client.ping() == "PONG"


@pytest.mark.parametrize("key", ["\ud800", 5, None, "x" * 65_537], ids=lambda key: ascii(key)[:9])
def test_a_store_in_this_process_takes_no_other_key(key: Any) -> None:
    with local() as client, pytest.raises(BadRequest):
        client.set(key, 1)


@pytest.mark.parametrize("key", [b"k", 5])
def test_a_key_that_is_no_str_is_refused_and_not_converted(server: Server, key: Any) -> None:
    with threads(server.port) as client:
        with pytest.raises(KvError):
            client.mset({key: 1})
        assert client.count() == 0


@pytest.mark.parametrize(
    "attempt",
    [
        lambda client: client.set("k", 1, ttl="5"),
        lambda client: client.set("k", 1, if_="maybe"),
        lambda client: client.incr("k", "1"),
        lambda client: client.scan(limit="1"),
        lambda client: client.scan(prefix=5),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        "server",
        "local",
    ],
)
def test_an_argument_of_another_type_is_a_bad_request(
    server: Server, attempt: Callable[[Client], object], kind: str
) -> None:
    with threads(server.port) if kind == "server" else local() as client:
        client.set("k", 1)
        with pytest.raises(BadRequest):
            attempt(client)


def test_an_unknown_condition_is_refused_with_the_known_ones(client: Client) -> None:
    wrong: Any = "maybe"
    with pytest.raises(BadRequest, match="`if_` is 'absent' or 'present', not 'maybe'"):
        client.set("k", 1, if_=wrong)
    with pytest.raises(BadRequest, match="`if_` is 'absent', not 'maybe'"):
        client.mset({"k": 1}, if_=wrong)
