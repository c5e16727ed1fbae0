"""Who takes turns at once, and who waits for others: what may take long, when there is no time."""

from __future__ import annotations

from typing import Any, List

import gevent
import pytest

from adapters.client.loopback import LoopbackLink
from adapters.gevent_tcp.turns import IMMEDIATE_SECONDS, Turns
from application.commands import QUICK
from application.ports import Conversation, Wants
from tests.support import Clock, answer, finish, server_container, wanted

LARGE = b"\x01" * 40_000


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
        (b"PING\r\nGET large\r\n", b"+PONG\r\n$%d\r\n%b\r\n" % (len(LARGE), LARGE)),
        (b"APPEND small x\r\n", b":2\r\n"),
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


def test_no_quick_command_returns_a_text() -> None:
    names = {kind.__struct_config__.tag for kind in QUICK}
    assert {"PING", "SET", "DELETE", "INCR"} <= names
    assert not names & {"GET", "GETSET", "GETDEL", "GETEX", "STRLEN", "APPEND", "BATCH"}


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
        turns.add(lambda number=number: taken.append(number))  # type: ignore[misc]
    gevent.sleep(0.01)
    assert taken == [0, 1, 2, 3, 4]
