"""What every store promises."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.memory import InMemoryStore
from domain.store import Store
from tests.support import BlockingStore, DictStore

STORES = [InMemoryStore, DictStore, BlockingStore]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Store:
    made: Store = request.param()
    return made


def test_a_key_never_set_is_missing(store: Store) -> None:
    assert store.get("k") is None


def test_what_was_set_is_there(store: Store) -> None:
    store.set("k", b"1")
    assert store.get("k") == b"1"


def test_setting_again_replaces(store: Store) -> None:
    store.set("k", b"1")
    store.set("k", b"2")
    assert store.get("k") == b"2"


def test_many_are_given_in_the_order_asked_without_those_missing(store: Store) -> None:
    store.set_many({"a": b"1", "b": b"2"})
    found = store.get_many(["b", "x", "a", "b"])
    assert list(found.items()) == [("b", b"2"), ("a", b"1")]


def test_setting_many_keeps_the_others(store: Store) -> None:
    store.set("old", b"0")
    store.set_many({"a": b"1"})
    assert store.get_many(["old", "a"]) == {"old": b"0", "a": b"1"}


def test_deleting_tells_whether_the_key_was_there(store: Store) -> None:
    store.set("k", b"null")
    assert store.delete("k") is True
    assert store.delete("k") is False
    assert store.get("k") is None


def test_clearing_tells_how_many_keys_there_were(store: Store) -> None:
    store.set_many({str(number): b"0" for number in range(5000)})
    assert store.clear() == 5000
    assert store.clear() == 0
    assert store.get("1") is None


def test_tidying_comes_to_an_end_and_changes_nothing_that_is_seen(store: Store) -> None:
    store.set_many({str(number): b"0" for number in range(5000)})
    store.clear()
    store.set("kept", b"1")
    steps = 0
    while store.tidy():
        steps += 1
    assert steps < 5000
    assert store.tidy() is False
    assert store.get("kept") == b"1"


def test_the_empty_key_and_any_unicode_are_keys(store: Store) -> None:
    for key in ("", "\x00", "ключ", "🗝️", "a b\n"):
        store.set(key, b"1")
        assert store.get(key) == b"1"


@pytest.mark.parametrize("new_store", STORES)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from([b"1", b"2", None])), max_size=30
    )
)
def test_any_sequence_of_sets_and_deletes_agrees_with_a_dict(
    new_store: Callable[[], Store], steps: List[Tuple[str, Optional[bytes]]]
) -> None:
    store = new_store()
    model: Dict[str, bytes] = {}
    for key, text in steps:
        if text is None:
            assert store.delete(key) == (model.pop(key, None) is not None)
        else:
            store.set(key, text)
            model[key] = text
        assert store.get_many("abc") == model
