"""Bytes that are stored as JSON texts, and come back as they were."""

from __future__ import annotations

import base64
import json
from typing import Any, List

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.client.python_values import from_json, to_json
from application import byte_values
from application.budget import Budget
from application.byte_values import (
    to_bytes,
    to_text,
    to_text_in_steps,
    to_texts,
    to_texts_in_steps,
)
from application.json_text import validated
from application.limits import DEFAULTS
from application.steps import finished

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
json_like = documents.map(lambda value: json.dumps(value).encode())
pieces = st.lists(
    st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b"1", b"e", b"9" * 400, b",", b":", b" "])
    | st.sampled_from([b"\n", b"\xff", b"null", b'"$binary"', b"-", b".5", b"\xc3\xa9", b"\\ud800"])
).map(b"".join)
BINARY = b'{"$binary":{"base64":"AAE=","subType":"00"}}'


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


@given(data=st.binary() | json_like | pieces)
@example(data=b"")
@example(data=BINARY)
@example(data=BINARY.replace(b"00", b"04"))
@example(data=b'{"$binary":{"base64":"AA","subType":"00"}}')
@example(data=b'{"\\u0024binary":{"base64":"AAE=","subType":"00"}}')
@example(
    data=b'{"$binary":{"base64":"AAE=","subType":"00"},"$binary":{"base64":"","subType":"00"}}'
)
@example(data=b"1e400")
@example(data=b"-0")
@example(data=b"[" * 200 + b"]" * 200)
@example(data=b"1" * 5000)
@example(data=b'{"a":1,\n"b":2}')
@example(data=b'["\xff"]')
@example(data=b"\x00\r\n\x7f")
def test_what_comes_out_is_byte_for_byte_what_went_in(data: bytes) -> None:
    text = to_text(data)
    assert to_bytes(text) == data
    json.loads(text.decode(), parse_constant=_refuse)
    assert validated(text, Budget(DEFAULTS)) == text, "the text would not be stored so"


@given(data=st.binary() | json_like | pieces)
@example(data=b"[1e400]")
@example(data=BINARY)
@example(data=json.dumps([{"a": number} for number in range(20_000)]).encode())
def test_in_steps_the_text_is_the_same(data: bytes) -> None:
    assert finished(to_text_in_steps(data)) == to_text(data)


@given(datas=st.lists(st.binary() | json_like | pieces, max_size=6))
@example(datas=[])
@example(datas=[b"a", b"b\nc"])
@example(datas=[b"a", b"\n1"])
@example(datas=[b"[1", b"2]"])
@example(datas=[b"[1]", b'{"a":1}'])
@example(datas=[b"[1]", BINARY])
@example(datas=[b"", b""])
def test_many_become_the_same_texts_as_each_alone(datas: List[bytes]) -> None:
    assert to_texts(datas) == list(map(to_text, datas))
    texts = [data.decode("latin-1") for data in datas]
    assert to_texts(texts) == list(map(to_text, texts)) == [to_text(t.encode()) for t in texts]


@given(datas=st.lists(st.binary() | json_like | pieces, min_size=1), chunk=st.integers(1, 60))
def test_many_become_the_same_texts_in_steps(datas: List[bytes], chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_values, "STEP_BYTES", chunk)
        assert finished(to_texts_in_steps(datas)) == list(map(to_text, datas))


@pytest.mark.parametrize(
    "data", [b"0", b"-1", b"1.50", b"1e5", b"12345678901234567890", b"[]", b'{"a": 1}', b'[ "x" ]']
)
def test_the_text_of_a_number_an_array_or_an_object_is_that_value(data: bytes) -> None:
    assert to_text(data) == data


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"hello", b"007", b"+1", b"1.", b" 1", b"1 ", b"true", b"false", b"null", b"NaN"),
        *(b'"quoted"', b"[1,]", b'{"a":1}\n', b'{"a":\n1}', b"1e400", b"[1e400]", BINARY),
        *(b'["\\ud800"]', "für".encode(), b"\x00", b"back\\slash"),
    ],
)
def test_other_utf8_is_a_string(data: bytes) -> None:
    assert json.loads(to_text(data)) == data.decode()


@given(data=st.binary(min_size=1))
@example(data=b"\xff")
@example(data=b'{"$binary":{"":"","":""}}')
def test_other_bytes_are_those_of_the_python_client(data: bytes) -> None:
    text = to_text(data)
    if text != data and text.startswith(b'{"$binary"'):
        assert json.loads(text) == {
            "$binary": {"base64": base64.b64encode(data).decode(), "subType": "00"}
        }
        assert from_json(text) == data
    assert to_bytes(to_json(data)) == data


@pytest.mark.parametrize(
    ("value", "data"),
    [(None, b"null"), (True, b"true"), ({"a": 1}, b'{"a":1}'), ("für", "für".encode()), (1, b"1")],
)
def test_what_a_json_client_stored_is_its_text_or_the_characters_of_its_string(
    value: Any, data: bytes
) -> None:
    assert to_bytes(to_json(value)) == data


@given(text=st.text().map(lambda value: json.dumps(value).encode()))
def test_an_escaped_string_is_its_utf8(text: bytes) -> None:
    try:
        expected = json.loads(text).encode()
    except UnicodeEncodeError:
        return
    assert to_bytes(text) == expected
