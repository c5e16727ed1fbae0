"""Clients that fall silent, trickle or idle, and what the others notice of it."""

from __future__ import annotations

import select
import time
from typing import List

import pytest

from tests.support import TIMEOUT, running_server
from tests.torture.peers import (
    TELLER,
    Client,
    calm,
    client_of,
    clients_of,
    info,
    pinging,
    request,
)

pytestmark = pytest.mark.timing

HALF = b'{"type":"SET","key":"k","val'


def seconds_until_closed(client: Client) -> float:
    started = time.monotonic()
    client.rest()
    return time.monotonic() - started


def test_an_idle_client_is_cut_and_a_busy_one_is_not(tell: TELLER) -> None:
    with running_server("--idle-timeout", "0.5") as server, client_of(server) as idle:
        with pinging(server) as waits:
            assert idle.ask("PING")["ok"]
            took = seconds_until_closed(idle)
        tell(cut_after=f"{took:.2f} s", busy_one_waited=waits)
        assert 0.4 < took < 5.0
        assert info(server)["server"]["cut_clients"] == 1


def test_an_idle_client_stays_connected_by_default() -> None:
    settings = ("--request-timeout", "0.05", "--send-timeout", "0.05")
    with running_server(*settings) as server, client_of(server) as idle:
        assert idle.ask("PING")["ok"]
        time.sleep(0.3)
        assert idle.ask("PING")["ok"]


def test_half_a_request_ends_at_the_deadline_even_when_it_trickles(
    long: bool, tell: TELLER
) -> None:
    with running_server("--request-timeout", "1") as server, clients_of(server, 50) as clients:
        with pinging(server) as waits:
            for client, begun in zip(clients, [b" ", b"{", *[HALF] * 48]):
                client.send(request("PING") + begun)
                assert client.reply()["ok"]
            took = seconds_until_answered(clients, trickling=clients[:3])
        tell(closed_after=f"{took:.2f} s", others_waited=waits)
        assert [client.code() for client in clients] == ["TIMEOUT"] * 50
        assert [client.rest() for client in clients] == [b""] * 50
        assert 0.9 < took < 5.0
        calm(waits, long)
        if long:
            assert waits.p99 < 5


def seconds_until_answered(clients: List[Client], trickling: List[Client]) -> float:
    """The time until all of them have something to read; some send a byte every 50 ms."""
    started = time.monotonic()
    while not all(map(has_something_to_read, clients)):
        assert time.monotonic() < started + TIMEOUT
        time.sleep(0.05)
        for client in trickling:
            if not has_something_to_read(client):
                client.send(b" ")
    return time.monotonic() - started


def has_something_to_read(client: Client) -> bool:
    return bool(select.select([client.sock], [], [], 0)[0])


def test_each_request_has_the_time_for_itself() -> None:
    with running_server("--request-timeout", "1") as server, client_of(server) as client:
        for _ in range(2):
            for part in (HALF, b'ue":', b"[1,", b"2]}", b"\n"):
                client.send(part)
                time.sleep(0.12)
            assert client.reply() == {"ok": True, "result": True}
