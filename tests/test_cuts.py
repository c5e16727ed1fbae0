"""A request that arrives in two pieces, wherever it is cut, is what it is in one: nothing of it is
executed before it is whole."""

from __future__ import annotations

from typing import Dict, List

import pytest

from adapters.client.loopback import LoopbackLink
from application.ports import Conversation
from domain.store import Store
from entrypoints.server.container import ServerContainer
from tests.support import answer, server_container


def resp(*words: bytes) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n%b" % (len(words), b"".join(parts))


REQUESTS: Dict[bytes, List[bytes]] = {
    b"PING\r\n": [
        *[resp(b"GET", b"k" * size) for size in (0, 1, 9, 10, 99, 100, 500)],
        *[resp(b"get", b"k") + resp(b"get", b"l")],
        *[resp(b"SET", b"k" * size, b"v") for size in (0, 1, 9, 10, 99, 100)],
        *[resp(b"set", b"key", b"v" * size) for size in (0, 1, 9, 10, 99, 100, 600)],
        resp(b"SET", b"user:7", b"FLUSHALL"),
        resp(b"SET", b"a", b"1") + resp(b"SET", b"b", b"PING"),
        resp(b"SET", b"a", b"1", b"EX", b"9"),
        resp(b"SET", b"a", b""),
        resp(b"SET", b"a", b"", b"EX", b"9"),
        resp(b"APPEND", b"there", b""),
        resp(b"MSET", b"a", b"1", b"b", b"2"),
        resp(b"MSET", b"a", b"1", b"b", b""),
        resp(b"DEL", b"there"),
        b"SET a 1\r\n",
    ],
    b'{"type":"PING"}\n': [
        b'{"type":"GET","key":"there"}\n',
        b'{"type":"SET","key":"a","value":{"b":[1,"}"]}}\n',
        b'{"type":"SET","key":"a","value":1}\n{"type":"DELETE","key":"there"}\n',
    ],
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n": [
        b"PUT /v1/keys/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n[1,2]",
        b"DELETE /v1/keys/there HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
}


def talk(container: ServerContainer, first: bytes) -> Conversation:
    """A conversation whose protocol is known, and a store as it was at the beginning."""
    store = container.store()
    store.clear()
    store.set("there", b"1")
    conversation: Conversation = container.plain_conversation(LoopbackLink())
    answer(conversation, [first])
    return conversation


def content(store: Store) -> Dict[str, bytes]:
    keys = store.scan(None, "", 100).keys
    return {key: text for key, text in zip(keys, store.get_many(keys)) if text}


@pytest.mark.parametrize(
    ("first", "request_"), [(first, each) for first in REQUESTS for each in REQUESTS[first]]
)
def test_a_request_that_is_cut_anywhere_is_what_it_is_in_one(first: bytes, request_: bytes) -> None:
    container = server_container()
    store = container.store()
    expected = answer(talk(container, first), [request_]), content(store)
    for at in range(1, len(request_)):
        replies = answer(talk(container, first), [request_[:at], request_[at:]])
        assert (replies, content(store)) == expected, request_[:at]


def is_one(request: bytes) -> bool:
    return b"\r\n*" not in request and b"\n{" not in request


@pytest.mark.parametrize(
    ("first", "request_"),
    [(first, each) for first in REQUESTS for each in REQUESTS[first] if is_one(each)],
)
def test_nothing_is_executed_before_it_is_whole(first: bytes, request_: bytes) -> None:
    container = server_container()
    store = container.store()
    for at in range(1, len(request_)):
        replies = answer(talk(container, first), [request_[:at]])
        assert (replies, content(store)) == (b"", {"there": b"1"}), request_[:at]
