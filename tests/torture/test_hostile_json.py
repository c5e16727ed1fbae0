"""Hostile JSON over the wire: it is refused, or comes back as the same to a strict reader."""

from __future__ import annotations

import json
import sys
from typing import Any, Iterator, List

import pytest

from tests.support import Server
from tests.torture.peers import Client, client_of

DEEP = 100_000


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client after a good first line, so that bad ones are answered and not its end."""
    with client_of(server) as client:
        assert client.ask("PING")["ok"]
        yield client


def set_of(value: bytes, key: bytes = b'"k"') -> bytes:
    return b'{"type":"SET","key":%b,"value":%b}\n' % (key, value)


REFUSED = {
    "nesting in a value": set_of(b"[" * DEEP + b"]" * DEEP),
    "nesting of objects": set_of(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "nesting without an end": set_of(b"[" * DEEP),
    "nesting one too deep": set_of(b"[" * 129 + b"]" * 129),
    "nesting in a key": set_of(b"1", key=b"[" * DEEP + b"]" * DEEP),
    "nesting in an id": b'{"type":"PING","id":' + b"[" * DEEP + b"]" * DEEP + b"}\n",
    "nesting in an unknown member": b'{"type":"PING","x":' + b"[" * DEEP + b"]" * DEEP + b"}\n",
    "nesting in a type": b'{"type":' + b"[" * DEEP + b"]" * DEEP + b"}\n",
    "nesting of batches": b'{"type":"BATCH","commands":[' * 1000 + b"]}" * 1000 + b"\n",
    "a number beyond double precision": set_of(b"1e400"),
    "a number below it": set_of(b"[-1e999999999]"),
    "many digits before a fraction": set_of(b"9" * 5000 + b".5"),
    "5,000 digits": set_of(b"9" * 5000),
    "5,000 digits deep inside": set_of(b'{"a":[1,{"b":-%b}]}' % (b"9" * 5000)),
    "5,000 digits to count with": b'{"type":"INCR","key":"n","by":%b}\n' % (b"9" * 5000),
    "an id of 5,000 digits": b'{"type":"PING","id":%b}\n' % (b"9" * 5000),
    "NaN": set_of(b"NaN"),
    "Infinity": set_of(b"[Infinity]"),
    "a leading zero": set_of(b"01"),
    "bad UTF-8 in a value": set_of(b'"\xff"'),
    "bad UTF-8 in a member of a value": set_of(b'{"\xc3\x28":1}'),
    "an overlong slash in a value": set_of(b'"\xc0\xaf"'),
    "half a character in a value": set_of(b'"\xe2\x82"'),
    "a surrogate in UTF-8": set_of(b'"\xed\xa0\x80"'),
    "bad UTF-8 in a key": set_of(b"1", key=b'"\xff"'),
    "bad UTF-8 in an id": b'{"type":"PING","id":"\xff"}\n',
    "bad UTF-8 in a type": b'{"type":"\xff"}\n',
    "bad UTF-8 in a name": b'{"type":"PING","\xff":1}\n',
    "bad UTF-8 in a batch": b'{"type":"BATCH","commands":[{"type":"GET","key":"\xff"}]}\n',
    "bad UTF-8 in what is compared": b'{"type":"DELETE","key":"k","if_equals":"\xff"}\n',
    "a lone high surrogate": set_of(rb'"\ud800"'),
    "a lone low surrogate": set_of(rb'["\udc00"]'),
    "surrogates the wrong way round": set_of(rb'{"\udc00\ud800":1}'),
    "a lone surrogate in a key": set_of(b"1", key=rb'"\ud800"'),
    "a lone surrogate in an id": b'{"type":"PING","id":"\\ud800"}\n',
    "a lone surrogate in a type": b'{"type":"\\ud800"}\n',
    "a raw NUL": set_of(b'"\0"'),
    "a raw NUL between members": b'{"type":"PING"\0}\n',
    "a raw carriage return in a string": set_of(b'"\r"'),
    "UTF-16": '{"type":"PING"}'.encode("utf-16-le").replace(b"\n", b"") + b"\n",
    "a byte order mark": b'\xef\xbb\xbf{"type":"PING"}\n',
    "two objects on one line": b'{"type":"PING"}{"type":"PING"}\n',
    "two objects and a comma": b'{"type":"PING"},{"type":"PING"}\n',
    "an array of requests": b'[{"type":"PING"}]\n',
    "two types": b'{"type":"PING","type":"FLUSH"}\n',
    "a type that is none": b'{"type":{"type":"PING"}}\n',
    "no type": b"{}\n",
    "a comment": b'{"type":"PING"} // please\n',
}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_json_that_a_strict_reader_refuses_gets_one_error(client: Client, line: bytes) -> None:
    client.send(line + b'{"type":"PING","id":"after"}\n')
    refused = client.reply()
    assert refused["ok"] is False
    assert refused["error"]["code"] in ("BAD_JSON", "BAD_REQUEST", "UNKNOWN_COMMAND")
    assert client.reply() == {"id": "after", "ok": True, "result": "PONG"}
    assert client.ask("COUNT")["result"] == 0


KEPT: List[bytes] = [
    b"[" * 128 + b"]" * 128,
    b"9" * 4000,
    b"-" + b"9" * 4000,
    b"18446744073709551616",
    b"1e308",
    b"-0.0",
    b"1e-400",
    b"0." + b"3" * 5000,
    b"1" * 300 + b"." + b"1" * 300,
    b'"\\u0000"',
    rb'"\ud83d\ude00"',
    '"\U0001f600 \u2028 \u2029 \x7f \ufeff \uffff"'.encode(),
    rb'"\"\\\/\b\f\n\r\t"',
    b'{"":"","\\u0000":null}',
    b'{"a":1,"a":2}',
    b'[1,\r{"a":\r\t2}]',
    b'{"type":"FLUSH"}',
    b'"{\\"ok\\":true}\\n{\\"ok\\":true}"',
]


@pytest.mark.parametrize("text", KEPT, ids=lambda text: repr(text[:20]))
def test_json_that_a_strict_reader_accepts_comes_back_equal(client: Client, text: bytes) -> None:
    client.send(set_of(text))
    assert client.reply() == {"ok": True, "result": True}
    expected = strict_json(text)
    assert client.ask("GET", key="k")["result"] == expected
    assert client.ask("MGET", keys=["k"])["result"] == {"k": expected}
    in_batch = client.ask("BATCH", commands=[{"type": "GET", "key": "k"}])["result"]
    assert in_batch == [{"ok": True, "result": expected}]


def strict_json(text: bytes) -> Any:
    return json.loads(text.decode("utf-8", "strict"))


KEYS = ["", "\0", "\r\n", '"', "\\", "\U0001f600", "\u2028", "\ufeff", "x" * 65_536, "é" * 32_768]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key[:10]))
def test_a_key_of_any_characters_comes_back_as_the_same(client: Client, key: str) -> None:
    assert client.ask("SET", key=key, value=1)["ok"]
    assert client.ask("MGET", keys=[key])["result"] == {key: 1}
    assert client.ask("SCAN")["result"]["keys"] == [key]


@pytest.mark.parametrize("id", ["", "\0\n", "\U0001f600", 0, -1, 2**63, 2**64, -(2**70), 10**3999])
def test_an_id_of_any_kind_comes_back_as_the_same(client: Client, id: Any) -> None:
    assert client.ask("PING", id=id) == {"id": id, "ok": True, "result": "PONG"}
    assert client.ask("PONG", id=id)["id"] == id


def test_an_object_over_two_lines_is_two_errors(client: Client) -> None:
    client.send(b'{"type":"SET","key":"k",\n"value":1}\n{"type":"SET","key":"k","value":"a\nb"}\n')
    assert [client.code() for _ in range(4)] == ["BAD_JSON"] * 4
    assert client.ask("COUNT")["result"] == 0


def test_the_last_of_members_with_one_name_counts(client: Client) -> None:
    client.send(b'{"type":"SET","key":"a","value":1,"key":"b","value":2}\n')
    assert client.reply()["ok"]
    client.send(b'{"type":"MSET","items":{"c":1,"c":2}}\n')
    assert client.reply()["ok"]
    assert client.ask("MGET", keys=["a", "b", "c"])["result"] == {"b": 2, "c": 2}


if hasattr(sys, "set_int_max_str_digits"):
    assert sys.get_int_max_str_digits() >= 4000, "this reader is stricter than what is promised"
