"""Clients of all kinds that come and go for a while, and what they leave behind.

What can be seen of a process from outside are its memory and its descriptors. Its greenlets cannot;
one that hung for every client that left would show as memory.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import List

from tests.support import TIMEOUT, Server, running_server
from tests.torture.peers import (
    TELLER,
    Client,
    client_of,
    descriptors,
    eventually,
    fill,
    info,
    request,
    resident,
)

KEYS = 2000
SLACK = 8
"""MB; more than what a process's memory goes up and down by itself."""


def one_client(client: Client, choose: random.Random) -> None:
    """What one client does between coming and going, well or badly."""
    key = f"key:{choose.randrange(KEYS):012}"
    kind = choose.randrange(10)
    if kind == 0:
        client.send(b"[hello\n")
        client.rest()
    elif kind == 1:
        client.send(request("GET", key=key) * 200)  # and leaves before the replies
    elif kind == 2:
        client.send(request("SET", key=key, value="x" * 5000)[:-100])  # half a request
    elif kind == 3:
        client.send(b'{"type":"SET","key":"k","value":"' + b"x" * 500_000 + b'"}\n')
        assert client.reply()["ok"]
    elif kind == 4:
        commands = [{"type": "SET", "key": key, "value": 1}, {"type": "INCR", "key": "k"}] * 20
        client.ask("BATCH", commands=commands)
    else:
        for _ in range(20):
            assert client.ask("SET", key=key, value="abcdefghijklmnopqrst", ttl=0.5)["ok"]
            assert client.ask("SET", key=key, value="abcdefghijklmnopqrst")["ok"]
            assert client.ask("MGET", keys=[key, "none"])["ok"]
            client.ask("SCAN", limit=10)


def load(server: Server, seconds: float) -> int:
    """Let four at a time come and go; how many there were."""
    end = time.monotonic() + seconds
    served: List[int] = []

    def come_and_go(seed: int) -> None:
        choose = random.Random(seed)
        while time.monotonic() < end:
            with contextlib.suppress(ConnectionError), client_of(server) as client:
                one_client(client, choose)
            served.append(seed)

    threads = [threading.Thread(target=come_and_go, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + TIMEOUT)
    return len(served)


def test_clients_that_come_and_go_leave_no_memory_or_descriptors(
    seconds: float, long: bool, tell: TELLER
) -> None:
    length = 6 * seconds if long else seconds
    with running_server() as server:
        fill(server, KEYS)
        eventually(lambda: info(server)["server"]["connected_clients"] == 1)
        files = descriptors(server)
        warm = load(server, length / 4)
        before = resident(server)
        served = load(server, length)
        eventually(lambda: info(server)["server"]["connected_clients"] == 1)
        eventually(lambda: descriptors(server) <= files)
        grown = resident(server) - before
        tell(clients=warm + served, memory_grew=f"{grown:.1f} MB", descriptors=files)
        assert served > 10
        assert grown < SLACK
