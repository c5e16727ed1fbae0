"""What is told from a value's text is what would be told from what the text says."""

from __future__ import annotations

import gc
import json
import time
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from application import values
from application.values import MAX_DEPTH, MAX_DIGITS, storable, storable_items
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


ODD = [
    b"1e308",
    b"1e309",
    b"-1.5E+400",
    b"1e-400",
    b"1" * 308 + b".5",
    b"1" * 400 + b".5",
    b"0." + b"1" * 400,
    b"1" * MAX_DIGITS,
    b"1" * (MAX_DIGITS + 1),
    b'"1e999"',
    b'"' + b"1" * (MAX_DIGITS + 1) + b'"',
    b'"\\ud83d\\ude00\\n\\\\"',
    '"\u00e9\U0001f600"'.encode(),
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b"true",
    b"{}",
    b"[[] , 1]",
    b"[\n0]",
]
texts = st.recursive(
    st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: b"[%b]" % b",".join(items))
        | inner.map(lambda item: b'{"a":%b}' % item)
    ),
)


def outcome(text: bytes, searched: bool) -> bytes:
    """What is stored for it, or why it is refused, when it is searched, or is decoded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "_SMALL", -1 if searched else 1 << 30)
        try:
            return storable(text)
        except BadRequest as error:
            return str(error).encode()


@given(text=texts)
def test_searching_a_text_tells_what_decoding_it_does(text: bytes) -> None:
    assert outcome(text, searched=True) == outcome(text, searched=False)


def items_outcome(items: Dict[str, Raw], searched: bool) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(values, "_SMALL", -1 if searched else 1 << 30)
        try:
            return storable_items(items)
        except BadRequest as error:
            return str(error)


@given(items=st.dictionaries(st.sampled_from("abc"), st.sampled_from(ODD).map(Raw)))
def test_so_it_does_for_many(items: Dict[str, Raw]) -> None:
    assert items_outcome(items, searched=True) == items_outcome(items, searched=False)


@pytest.mark.timing
def test_the_deepest_text_takes_no_longer_to_look_through_than_others_of_its_length() -> None:
    """As it would if each level were looked for in turn."""

    def seconds(depth: int) -> float:
        unit = b"[" * depth + b"]" * depth + b","
        text = b"[%b[]]" % (unit * (1_000_000 // len(unit)))
        started = time.perf_counter()
        storable(text)
        return time.perf_counter() - started

    assert min(seconds(127) for _ in range(3)) < 5 * min(seconds(2) for _ in range(3))


def test_a_large_document_is_taken_and_the_collector_left_as_it_was() -> None:
    text = json.dumps([{"id": number, "tags": ["a", None]} for number in range(20_000)]).encode()
    assert storable(text) is text
    with pytest.raises(BadRequest, match="Number out of range"):
        storable(text[:-1] + b",1e999]")
    assert gc.isenabled()
