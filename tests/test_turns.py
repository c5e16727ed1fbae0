"""Who takes turns at once, and who waits for others: what may take long, when there is no time."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import Any, List

import gevent
import pytest

from adapters.client.loopback import LoopbackLink
from adapters.gevent_tcp.turns import IMMEDIATE_SECONDS, Turns
from application import turn
from application.ports import Conversation, Wants
from tests.support import Clock, answer, finish, server_container, wanted

LARGE = b"\x01" * 40_000


@pytest.fixture(autouse=True)
def no_turn_ends_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a millisecond may be over after any request."""
    monkeypatch.setattr(turn, "TURN_SECONDS", inf)


class BusyLink(LoopbackLink):
    """A link of a server that has no time for what may take long."""

    def has_time(self) -> bool:
        return False


def conversation() -> Conversation:
    """One whose protocol is known; `large` and `small` are there."""
    container = server_container()
    other: Conversation = container.plain_conversation(LoopbackLink())
    value = b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n%b\r\n" % (len(LARGE), LARGE)
    assert answer(other, [value, b"SET small 1\r\n"]) == b"+OK\r\n" * 2
    talk: Conversation = container.plain_conversation(BusyLink())
    assert answer(talk, [b"PING\r\n"]) == b"+PONG\r\n"
    return talk


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"PING\r\n", b"+PONG\r\n"),
        (b"*2\r\n$3\r\nGET\r\n$5\r\nsmall\r\n", b"$1\r\n1\r\n"),
        (b"*3\r\n$3\r\nSET\r\n$5\r\nsmall\r\n$1\r\n2\r\n", b"+OK\r\n"),
        (b"INCR small\r\n", b":2\r\n"),
        (b"INCR large\r\n", b"-ERR value is not an integer or out of range\r\n"),
        (b"TTL small\r\n", b":-1\r\n"),
        (b"SELECT 0\r\n", b"+OK\r\n"),
        (b"DEL small none\r\n", b":1\r\n"),
        (b"EXISTS small none\r\n", b":1\r\n"),
        (b"EXPIRE small 9\r\n", b":1\r\n"),
        (b"RENAME small other\r\n", b"+OK\r\n"),
        (b"MGET small none\r\n", b"*2\r\n$1\r\n1\r\n$-1\r\n"),
        (b"MSET a 1 b 2\r\n", b"+OK\r\n"),
        (b"SETEX small 9 x\r\n", b"+OK\r\n"),
        (b"SET large x NX PX 9\r\n", b"$-1\r\n"),
        (b"PUBLISH c x\r\n", b":0\r\n"),
        (b"CLIENT SETINFO lib-name x\r\n", b"+OK\r\n"),
        (b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$5\r\nsmall\r\n", b"+PONG\r\n:2\r\n"),
    ],
)
def test_what_is_quick_is_done_at_once(request_: bytes, reply: bytes) -> None:
    talk = conversation()
    assert talk.receive(request_) == reply
    assert wanted(talk) is Wants.INPUT


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"STRLEN large\r\n", b":%d\r\n" % len(LARGE)),
        (b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n", b"$%d\r\n%b\r\n" % (len(LARGE), LARGE)),
        (b"GET large\r\n", b"$%d\r\n%b\r\n" % (len(LARGE), LARGE)),
        (b"APPEND small x\r\n", b":2\r\n"),
        (b"SET small x IFEQ y\r\n", b"$-1\r\n"),
        (b"DELIFEQ small x\r\n", b":0\r\n"),
        (b"MULTI\r\n", b"+OK\r\n"),
        (b"PING\r\n" * 20_000, b"+PONG\r\n" * 20_000),
    ],
)
def test_what_may_take_long_waits_for_its_turn(request_: bytes, reply: bytes) -> None:
    talk = conversation()
    assert talk.receive(request_) == b""
    assert wanted(talk) is Wants.TURN
    assert finish(talk) == reply
    assert wanted(talk) is Wants.INPUT


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b'{"type":"SET","key":"a","value":1,"if_equals":[2]}\n', b"false"),
        (b'{"type":"DELETE","key":"a","if_equals":[2]}\n', b"false"),
        (b'{"type":"SET","key":"a","value":"%b"}\n' % (b"x" * 8000), b"true"),
    ],
)
@pytest.mark.parametrize("is_cut", [False, True])
def test_a_request_that_is_long_or_compares_documents_waits(
    request_: bytes, reply: bytes, is_cut: bool
) -> None:
    talk: Conversation = server_container().plain_conversation(BusyLink())
    assert answer(talk, [b'{"type":"PING"}\n']) == b'{"ok":true,"result":"PONG"}\n'
    if is_cut:
        assert talk.receive(request_[:-1]) == finish(talk) == b""
    assert talk.receive(request_[-1:] if is_cut else request_) == b""
    assert wanted(talk) is Wants.TURN
    assert finish(talk) == b'{"ok":true,"result":%b}\n' % reply


