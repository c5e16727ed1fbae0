"""Python objects go into a store and come back as they were, or are refused."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Dict, Iterator, List, Optional
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kvjson import BadRequest, Client, OutOfRange

JSON_AND_BYTES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**50), 10**50)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"])), inner)
    ),
    max_leaves=30,
)


@dataclass
class User:
    name: str
    langs: List[str] = field(default_factory=list)
    photo: Optional[bytes] = None


class Point(msgspec.Struct):
    x: float
    y: float = 0.0
    tag: Optional[bytes] = None


class Box:
    """Not a type that anything is known of."""


@given(value=JSON_AND_BYTES)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_value_with_any_bytes_in_it_comes_back_as_it_was(
    client: Client, value: Any
) -> None:
    client.set("k", value)
    assert repr(client.get("k")) == repr(value)
    assert repr(client.mget(["k"])) == repr({"k": value})
    assert client.set("k", value, if_equals=value) is True


def test_bytes_come_back_as_bytes_however_deep_and_whatever_they_came_as(client: Client) -> None:
    everything = bytes(range(256))
    client.set("k", {"a": [everything, b""], "b": {"c": bytearray(b"x")}, "d": memoryview(b"y")})
    assert client.get("k") == {"a": [everything, b""], "b": {"c": b"x"}, "d": b"y"}
    client.set("k", b"alone")
    assert client.get("k") == b"alone"
    assert client.getset("k", 1) == b"alone"


def test_bytes_can_be_told_from_the_text_that_they_spell(client: Client) -> None:
    client.set("k", b"x")
    assert client.set("k", 1, if_equals="x") is False
    assert client.set("k", 1, if_equals=b"x") is True


def test_an_object_almost_like_extended_json_comes_back_unchanged(client: Client) -> None:
    for value in (
        {"$binary": 1},
        {"$binary": {"base64": "no base64!", "subType": "00"}},
        {"$binary": {"base64": 5, "subType": "00"}},
        {"$binary": {"base64": "eA==", "subType": "00"}, "and": "more"},
        {"$binary": {"base64": "eA=="}},
    ):
        client.set("k", [value, b"x"])
        assert client.get("k") == [value, b"x"]


def test_a_tuple_comes_back_as_a_list(client: Client) -> None:
    client.set("k", (1, (2, b"x")))
    assert client.get("k") == [1, [2, b"x"]]


def nested(depth: int) -> List[Any]:
    value: List[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


REFUSED: Dict[str, Any] = {
    "not a number": float("nan"),
    "infinity, inside": {"a": [float("-inf")]},
    "infinity in a dataclass": Point(float("inf")),
    "a key that is a number": {1: "a"},
    "a key that is true": {True: 1},
    "a key that is none, inside": [{"a": {None: 1}}],
    "half a surrogate pair": "\ud800",
    "one inside": ["\udc00"],
    "one in a name": {"\ud800": 1},
    "nesting one too deep": nested(129),
    "nesting beyond any encoder": nested(100_000),
    "too many digits": 10**4000,
    "far too many digits": 10**5000,
    "an object": object(),
    "a complex number": 1j,
    "a generator": (letter for letter in "abc"),
    "a class": Box,
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED.keys())
def test_a_value_that_would_not_round_trip_is_refused(client: Client, value: Any) -> None:
    for attempt in (
        lambda: client.set("k", value),
        lambda: client.set("k", 1, if_equals=value),
        lambda: client.mset({"a": 1, "k": value}),
        lambda: client.getset("k", value),
        lambda: client.delete("k", if_equals=value),
    ):
        with pytest.raises(BadRequest):
            attempt()
    assert client.count() == 0


def test_the_deepest_value_that_is_taken_comes_back(client: Client) -> None:
    client.set("k", nested(128))
    assert client.get("k") == nested(128)


CHANGED: Dict[str, Any] = {
    "a set": {1, 2},
    "a frozen set, inside": [frozenset("a")],
    "a time": datetime(2024, 1, 2),
    "an object that stands for bytes": {"$binary": {"base64": "aGk=", "subType": "00"}},
    "one that stands for nothing": {"$binary": {"base64": "", "subType": None}},
    "keys that are numbers, in a dataclass": User({1: "a", "1": "b"}),  # type: ignore[arg-type]
}


def test_an_object_of_another_sub_type_stays_what_it_is(client: Client) -> None:
    value = {"id": {"$binary": {"base64": "aGk=", "subType": "04"}}}
    client.set("k", value)
    assert client.get("k") == value


@pytest.mark.parametrize("value", CHANGED.values(), ids=CHANGED.keys())
def test_a_value_that_is_not_refused_round_trips(client: Client, value: Any) -> None:
    with contextlib.suppress(BadRequest):
        client.set("k", value)
        assert client.get("k") == value


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_every_kind_of_bytes_in_a_dataclass_comes_back_as_bytes(client: Client, kind: Any) -> None:
    client.set("k", User("Ada", photo=kind(b"x")))
    assert client.get("k")["photo"] == b"x"


def test_bytes_that_are_scattered_in_memory_are_stored_or_refused(client: Client) -> None:
    client.set("k", memoryview(b"abcd")[::2])
    assert client.get("k") == b"ac"


@pytest.fixture
def impatience() -> Iterator[None]:
    """Ends what runs in Python without an end."""

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("impatience")
def test_a_value_that_holds_itself_is_refused() -> None:
    value: List[Any] = []
    value.append(value)
    with pytest.raises(BadRequest):
        Client.local().set("k", value)


@pytest.mark.parametrize("value", [datetime(2024, 1, 2), {1, 2}, Decimal(1), UUID(int=1)])
def test_a_refusal_says_that_a_field_may_be_of_such_a_type(value: Any) -> None:
    with pytest.raises(BadRequest, match=f"{type(value).__name__} is not a JSON type; a dataclass"):
        Client.local().set("k", value)


def test_integers_of_65_bits_are_exact(client: Client) -> None:
    number = 19933688932870350000
    client.mset({"n": number, "in": [number, -number]})
    assert client.mget(["n", "in"]) == {"n": number, "in": [number, -number]}
    with pytest.raises(OutOfRange):
        client.incr("n")
    with pytest.raises(OutOfRange):
        client.incr("m", number)
    assert client.set("n", 0, if_equals=number % 2**64) is False
    assert client.set("n", 0, if_equals=number) is True
