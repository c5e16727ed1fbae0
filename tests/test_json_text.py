"""Which texts are stored: searching a text finds what reading it does, whatever the chunks."""

from __future__ import annotations

import gc
import json
import math
from typing import Any, Dict, List, Optional, Union

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw

from application import json_text
from application.budget import Budget, SharedBudget
from application.commands import Keys
from application.json_text import (
    MAX_DEPTH,
    MAX_DIGITS,
    decoded,
    json_size,
    raw,
    validated,
    validated_in_steps,
    validated_items,
)
from application.limits import DEFAULTS, Limits
from domain.errors import BadRequest, TooLarge

BUDGET = Budget(DEFAULTS)

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


def test_the_first_brackets_of_a_chunk_may_be_too_deep() -> None:
    text = b"[" * MAX_DEPTH + b"0," + b"[]," * 100 + b"0" + b"]" * MAX_DEPTH
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "STEP_BYTES", 100)
        with pytest.raises(BadRequest, match="nests deeper"):
            validated(text, BUDGET)


@given(
    value=nested,
    wrappers=st.lists(strings, min_size=MAX_DEPTH - 8, max_size=MAX_DEPTH + 1),
    chunk=st.integers(1, 3_000),
)
def test_a_value_is_refused_just_when_it_nests_too_deep(
    value: Any, wrappers: List[str], chunk: int
) -> None:
    for name in wrappers:
        value = [value, name] if len(name) % 2 else {name: value, "other": []}
    text = json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "STEP_BYTES", chunk)
        if depth(value) > MAX_DEPTH:
            with pytest.raises(BadRequest, match="nests deeper"):
                validated(text, BUDGET)
        else:
            assert validated(text, BUDGET) is text


ODD = [
    b"1e308",
    b"1e309",
    b"17976931348623157e292",
    b"17976931348623159e292",
    b"-1.5E+400",
    b"-1.5E+0200",
    b"1e-400",
    b"1e0000000000001",
    b"1" * 308 + b".5",
    b"1" * 400 + b".5",
    b"1" * 400 + b"e-300",
    b"0." + b"1" * 5000,
    b"0." + b"1" * 5000 + b"e309",
    b"-" + b"1" * MAX_DIGITS,
    b"-" + b"1" * (MAX_DIGITS + 1),
    b"1" * 4300,
    b'"1e999"',
    b'"' + b"1" * (MAX_DIGITS + 1) + b'"',
    b'"\\ud83d\\ude00\\n\\\\"',
    b'"\\"1e999\\\\"',
    b'"\\\\\\""',
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
        | st.tuples(inner, inner).map(lambda items: b'{"a":%b,"a":%b}' % items)
    ),
)


def is_readable(text: bytes) -> bool:
    """Whether a strict reader with our bounds takes a text, all members of its objects included."""

    def whole(digits: str) -> None:
        if len(digits.lstrip("-")) > MAX_DIGITS:
            raise ValueError

    def fraction(digits: str) -> None:
        if math.isinf(float(digits)):
            raise ValueError

    try:
        json.loads(text.decode(), parse_int=whole, parse_float=fraction)
    except ValueError:
        return False
    return True


@given(text=texts, chunk=st.integers(1, 20) | st.just(1 << 20))
def test_a_text_is_stored_just_when_a_strict_reader_takes_it(text: bytes, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "STEP_BYTES", chunk)
        try:
            stored: Optional[bytes] = validated(text, BUDGET)
        except BadRequest:
            stored = None
    assert (stored is not None) == is_readable(text)
    assert stored in (None, text.replace(b"\n", b""))


@given(items=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(ODD).map(Raw)))
def test_many_texts_are_stored_as_each_is_and_the_first_at_fault_is_named(
    items: Dict[str, Raw],
) -> None:
    each = {key: bytes(text).replace(b"\n", b"") for key, text in items.items()}
    at_fault = [key for key, text in items.items() if not is_readable(bytes(text))]
    if at_fault:
        with pytest.raises(BadRequest, match=rf"`items\.{at_fault[0]}`"):
            validated_items(items, BUDGET)
    else:
        assert validated_items(items, BUDGET) == each


@pytest.mark.parametrize("digits", [MAX_DIGITS + 1, 4300])
def test_a_long_integer_behind_a_member_of_the_same_name_is_refused(digits: int) -> None:
    with pytest.raises(BadRequest, match="4000 digits"):
        validated(b'{"a":%b,"a":1}' % (b"1" * digits), BUDGET)


def test_a_long_text_is_checked_in_many_steps() -> None:
    text = b"[%b1]" % (b"1.5," * 1_000_000)
    assert sum(1 for _ in validated_in_steps(text, BUDGET)) > 20


def test_line_breaks_between_tokens_are_left_out_of_a_text_of_any_length() -> None:
    for count in (1, 100_000):
        text = b"[%b\r\n0]" % (b'"a\\n",\n' * count)
        stored = validated(text, BUDGET)
        assert json.loads(stored) == json.loads(text)
        assert not set(b"\r\n") & set(stored)


def test_numbers_that_only_decoding_tells_to_be_in_range_are_charged_for() -> None:
    text = b"[%b1]" % b"".join(b"%d.5e300," % number for number in range(1000))
    shared = SharedBudget(Limits(max_opened_bytes=20_000))
    validated(text, shared)
    validated(text, shared)
    with pytest.raises(TooLarge, match="max_opened_bytes"):
        validated(text, shared)
    validated(b'["%b"]' % text.replace(b",", b'","'), shared)


def test_decoding_leaves_the_garbage_collector_as_it_was() -> None:
    assert decoded(b'[1, 1e300, "a"]') == [1, 1e300, "a"]
    assert gc.isenabled()
    with pytest.raises(msgspec.DecodeError):
        decoded(b"[1")
    assert gc.isenabled()


results: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([b"0", b'"x"', b"[1,2]"])
    | st.dictionaries(st.text(), st.sampled_from([b"0", b'"x"', b"[1,2]"]))
    | st.builds(Keys, st.lists(st.text()), st.none() | st.text())
)


@given(result=results)
def test_the_size_of_a_result_is_that_of_its_json(result: object) -> None:
    assert json_size(result) == len(msgspec.json.encode(raw(result)))


def test_a_missing_result_has_size_zero() -> None:
    nothing: Union[object, None] = UNSET
    assert json_size(nothing) == 0
