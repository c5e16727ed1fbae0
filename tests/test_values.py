"""How deep a value nests, told from its text as it is told from what the text says."""

from __future__ import annotations

import gc
import json
from typing import Any, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.values import MAX_DEPTH, storable
from domain.errors import BadRequest

strings = st.text(alphabet='[]{}"\\a', max_size=4)
leaves = st.none() | st.integers() | strings
nested = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=2),
    max_leaves=20,
)


def depth(value: Any) -> int:
    if not isinstance(value, (list, dict)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inner), default=0)


@given(value=nested, wrappers=st.lists(strings, min_size=MAX_DEPTH - 8, max_size=MAX_DEPTH + 1))
def test_a_value_is_refused_just_when_it_nests_too_deep(value: Any, wrappers: List[str]) -> None:
    for name in wrappers:
        value = [value, name] if len(name) % 2 else {name: value, "other": []}
    text = json.dumps(value).encode()
    if depth(value) > MAX_DEPTH:
        with pytest.raises(BadRequest, match="nests deeper"):
            storable(text)
    else:
        assert storable(text) is text


def test_a_large_document_is_taken_and_the_collector_left_as_it_was() -> None:
    text = json.dumps([{"id": number, "tags": ["a", None]} for number in range(20_000)]).encode()
    assert storable(text) is text
    with pytest.raises(BadRequest, match="Number out of range"):
        storable(text[:-1] + b",1e999]")
    assert gc.isenabled()
