"""A client as a dictionary, as far as a store on another machine can be one."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from kvjson import Client

from tests.library.kinds import OnLoop


def test_items_are_set_read_and_removed_by_key(blocking: Client) -> None:
    blocking["user:1"] = {"name": "Ada"}
    assert blocking["user:1"] == {"name": "Ada"}
    assert "user:1" in blocking
    del blocking["user:1"]
    assert "user:1" not in blocking


def test_a_missing_key_is_a_key_error_and_a_stored_none_is_none(blocking: Client) -> None:
    blocking["nothing"] = None
    assert blocking["nothing"] is None
    with pytest.raises(KeyError, match="missing"):
        blocking["missing"]
    with pytest.raises(KeyError, match="missing"):
        del blocking["missing"]


def test_iterating_a_client_yields_every_key_once(blocking: Client) -> None:
    blocking.mset({str(number): number for number in range(3000)})
    assert len(blocking) == 3000
    assert sorted(blocking, key=int) == [str(number) for number in range(3000)]


def test_iterating_is_not_disturbed_by_keys_that_come_and_go(blocking: Client) -> None:
    blocking.mset({f"stays:{number}": 0 for number in range(2000)})
    found = []
    for turn, key in enumerate(blocking.keys(page=100)):
        found.append(key)
        blocking.set(f"comes:{turn}", 0)
        blocking.delete(f"comes:{turn - 1}")
        if turn > 10_000:
            break
    assert {key for key in found if key.startswith("stays:")} == {
        f"stays:{number}" for number in range(2000)
    }


def test_dict_of_a_client_holds_all_items(blocking: Client) -> None:
    blocking.mset({"a": 1, "b": [2]})
    assert dict(blocking) == {"a": 1, "b": [2]}
    assert {**blocking} == {"a": 1, "b": [2]}


def test_an_empty_one_is_a_client_all_the_same(blocking: Client) -> None:
    assert len(blocking) == 0
    assert list(blocking) == []
    assert blocking


def test_a_with_block_returns_the_client_and_closes_it(blocking: Client) -> None:
    with blocking as same:
        assert same is blocking
        same["k"] = 1
    assert blocking["k"] == 1


def test_items_and_values_come_page_by_page_and_by_prefix(client: Client) -> None:
    items = {f"user:{number}": [number] for number in range(25)}
    client.mset({**items, "other": 1})
    assert dict(client.items("user:", page=10)) == items
    assert sorted(client.values("user:", 10)) == sorted(items.values())
    assert len(list(client.items())) == 26
    assert list(client.items("none:")) == []
    user: Any = Dict[int, int]
    client.mset({"map:1": {"1": 2}})
    assert list(client.values("map:", decode_as=user)) == [{1: 2}]


def test_items_come_in_parts_that_a_reply_has_room_for(client: Client) -> None:
    long = "x" * 3_000_000
    client.mset({f"long:{number}": "short" for number in range(30)})
    for number in range(24):
        client.set(f"long:{number}", long)
    found = dict(client.items("long:"))
    assert len(found) == 30
    assert sum(value == long for value in found.values()) == 24


def test_a_key_is_popped_once(client: Client) -> None:
    client.mset({"k": 1, "nothing": None})
    assert client.pop("k") == 1
    assert client.pop("nothing", 5) is None
    assert client.pop("k", None) is None
    assert client.pop("k", default=5) == 5
    with pytest.raises(KeyError, match="k"):
        client.pop("k")


def test_a_default_is_stored_where_nothing_is(client: Client) -> None:
    assert client.setdefault("k", [1], ttl=60) == [1]
    assert 50 < (client.ttl("k") or 0) <= 60
    assert client.setdefault("k", [2]) == [1]
    assert client.setdefault("nothing") is None
    assert client.exists("nothing")


def test_an_update_stores_everything_at_once(client: Client) -> None:
    client.update({"a": 1, "b": 2})
    client.update([("b", 3), ("c", 4)], ttl=60)
    assert client.mget(["a", "b", "c"]) == {"a": 1, "b": 3, "c": 4}
    assert client.ttl("a") is None
    assert client.ttl("c")


def test_get_or_set_makes_and_stores_a_missing_value(client: Client) -> None:
    made = []

    def make() -> str:
        made.append(1)
        return "made"

    assert [client.get_or_set("k", make, ttl=60) for _ in range(2)] == ["made"] * 2
    assert made == [1]
    assert client.ttl("k")
    assert client.get_or_set("nothing", lambda: None) is None

    def overtaken() -> str:
        client.set("late", "of another")
        return "made"

    if not isinstance(client, OnLoop):
        assert client.get_or_set("late", overtaken) == "of another"


def test_a_text_is_not_taken_for_its_letters(client: Client) -> None:
    client.mset({"a": 1, "b": 2})
    for keys in ("ab", b"ab", ""):
        for method in (client.mget, client.mdelete):
            with pytest.raises(TypeError, match="keys are an iterable of str"):
                method(keys)  # type: ignore[arg-type]
    assert client.count() == 2


def test_an_editor_can_complete_keys(blocking: Client) -> None:
    blocking.mset({"user:1": 1, "user:2": 2})
    assert sorted(blocking._ipython_key_completions_()) == ["user:1", "user:2"]
