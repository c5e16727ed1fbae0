"""Times GET and SET over RESP against the same as JSON lines, without sockets.

The rule it keeps: both protocols are served by one server, with one store, in short turns; a number
is the median of the rounds, in the processor time of the thread, so that other work on the machine
slows both sides down alike.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from statistics import median

from adapters.client.loopback import LoopbackLink
from application.ports import Conversation
from benchmarks.in_process import KEYS, VALUE, answer, check, fill, key, render
from benchmarks.in_process import REQUESTS as JSON
from entrypoints.server.__main__ import main as server_program
from entrypoints.server.container import ServerContainer

CASES = [(command, pipeline) for command in ("GET", "SET") for pipeline in (1, 16)]
ARGUMENTS = {"GET": 2, "SET": 3}
ROUND = 4_000
"""Requests, some milliseconds' worth."""

Render = Callable[[str, list[str]], bytes]


def as_json(command: str, names: list[str]) -> bytes:
    """Requests as JSON clients send them at once."""
    return render(JSON[command]([name]) for name in names)


def as_resp(command: str, names: list[str]) -> bytes:
    """The same as Redis clients send them."""
    return b"".join(
        b"*%d\r\n" % ARGUMENTS[command]
        + b"".join(
            b"$%d\r\n%b\r\n" % (len(each), each.encode())
            for each in (command, name, VALUE)[: ARGUMENTS[command]]
        )
        for name in names
    )


def conversations() -> tuple[Conversation, Conversation]:
    """One of each protocol with one store, which is filled."""
    container = ServerContainer()
    settings = server_program.make_context("kv-server", []).params
    container.config.from_dict({**settings, "password": ""})
    json, resp = (container.conversation(LoopbackLink()) for _ in range(2))
    fill(json)
    if answer(resp, b"*1\r\n$4\r\nPING\r\n") != b"+PONG\r\n":
        raise SystemExit("the server does not speak RESP")
    return json, resp


def expected(command: str, pipeline: int) -> bytes:
    """The replies over RESP."""
    one = b"+OK\r\n" if command == "SET" else b"$%d\r\n%b\r\n" % (len(VALUE), VALUE.encode())
    return one * pipeline


def ns_per_request(target: Conversation, payloads: list[bytes]) -> float:
    """The mean time of a request of a round, each payload in a turn."""
    receive = target.receive
    started = time.thread_time_ns()
    for payload in payloads:
        receive(payload)
    return (time.thread_time_ns() - started) / ROUND


def payloads(render: Render, command: str, pipeline: int, draw: random.Random) -> list[bytes]:
    """Those of a round, whose keys are drawn at random: the keys of the turn before would be in the
    cache."""
    return [
        render(command, [key(draw.randrange(KEYS)) for _ in range(pipeline)])
        for _ in range(ROUND // pipeline)
    ]


def main() -> None:
    """Time each case in both protocols."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocols", description=__doc__)
    parser.add_argument("--rounds", type=int, default=101)
    rounds = parser.parse_args().rounds
    json, resp = conversations()
    draw = random.Random(1)
    print(f"{'command':8}{'pipeline':>10}{'JSON, ns':>12}{'RESP, ns':>12}{'rate':>8}")
    for command, pipeline in CASES:
        pairs = []
        for _ in range(rounds):
            lines, bulks = (payloads(each, command, pipeline, draw) for each in (as_json, as_resp))
            check(answer(json, lines[0]), pipeline)
            if answer(resp, bulks[0]) != expected(command, pipeline):
                raise SystemExit(f"{command} failed over RESP")
            pairs.append((ns_per_request(json, lines), ns_per_request(resp, bulks)))
        one, other = (median(column) for column in zip(*pairs))
        ratio = median(one / other for one, other in pairs)
        print(f"{command:8}{pipeline:10}{one:12,.0f}{other:12,.0f}{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
