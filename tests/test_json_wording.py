"""What clients are told of requests that are none, in JSON's words."""

from __future__ import annotations

import pytest

from adapters.protocols.json_lines.requests import decode, diagnosis
from application.json_text import UNREADABLE
from application.json_wording import LONE_SURROGATE, in_json_words, wrong_with


def told(line: bytes) -> str:
    with pytest.raises(UNREADABLE) as refusal:
        decode(line)
    return str(diagnosis(line, refusal.value)[1])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"type":"SET","key":"a","value":1,"ttl":"5"}', "`ttl` must be a number, not a string"),
        (b'{"type":"SET","key":"a","value":1,"ttl":null}', "`ttl` must be a number, not null"),
        (b'{"type":"SET","key":"a","value":1,"if":"no"}', "`if` cannot be 'no'"),
        (
            b'{"type":"SET","key":"a","value":1,"keep_ttl":1}',
            "`keep_ttl` must be a boolean, not an integer",
        ),
        (b'{"type":"GET"}', "`key` is missing"),
        (b'{"type":"GET","key":true}', "`key` must be a string, not a boolean"),
        (b'{"type":"GET","key":"a","x":1}', "`x` is not a known member"),
        (
            b'{"type":"GET","key":"a","id":1.5}',
            "`id` must be an integer or a string, not a fraction",
        ),
        (b'{"type":"MGET","keys":{}}', "`keys` must be an array, not an object"),
        (b'{"type":"MGET","keys":["a",1]}', "`keys[1]` must be a string, not an integer"),
        (b'{"type":"MSET","items":[]}', "`items` must be an object, not an array"),
        (b'{"type":"SCAN","limit":1.5}', "`limit` must be an integer, not a fraction"),
        (b'{"type":"SCAN","cursor":5}', "`cursor` must be a string or null, not an integer"),
        (b'{"type":"INCR","key":"a","by":"x"}', "`by` must be a number, not a string"),
        (b'{"type":"BATCH","commands":[1]}', "expected an object, got an integer"),
        (
            b'{"type":"BATCH","commands":[{"type":"GTE"}]}',
            "unknown command `GTE`; the closest is `GET`",
        ),
        (b'{"type":"BATCH","commands":[{"type":"BATCH"}]}', "`BATCH` cannot stand here"),
        (b'{"key":"a"}', "`type` is missing"),
        (b'{"type":5}', "`type` must be a string"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_in_words_of_json(line: bytes, message: str) -> None:
    assert told(line) == message


@pytest.mark.parametrize(
    "line",
    [
        '{"type":"%s"}',
        '{"type":"GET","key":"a","%s":1}',
        '{"type":"SET","key":"a","value":1,"if":"%s"}',
        '{"type":"BATCH","commands":[{"type":"%s"}]}',
        '{"type":"BATCH","commands":[{"type":"GET","key":"a","%s":1}]}',
    ],
)
def test_of_what_is_long_an_error_quotes_the_beginning(line: str) -> None:
    message = told((line % ("x" * 80_000)).encode())
    assert "x" * 99 in message
    assert len(message) < 200
    assert len(in_json_words("x" * 80_000)) == 200


def test_what_is_missing_within_a_document_is_told_with_its_place() -> None:
    message = "Object missing required field `key` - at `$[0]`"
    assert in_json_words(message) == "`key` is missing in `[0]`"
    message = "Object contains unknown field `kye` - at `$[0]`"
    assert in_json_words(message) == "`kye` is not a known member in `[0]`"
    message = "Invalid value 'GTE' - at `$[0].type`"
    assert in_json_words(message) == "unknown command `GTE` in `[0]`; the closest is `GET`"
    assert wrong_with(b"[" * 9, RecursionError()) == "nested too deep to be read"


def test_a_message_without_other_words_stays_as_it_is() -> None:
    assert in_json_words("Expected something `new`") == "Expected something `new`"
    assert in_json_words("Expected `new`, got `str` - at `$.a`") == "`a` must be new, not a string"


@pytest.mark.parametrize(
    "text", [rb"\ud800", rb"x\uDFFFx", rb"\ud83d", rb"\ud83d\ud83d\ude00", rb"\\\ude00"]
)
def test_half_of_a_surrogate_pair_is_told_as_such(text: bytes) -> None:
    assert told(b'{"type":"SET","key":"k","value":"%b"}' % text).endswith(LONE_SURROGATE)


@pytest.mark.parametrize("text", [rb"\ud83d\ude00", rb"\\ud800", rb"ud800", rb"\u00d8\u00d9"])
def test_what_only_looks_like_half_of_a_surrogate_pair_is_not_told_as_one(text: bytes) -> None:
    assert LONE_SURROGATE not in told(b'{"type":"SET","key":"k","value":"%b"' % text)
