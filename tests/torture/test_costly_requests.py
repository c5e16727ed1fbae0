"""Requests that cost the server much, one by one or over and over: in time, and in memory."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Dict, Iterator, Tuple

import pytest

from application.limits import Limits
from tests.support import Server, running_server
from tests.torture.peers import (
    TELLER,
    Client,
    Waits,
    calm,
    client_of,
    flooding,
    growing,
    pinging,
    request,
)

pytestmark = pytest.mark.timing

KEYS = Limits().max_keys_per_request
MIB = 1 << 20

COSTLY: Dict[str, bytes] = {
    "MGET of 20,000 keys": request("MGET", keys=[f"key:{n:012}" for n in range(KEYS)]),
    "commands with long unknown names": request("PING") + request("E" * 199) * 100,
    "BATCH of 5,000 INCRs": request("BATCH", commands=[{"type": "INCR", "key": "n"}] * 5_000),
}

ONE_STEP = {"BATCH of 5,000 INCRs": 200.0}
"""Milliseconds that others may wait for what cannot be done in steps, see docs/security.md."""


@pytest.mark.parametrize("name", COSTLY)
def test_a_client_that_repeats_costly_requests_does_not_delay_others(
    full_server: Server,
    name: str,
    seconds: float,
    long: bool,
    tell: TELLER,
) -> None:
    with pinging(full_server) as waits, flooding(full_server, COSTLY[name]) as flood:
        time.sleep(seconds / 4)
    tell(others_waited=waits, replies=flood.replies)
    assert flood.replies > 0
    assert not flood.was_cut
    calm(waits, long, worst=ONE_STEP.get(name, 50.0))


@pytest.fixture(scope="module")
def large_value(full_server: Server) -> str:
    """The key of a value that takes long to open."""
    with client_of(full_server) as client:
        assert client.ask("SET", key="large", value=[[]] * 150_000)["ok"]
    return "large"


@pytest.mark.parametrize("type", ["SET", "DELETE"])
def test_other_clients_have_a_turn_between_two_requests_that_open_a_large_value(
    full_server: Server, large_value: str, type: str, tell: TELLER
) -> None:
    members = {"value": 1} if type == "SET" else {}
    opening = request(type, key=large_value, if_equals=[0], **members)
    with client_of(full_server) as client:
        one = min(seconds_for(client, opening) for _ in range(3)) * 1e3
        with pinging(full_server) as waits:
            seconds_for(client, opening * 20, replies=20)
    tell(one_takes=f"{one:.0f} ms", while_twenty_were_answered_others_waited=waits)
    assert waits.worst < 10 * one


def seconds_for(client: Client, line: bytes, replies: int = 1) -> float:
    """How long it takes until what is sent has got so many replies."""
    started = time.monotonic()
    client.send(line)
    for _ in range(replies):
        client.reply()
    return time.monotonic() - started


def test_evicting_for_many_keys_takes_no_longer_than_for_single_ones(tell: TELLER) -> None:
    settings = ("--max-memory", "4mb", "--memory-policy", "evict")
    with running_server(*settings) as server, client_of(server) as client:
        seconds_for(client, sets("old", 30_000), replies=30_000)
        single = seconds_for(client, sets("new", 800), replies=800)
        many = {f"newer:{number}": "abcdefghijklmnopqrst" for number in range(800)}
        with pinging(server) as waits:
            together = seconds_for(client, request("MSET", items=many))
        assert client.ask("INFO")["result"]["keyspace"]["evicted"] > 1600
    tell(one_by_one=f"{single:.2f} s", together=f"{together:.2f} s", others_waited=waits)
    assert together < 5 * single + 0.2


def sets(name: str, count: int) -> bytes:
    """Requests that store so many keys, one by one."""
    line = '{"type":"SET","key":"%s:%d","value":"abcdefghijklmnopqrst"}\n'
    return "".join(line % (name, number) for number in range(count)).encode()


LINE = 4
"""MiB of the longest request here, a quarter of what is allowed by default."""

LONGEST_DOCUMENTED = 20.0 * LINE * 10
"""Milliseconds: 20 for each MiB, ten times over because the machine may be busy or slow."""

OF_NO_COMMANDS = b'{"type":"BATCH","commands":[' + b"1," * (LINE * MIB // 2 - 20) + b"1]}\n"
OF_MANY_KEYS = b'{"type":"MGET","keys":[' + b'"a",' * (LINE * MIB // 4 - 20) + b'"a"]}\n'
OF_A_BAD_ONE = (
    b'{"type":"BATCH","commands":[' + b'{"type":"PING"},' * (LINE * MIB // 16 - 20) + b"1]}\n"
)
DOCUMENTS: Dict[str, bytes] = {"flat": b"[],", "deep": b"[" * 120 + b"]" * 120 + b","}


@contextlib.contextmanager
def taking_long_lines() -> Iterator[Server]:
    with running_server("--max-request-bytes", str(LINE * MIB)) as server:
        yield server


@pytest.mark.parametrize(
    ("line", "times"),
    [
        pytest.param(OF_NO_COMMANDS, 10, id="a batch of what are no commands"),
        pytest.param(OF_MANY_KEYS, 50, id="far too many keys"),
        pytest.param(OF_A_BAD_ONE, 10, id="a batch whose last command is none"),
    ],
)
def test_refusing_a_long_line_takes_no_more_memory_than_is_documented(
    line: bytes, times: int, tell: TELLER
) -> None:
    with taking_long_lines() as server, growing(server) as growth:
        waits, reply = cost(server, line)
    tell(memory_grew=growth, of_a_line_of=f"{LINE} MB", others_waited=waits)
    assert reply["ok"] is False
    assert growth.mb < times * LINE
    assert waits.worst < LONGEST_DOCUMENTED


@pytest.mark.parametrize("part", DOCUMENTS)
def test_a_long_document_holds_others_up_no_longer_than_is_documented(
    part: str, tell: TELLER
) -> None:
    parts = DOCUMENTS[part] * (LINE * MIB // len(DOCUMENTS[part]) - 20)
    with taking_long_lines() as server, growing(server) as growth:
        waits, reply = cost(server, b'{"type":"SET","key":"k","value":[%b1]}\n' % parts)
    tell(others_waited=waits, memory_grew=growth, of_a_line_of=f"{LINE} MB")
    assert reply["ok"] is True
    assert waits.worst < LONGEST_DOCUMENTED


def cost(server: Server, line: bytes) -> Tuple[Waits, Any]:
    """What others wait while a line is answered, and the answer."""
    with pinging(server) as waits, client_of(server) as client:
        client.send(line)
        reply = client.reply()
    return waits, reply
