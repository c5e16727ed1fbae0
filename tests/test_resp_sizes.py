"""Values over RESP of the lengths at which what is read or replied takes another way."""

from __future__ import annotations

from typing import List

import pytest

from adapters.client.loopback import LoopbackLink
from adapters.protocols.portions import BLOCK_BYTES
from adapters.protocols.resp.lengths import KEPT
from adapters.protocols.resp.parser import FEW_BYTES
from adapters.protocols.resp.replies import SHORT
from adapters.protocols.resp.runs import MAX_BYTES, MAX_ONE, MAX_RUN_BYTES
from tests.support import answer, finish, server_container
from tests.test_resp import conversation, request

BOUNDS = {SHORT, MAX_ONE, 1000, MAX_BYTES, KEPT, FEW_BYTES, 10_000, BLOCK_BYTES, MAX_RUN_BYTES}
LENGTHS = [bound + more for bound in sorted(BOUNDS) for more in (-60, -3, -2, -1, 0, 1, 2)]
FILLINGS = [b"v", b"\r\n*1\r\n", b'"\\', b"\xff"]
COUNT = 3


def value(length: int, filling: bytes) -> bytes:
    return (filling * length)[:length]


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("filling", FILLINGS)
@pytest.mark.parametrize("length", LENGTHS)
def test_values_come_back_alone_pipelined_together_and_by_many_keys(
    length: int, filling: bytes
) -> None:
    values = [value(length + more, filling) for more in (0, 0, 1)]
    keys = [b"key:%d" % number for number in range(COUNT)]
    sets = [request(b"SET", key, each) for key, each in zip(keys, values)]
    gets = [request(b"GET", key) for key in keys]
    replies = [bulk(each) for each in values]
    client = conversation(server_container())
    for pieces in ([*sets, *gets], [b"".join(sets), b"".join(gets)], [b"".join(sets + gets)]):
        assert answer(client, [b"FLUSHALL\r\n"]) == b"+OK\r\n"
        assert answer(client, pieces) == b"+OK\r\n" * COUNT + b"".join(replies)
    items = [part for item in zip(keys, values) for part in item]
    assert answer(client, [b"FLUSHALL\r\n"]) == b"+OK\r\n"
    assert answer(client, [request(b"MSET", *items)]) == b"+OK\r\n"
    assert answer(client, [request(b"MGET", *keys)]) == b"*%d\r\n" % COUNT + b"".join(replies)


@pytest.mark.parametrize("length", [1, SHORT, 1022, KEPT - 60])
def test_values_come_back_to_clients_that_send_at_the_same_moment(length: int) -> None:
    container = server_container()
    clients = [container.plain_conversation(LoopbackLink()) for _ in range(COUNT)]
    assert {client.receive(b"PING\r\n") for client in clients} == {b"+PONG\r\n"}
    values = [value(length, b"%d" % number + b"v") for number in range(COUNT)]

    def received(inputs: List[bytes]) -> List[bytes]:
        decoded = container.together().receive(clients, inputs)
        return [
            each if isinstance(each, bytes) else client.receive(data, each)
            for client, data, each in zip(clients, inputs, decoded)
        ]

    sets = [request(b"SET", b"%d" % number, each) for number, each in enumerate(values)]
    assert received(sets) == [b"+OK\r\n"] * COUNT
    assert received([request(b"GET", b"%d" % n) for n in range(COUNT)]) == [*map(bulk, values)]


def test_a_pipeline_longer_than_a_run_is_answered_whole() -> None:
    client = conversation(server_container())
    keys = [b"k%d" % number for number in range(40)]
    values = [value(MAX_BYTES - 100 - number, b"ab") for number in range(40)]
    sets = b"".join(map(request, [b"SET"] * 40, keys, values))
    assert len(sets) > 2 * MAX_RUN_BYTES
    gets = b"".join(map(request, [b"GET"] * 40, keys))
    assert answer(client, [sets, gets]) == b"+OK\r\n" * 40 + b"".join(map(bulk, values))


def test_very_many_short_requests_behind_a_long_one_take_turns() -> None:
    client = conversation(server_container())
    gets = request(b"GET", b"k" * 100) + request(b"GET", b"k") * 2000
    first = client.receive(gets)
    assert 0 < first.count(b"$-1\r\n") < 2001
    assert first + finish(client) == b"$-1\r\n" * 2001


@pytest.mark.parametrize("command", [b"GET", b"SET"])
def test_a_key_over_a_small_bound_is_refused_though_a_short_request_came_before(
    command: bytes,
) -> None:
    talk = conversation(server_container(max_key_bytes=50))
    assert answer(talk, [b"PING\r\n"]) == b"+PONG\r\n"
    value = [b"v"] if command == b"SET" else []
    told = answer(talk, [request(command, b"k" * 90, *value)])
    assert told == b"-ERR a key is over 50 bytes (max_key_bytes)\r\n"
