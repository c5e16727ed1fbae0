"""What others wait while a client sends without end, and while many keys come to their end."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Dict

import pytest

from tests.support import Server, running_server
from tests.torture.peers import (
    TELLER,
    calm,
    client_of,
    fill,
    flooding,
    info,
    pinging,
    request,
)

pytestmark = pytest.mark.timing

KEYS = 300_000

HTTP_GET = b"GET /v1/keys/key:000000000001 HTTP/1.1\r\nHost: localhost\r\n\r\n"
HTTP_PATCH = (
    b"PATCH /v1/keys/none HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/merge-patch+json\r\n\r\n"
)

FLOODS: Dict[str, bytes] = {
    "PING": request("PING"),
    "blank lines": request("PING") + b"\n" * 5000,
    "SCAN that finds nothing": request("SCAN", prefix="no"),
    "COUNT": request("COUNT"),
    "bad JSON": request("PING") + b"{\n" * 5000,
    "HTTP": HTTP_GET * 500,
    "HTTP in tiny chunks": HTTP_PATCH + b"1\r\n1\r\n" * 1000 + b"0\r\n\r\n",
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_client_that_sends_without_pause_does_not_delay_others(
    full_server: Server, name: str, seconds: float, long: bool, tell: TELLER
) -> None:
    with pinging(full_server) as waits, flooding(full_server, FLOODS[name]) as flood:
        time.sleep(seconds / 4)
    tell(others_waited=waits, replies=flood.replies)
    assert flood.replies > 10
    assert not flood.was_cut
    calm(waits, long)


CROWDS = [1, 200]
CROWD_FLOODS: Dict[str, bytes] = {
    "PING": request("PING"),
    "HTTP": HTTP_GET * 100,
    "unknown command": request("PING") + request("PNIG") * 999,
    "BATCH of 1,000 SETs": request(
        "BATCH",
        commands=[{"type": "SET", "key": f"key:{n:012}", "value": n} for n in range(1000)],
    ),
}


@pytest.mark.parametrize("connections", CROWDS)
@pytest.mark.parametrize("name", CROWD_FLOODS)
def test_many_connections_that_send_without_pause_do_not_delay_others(
    full_server: Server, name: str, connections: int, seconds: float, long: bool, tell: TELLER
) -> None:
    """What they cost the others does not grow with their number, as it does where each has a turn
    before the others are looked at."""
    crowd = flooding(full_server, CROWD_FLOODS[name], connections=connections)
    with pinging(full_server) as waits, crowd as flood:
        time.sleep(seconds / 2)
    tell(others_waited=waits, replies=flood.replies)
    assert flood.replies > 10
    assert not flood.was_cut
    assert waits.usual_worst < (50 if long else 250)


@pytest.mark.parametrize("name", ["STRLEN", "GET", "SETRANGE after a pause"])
def test_many_that_ask_for_something_long_at_once_do_not_delay_others(
    full_server: Server, name: str, seconds: float, tell: TELLER
) -> None:
    """What a step takes delays them, and not what all of the steps do."""
    value = b"\x01" * 3_500_000
    stored = b"*3\r\n$3\r\nSET\r\n$1\r\nd\r\n$%d\r\n%b\r\n" % (len(value), value)
    with contextlib.ExitStack() as opened:
        address = ("127.0.0.1", full_server.port)
        socks = [opened.enter_context(socket.create_connection(address, 30)) for _ in range(30)]
        crowd = [opened.enter_context(each.makefile("rb")) for each in socks]
        socks[0].sendall(stored)
        assert crowd[0].readline() == b"+OK\r\n"
        waits = opened.enter_context(pinging(full_server))
        end, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for sock, each in zip(socks, crowd):
                sock.sendall(b"PING\r\n")
                assert each.readline() == b"+PONG\r\n"
            if "pause" in name:
                socks[0].sendall(b"CLIENT PAUSE 100 WRITE\r\n")
                assert crowd[0].readline() == b"+OK\r\n"
            for sock in socks:
                sock.sendall(b"SETRANGE d 0 y\r\n" if "pause" in name else f"{name} d\r\n".encode())
            for each in crowd:
                assert b"3500000" in each.readline()
                if name == "GET":
                    assert each.readline() == value + b"\r\n"
            rounds += 1
    tell(rounds=rounds, others_waited=waits)
    assert waits.usual_worst < 500


DEEP = b"[%b]" % b",".join([b"[" * 100 + b"0" + b"]" * 100] * 1500)
TOGETHER: Dict[str, bytes] = {
    "LCS": b"LCS a b\r\n",
    "SET of a long document": b'{"type":"SET","key":"c","value":%b}\n' % DEEP,
    "SET that compares": b'{"type":"SET","key":"b","value":1,"if_equals":[1]}\n',
}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("name", TOGETHER)
def test_requests_that_end_at_the_same_moment_do_not_delay_others(
    name: str, is_first: bool, tell: TELLER
) -> None:
    """Neither those who are there, nor those who come meanwhile; whether the requests are the first
    of their connections and come whole, or neither."""
    text = TOGETHER[name]
    last = text if is_first else text[-1:]
    with running_server() as server, contextlib.ExitStack() as opened:
        address = ("127.0.0.1", server.port)
        socks = [opened.enter_context(socket.create_connection(address, 30)) for _ in range(100)]
        crowd = [opened.enter_context(each.makefile("rb")) for each in socks]
        with client_of(server) as client:
            client.ask("SET", key="a", value="v1")
            client.ask("SET", key="b", value="a" * 7_000 if name == "LCS" else [*range(120_000)])
        if not is_first:
            for sock, each in zip(socks, crowd):
                sock.sendall(b"PING\r\n" if name == "LCS" else request("PING"))
                each.readline()
                sock.sendall(text[:-1])
        time.sleep(0.2)
        waits = opened.enter_context(pinging(server))
        for sock in socks:
            sock.sendall(last)
        began = time.monotonic()
        with client_of(server) as client:
            client.ask("PING")
        new_waited = time.monotonic() - began
        for each in crowd:
            assert not each.readline().startswith(b"-")
        took = time.monotonic() - began
    tell(took=took, new_waited=new_waited, others_waited=waits)
    assert max(new_waited, waits.worst / 1000) < took / 2


def test_flushing_many_keys_does_not_delay_others(long: bool, tell: TELLER) -> None:
    keys = 1_000_000 if long else KEYS
    with running_server() as server:
        fill(server, keys)
        with pinging(server) as waits, client_of(server) as client:
            assert client.ask("FLUSH")["result"] == keys
            assert client.ask("COUNT")["result"] == 0
            time.sleep(0.3)  # removed keys are freed after the reply
        tell(keys=keys, others_waited=waits)
        assert waits.worst < 500
        if long:
            assert waits.p99 < 50


def test_many_keys_expiring_at_one_instant_do_not_delay_others(long: bool, tell: TELLER) -> None:
    keys = 1_000_000 if long else KEYS
    with running_server() as server:
        fill(server, keys, until=time.monotonic() + (12.0 if long else 1.5))
        with pinging(server) as waits:
            wait_until_all_expired(server, keys)
        tell(keys=keys, others_waited=waits)
        assert waits.worst < 500
        if long:
            assert waits.p99 < 50


@pytest.mark.parametrize("type", ["COUNT", "FLUSH"])
def test_counting_keys_when_many_have_just_expired_does_not_delay_others(
    type: str, long: bool, tell: TELLER
) -> None:
    keys = 1_000_000 if long else KEYS
    with running_server() as server:
        fill(server, keys, until=time.monotonic() + (12.0 if long else 1.5))
        with pinging(server) as waits, client_of(server) as client:
            while client.ask("EXISTS", key=f"key:{keys - 1:012}")["result"]:
                time.sleep(0.001)
            assert client.ask(type)["result"] == 0
        tell(keys=keys, others_waited=waits)
        assert waits.worst < 500
        if long:
            assert waits.p99 < 50


def wait_until_all_expired(server: Server, keys: int) -> None:
    """INFO tells without making it happen, as COUNT would."""
    while info(server)["keyspace"]["expired"] < keys:
        time.sleep(0.05)
    assert info(server)["keyspace"]["keys"] == 0
