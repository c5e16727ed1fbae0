"""Clients that write and read the same keys at once."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, List

import pytest

from tests.support import TIMEOUT, Server
from tests.torture.peers import TELLER, Client, client_of


def together(server: Server, count: int, work: Callable[[Client, int], None]) -> None:
    """Let so many clients do something at the same time; raises what any of them raised."""
    failures: List[BaseException] = []

    def run(number: int) -> None:
        try:
            with client_of(server) as client:
                work(client, number)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    if failures:
        raise failures[0]


@pytest.mark.parametrize("between", [0, 10_000])
def test_no_reader_sees_half_of_an_mset_or_batch(
    between: int, server: Server, seconds: float, tell: TELLER
) -> None:
    """However many keys it reads between the two."""
    pair, reads = ["left", "right"], [0] * 6
    others = [f"key:{number}" for number in range(between)]
    end = time.monotonic() + seconds / 2

    def write_and_read(client: Client, number: int) -> None:
        turn = 0
        while time.monotonic() < end:
            turn += 1
            value: Any = [number, turn]
            assert client.ask("MSET", items=dict.fromkeys(pair, value))["ok"]
            seen = client.ask("MGET", keys=["left", *others, "right"])["result"]
            assert seen["left"] == seen["right"], "torn"
            reads[number] += 1

    together(server, 6, write_and_read)
    tell(reads=sum(reads), torn=0)
    assert min(reads) > 0


def test_concurrent_batches_that_move_amounts_keep_their_sum(
    server: Server, seconds: float, tell: TELLER
) -> None:
    accounts, moves = [f"account:{number}" for number in range(4)], [0] * 6
    end = time.monotonic() + seconds / 4
    with client_of(server) as client:
        client.ask("MSET", items=dict.fromkeys(accounts, 100))

    def move(client: Client, number: int) -> None:
        while time.monotonic() < end:
            giver, taker = accounts[moves[number] % 4], accounts[(moves[number] + number) % 4]
            give = {"type": "INCR", "key": giver, "by": -1}
            take = {"type": "INCR", "key": taker, "by": 1}
            fail = {"type": "INCR", "key": giver, "by": 2**63 - 1}  # the second time at the latest
            commands = [give, fail, fail, take] if moves[number] % 3 == 0 else [give, take]
            client.ask("BATCH", commands=commands)
            seen = client.ask("MGET", keys=accounts)["result"]
            assert sum(seen.values()) == 400
            moves[number] += 1

    together(server, 6, move)
    tell(moves=sum(moves))
    assert min(moves) > 0
