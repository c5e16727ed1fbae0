"""A client as a dictionary, as far as a store on another machine can be one."""

from __future__ import annotations

import pytest
from kvjson import Client


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


def test_going_through_it_gives_every_key_once(blocking: Client) -> None:
    blocking.mset({str(number): number for number in range(3000)})
    assert len(blocking) == 3000
    assert sorted(blocking, key=int) == [str(number) for number in range(3000)]


def test_keys_that_come_and_go_meanwhile_do_not_disturb_those_that_stay(blocking: Client) -> None:
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


def test_it_turns_into_a_dictionary(blocking: Client) -> None:
    blocking.mset({"a": 1, "b": [2]})
    assert dict(blocking) == {"a": 1, "b": [2]}
    assert {**blocking} == {"a": 1, "b": [2]}


def test_an_empty_one_is_a_client_all_the_same(blocking: Client) -> None:
    assert len(blocking) == 0
    assert list(blocking) == []
    assert blocking


def test_a_with_block_gives_the_client_and_closes_it(blocking: Client) -> None:
    with blocking as same:
        assert same is blocking
        same["k"] = 1
    assert blocking["k"] == 1