def test_the_first_request_of_a_client_waits_as_well() -> None:
    container = server_container()
    answer(container.plain_conversation(LoopbackLink()), [b"SET l1 a\r\nSET l2 b\r\n"])
    talk: Conversation = container.plain_conversation(BusyLink())
    assert talk.receive(b"LCS l1 l2\r\n") == b""
    assert wanted(talk) is Wants.TURN
    assert finish(talk) == b"$0\r\n\r\n"
    assert container.plain_conversation(BusyLink()).receive(b"PING\r\n") == b"+PONG\r\n"


@pytest.mark.parametrize(
    ("request_", "may_take_long"),
    [(b"INCR small\r\n", False), (b"STRLEN large\r\n", True), (b"MGET a b\r\n", False)],
)
def test_what_is_quick_goes_first_also_after_it_waited(
    request_: bytes, may_take_long: bool
) -> None:
    talk = conversation()
    assert talk.receive(b"CLIENT PAUSE 100 ALL\r\n") == b""
    assert finish(talk) == b"+OK\r\n"
    assert talk.receive(request_) + finish(talk) == b""
    assert wanted(talk) is Wants.WAKE
    assert talk.may_take_long is may_take_long


def test_what_comes_with_the_password_waits_as_well() -> None:
    container = server_container(password="secret")
    talk: Conversation = container.plain_conversation(BusyLink())
    assert talk.receive(b"AUTH secret\r\nLCS l1 l2\r\n") == b"+OK\r\n"
    assert wanted(talk) is Wants.TURN
    assert finish(talk) == b"$0\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        (b'{"type":"DELETE","key":"small","if_equals":"mine"}\n', b"false"),
        (b'{"type":"DELETE","key":"large","if_equals":"\\u0001"}\n', b"false"),
        (b'{"type":"SET","key":"large","value":1,"if_equals":1}\n', b"false"),
        (b'{"type":"MSET","items":{"a":1,"b":[2]}}\n', b"true"),
        (b'{"type":"MGET","keys":["a","small"]}\n', b'{"small":1}'),
        (
            b'{"type":"BATCH","commands":[{"type":"INCR","key":"n"},{"type":"TTL","key":"n"}]}\n',
            b'[{"ok":true,"result":1},{"ok":true,"result":null}]',
        ),
    ],
)
def test_what_is_quick_in_json_is_done_at_once(request_: bytes, result: bytes) -> None:
    container = server_container()
    stored = [b"SET small 1\r\n", b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$40000\r\n%b\r\n" % LARGE]
    assert answer(container.plain_conversation(LoopbackLink()), stored) == b"+OK\r\n" * 2
    talk: Conversation = container.plain_conversation(BusyLink())
    assert talk.receive(request_) == b'{"ok":true,"result":%b}\n' % result


def test_a_client_with_nothing_left_to_do_wants_input_however_long_its_turn_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn, "TURN_SECONDS", -1.0)
    talk = conversation()
    for request_, reply in ((b"PING\r\n", b"+PONG\r\n"), (b"INCR n\r\n", b":1\r\n")):
        assert talk.receive(request_) == reply
        assert wanted(talk) is Wants.INPUT
    both = b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
    assert talk.receive(both) == b"+PONG\r\n"
    assert wanted(talk) is Wants.TURN
    assert finish(talk) == b":2\r\n"


