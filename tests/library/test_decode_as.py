"""Values come back as the type that was asked for, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Dict, List, Tuple, TypedDict, Union

import pytest
from kvjson import Client, KvError, NotOfType

from tests.library.test_python_values import Point, User


class Options(TypedDict):
    depth: int


def test_a_dataclass_or_struct_is_stored_as_an_object_and_read_as_decode_as(
    client: Client,
) -> None:
    ada = User("Ada", ["en", "fr"], b"\x89PNG")
    client.mset({"user": ada, "point": Point(1, 2, b"t"), "options": {"depth": 3}})
    assert client.get("user") == {"name": "Ada", "langs": ["en", "fr"], "photo": b"\x89PNG"}
    assert client.get("user", decode_as=User) == ada
    assert client.get("point", decode_as=Point) == Point(1.0, 2.0, b"t")
    assert client.get("options", decode_as=Options) == {"depth": 3}
    assert client.mget(["user"], decode_as=User) == {"user": ada}
    assert client.getset("user", {"name": "Bob"}, decode_as=User) == ada
    assert client.getdel("user", decode_as=User) == User("Bob")


def test_types_of_types_can_be_asked_for(client: Client) -> None:
    client.mset({"numbers": [1, 2], "users": {"a": {"name": "Ada"}}, "pair": [1, b"x"]})
    client.mset({"large": 2**70, "dates": ["2024-01-02T03:04:05"]})
    assert client.get("numbers", decode_as=List[int]) == [1, 2]
    assert client.get("users", decode_as=Dict[str, User]) == {"a": User("Ada")}
    assert client.get("large", decode_as=int) == 2**70
    assert client.get("dates", decode_as=List[datetime]) == [datetime(2024, 1, 2, 3, 4, 5)]
    pair: Any = Tuple[int, bytes]
    assert client.get("pair", decode_as=pair) == (1, b"x")
    either: Any = Union[Point, List[int]]
    assert client.get("numbers", decode_as=either) == [1, 2]


def test_a_value_of_another_type_raises_and_stays_stored(client: Client) -> None:
    client.mset({"user": {"name": 5}, "bytes": b"x", "null": None})
    with pytest.raises(NotOfType, match=r"\$\.name"):
        client.get("user", decode_as=User)
    with pytest.raises(NotOfType):
        client.get("bytes", decode_as=str)
    with pytest.raises(NotOfType):
        client.get("null", decode_as=int)
    with pytest.raises(NotOfType):
        client.mget(["user", "bytes"], decode_as=User)
    with pytest.raises(ValueError, match="name"):
        client.get("user", decode_as=User)
    assert client.count() == 3
    assert issubclass(NotOfType, KvError)


def test_the_default_is_not_of_the_type_and_need_not_be(client: Client) -> None:
    assert client.get("missing", decode_as=User) is None
    assert client.get("missing", 0, decode_as=User) == 0
    assert client.getset("missing", 1, "none", decode_as=User) == "none"
    assert client.mget(["other"], decode_as=User) == {}


def test_a_text_in_a_union_with_bytes_is_not_taken_for_bytes(client: Client) -> None:
    client.set("k", ["aGk=", b"x"])
    with pytest.raises(NotOfType):
        client.get("k", decode_as=List[bytes])


def test_a_text_is_not_taken_for_bytes(client: Client) -> None:
    client.set("k", "aGk=")
    with pytest.raises(NotOfType):
        client.get("k", decode_as=bytes)


def test_bytes_in_a_value_change_nothing_for_keys_that_are_numbers(client: Client) -> None:
    client.set("k", {"1": "x"})
    assert client.get("k", decode_as=Dict[int, str]) == {1: "x"}
    client.set("k", {"1": b"x"})
    assert client.get("k", decode_as=Dict[int, bytes]) == {1: b"x"}


@dataclass
class Known:
    name: str

    def __post_init__(self) -> None:
        {"Ada": 1}[self.name]


@pytest.mark.parametrize("kind", [int, Known])
@pytest.mark.parametrize("name", ["get", "getdel", "getset"])
def test_the_error_has_the_value_that_is_not_of_the_type(
    client: Client, name: str, kind: Any
) -> None:
    value = {"name": "Grace", "photo": b"\x89PNG"}
    arguments = ("k", "next") if name == "getset" else ("k",)
    buffers: List[Any] = [client.pipeline(), client.batch()]

    client.set("k", value)
    with pytest.raises(NotOfType) as refusal:
        getattr(client, name)(*arguments, decode_as=kind)
    assert refusal.value.value == value
    for buffer in buffers:
        client.set("k", value)
        pending = getattr(buffer, name)(*arguments, decode_as=kind)
        buffer.run()
        assert pending.outcome.value == value


def test_the_error_of_many_values_has_the_first_that_is_not_of_the_type(client: Client) -> None:
    client.mset({"a": 1, "b": "two"})
    with pytest.raises(NotOfType) as refusal:
        client.mget(["a", "b"], decode_as=int)
    assert refusal.value.value == "two"


@pytest.mark.parametrize("name", ["get", "getdel", "getset", "mget"])
def test_what_is_no_type_is_refused_before_anything_is_sent(client: Client, name: str) -> None:
    client.set("k", 1)
    keys = ["k"] if name == "mget" else "k"
    arguments = [keys, 2] if name == "getset" else [keys]
    for no_type in (5, Union[User, Point]):
        with pytest.raises(TypeError, match="not supported"):
            getattr(client, name)(*arguments, decode_as=no_type)
    assert client.get("k") == 1