def test_turns_at_once_have_their_time_anew_after_each_look_at_the_sockets() -> None:
    clock = Clock()
    turns = Turns(gevent.get_hub().loop, clock)
    for _ in range(3):
        assert turns.has_time()
        clock.now += 0.9 * IMMEDIATE_SECONDS
        assert turns.has_time()
        clock.now += 0.2 * IMMEDIATE_SECONDS
        assert not turns.has_time()
        gevent.sleep(0.001)


def test_those_that_wait_have_their_turns_in_order() -> None:
    turns = Turns(gevent.get_hub().loop, Clock())
    taken: List[Any] = []
    for number in range(5):
        turns.add(partial(taken.append, number), may_be_long=True)
    gevent.sleep(0.01)
    assert taken == [0, 1, 2, 3, 4]


def test_short_turns_do_not_wait_for_the_long_ones_of_others() -> None:
    clock = Clock()
    turns = Turns(gevent.get_hub().loop, clock)
    taken: List[str] = []

    def step(what: str) -> None:
        taken.append(what)
        clock.now += 1.0

    for _ in range(3):
        turns.add(partial(step, "long"), may_be_long=True)
    turns.add(partial(step, "short"), may_be_long=False)
    gevent.sleep(0.01)
    assert taken == ["short", "long", "long", "long"]


def test_what_a_short_turn_finds_to_be_long_waits_with_the_long_ones() -> None:
    turns = Turns(gevent.get_hub().loop, Clock())
    taken: List[str] = []

    def read() -> None:
        assert not turns.has_time()
        turns.add(partial(taken.append, "long"), may_be_long=True)

    turns.add(read, may_be_long=False)
    turns.add(partial(taken.append, "short"), may_be_long=False)
    gevent.sleep(0.01)
    assert taken == ["short", "long"]
    assert turns.has_time()


@pytest.mark.parametrize(
    ("head", "may_take_long"),
    [(b"", False), (b'If-Match: "x"\r\n', True), (b"If-None-Match: *\r\n", True)],
)
def test_a_document_is_stored_at_once_unless_it_is_compared(
    head: bytes, may_take_long: bool
) -> None:
    talk: Conversation = server_container().plain_conversation(BusyLink())
    put = b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: 1\r\n\r\n1" % head
    assert (talk.receive(put) == b"") is may_take_long
    assert talk.may_take_long is may_take_long


def test_a_large_value_is_sent_in_a_turn_of_its_own() -> None:
    talk = conversation()
    piped = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n*1\r\n$4\r\nPING\r\n"
    assert talk.receive(piped) == b"+PONG\r\n"
    assert talk.may_take_long
    assert finish(talk) == b"$%d\r\n%b\r\n+PONG\r\n" % (len(LARGE), LARGE)


@pytest.mark.parametrize(("size", "may_take_long"), [(1, False), (100_000, True)])
def test_a_document_is_returned_at_once_unless_it_is_large(size: int, may_take_long: bool) -> None:
    container = server_container()
    text = b'"%b"' % (b"x" * size)
    answer(
        container.plain_conversation(LoopbackLink()),
        [b'{"type":"SET","key":"k","value":%b}\n' % text],
    )
    talk: Conversation = container.plain_conversation(BusyLink())
    sent = talk.receive(b"GET /v1/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (sent == b"") is may_take_long is talk.may_take_long
    assert (sent + finish(talk)).endswith(b"\r\n\r\n" + text)
