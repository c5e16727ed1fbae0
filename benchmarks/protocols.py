"""Times commands over RESP against the same as JSON lines, without sockets.

The rule it keeps: both protocols are served by one server, with one store, in short turns; a number
is the median of the rounds, in the processor time of the thread, so that other work on the machine
slows both sides down alike.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from statistics import median
from typing import NamedTuple

from adapters.client.loopback import LoopbackLink
from application.ports import Conversation, Wants
from benchmarks.in_process import KEYS_PER_COMMAND, REQUESTS, answer, check, key, render
from entrypoints.server.__main__ import main as server_program
from entrypoints.server.container import ServerContainer

KEYS = {20: 100_000, 1024: 30_000, 65536: 1_000}
"""How many keys there are, by the bytes of their values."""

ROUND_KEYS, ROUND_BYTES = 4_000, 20_000_000
"""What a round names and carries at the most: some milliseconds' worth."""


class Case(NamedTuple):
    """What is timed: `pipeline` commands in a read."""

    command: str
    value_bytes: int
    pipeline: int

    def __str__(self) -> str:
        return f"{self.command} {self.value_bytes} B p{self.pipeline}"


CASES = [
    *[Case(command, 20, pipeline) for command in ("GET", "SET") for pipeline in (1, 16)],
    *[Case(command, 1024, pipeline) for command in ("GET", "SET") for pipeline in (1, 16)],
    *[Case(command, 65536, 1) for command in ("GET", "SET")],
    *[Case(command, size, 1) for command in ("MGET", "MSET") for size in (20, 1024)],
]

Render = Callable[[str, Sequence[str], str], bytes]


def as_json(command: str, names: Sequence[str], value: str) -> bytes:
    """A request as JSON clients send it."""
    return render([REQUESTS[command](names, value)])


def as_resp(command: str, names: Sequence[str], value: str) -> bytes:
    """The same as Redis clients send it."""
    is_read = command.endswith("GET")
    arguments = names if is_read else list(chain.from_iterable(zip(names, repeat(value))))
    words = [word.encode() for word in (command, *arguments)]
    return b"*%d\r\n" % len(words) + b"".join(map(bulk, words))


def bulk(word: bytes) -> bytes:
    """Bytes as RESP has them."""
    return b"$%d\r\n%b\r\n" % (len(word), word)


def conversations(value_bytes: int) -> tuple[Conversation, Conversation]:
    """One of each protocol with one store, which is filled."""
    container = ServerContainer()
    settings = server_program.make_context("kv-server", []).params
    container.config.from_dict({**settings, "password": ""})
    lines, resp = (container.conversation(LoopbackLink()) for _ in range(2))
    for number in range(KEYS[value_bytes]):
        check(answer(lines, as_json("SET", [key(number)], "x" * value_bytes)), replies=1)
    if answer(resp, b"*1\r\n$4\r\nPING\r\n") != b"+PONG\r\n":
        raise SystemExit("the server does not speak RESP")
    return lines, resp


def expected(case: Case) -> bytes:
    """The replies over RESP."""
    count = KEYS_PER_COMMAND[case.command]
    one = bulk(b"x" * case.value_bytes) * count if case.command.endswith("GET") else b"+OK\r\n"
    return (one if case.command != "MGET" else b"*%d\r\n" % count + one) * case.pipeline


def ns_per_request(target: Conversation, reads: Sequence[bytes], pipeline: int) -> float:
    """The mean time of a request of a round."""
    receive = target.receive
    started = time.thread_time_ns()
    for data in reads:
        receive(data)
        while target.wants is Wants.TURN:
            target.advance()
    return (time.thread_time_ns() - started) / len(reads) / pipeline


def reads(rendered: Render, case: Case, draw: random.Random) -> Iterator[bytes]:
    """Those of a round, whose keys are drawn at random: the keys of the turn before would be in the
    cache."""
    count, value = KEYS_PER_COMMAND[case.command], "x" * case.value_bytes
    keys = case.pipeline * count
    for _ in range(max(3, min(ROUND_KEYS, ROUND_BYTES // case.value_bytes) // keys)):
        drawn = (draw.sample(range(KEYS[case.value_bytes]), count) for _ in range(case.pipeline))
        yield b"".join(rendered(case.command, [*map(key, each)], value) for each in drawn)


def main() -> None:
    """Time each case in both protocols."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.protocols", description=__doc__)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name it matches")
    options = parser.parse_args()
    cases = [case for case in CASES if re.search(options.only, str(case))]
    draw = random.Random(1)
    print(f"{'case':20}{'JSON, ns':>12}{'RESP, ns':>12}{'rate':>8}")
    for size in sorted({case.value_bytes for case in cases}):
        lines, resp = conversations(size)
        for case in [case for case in cases if case.value_bytes == size]:
            pairs = []
            for _ in range(options.rounds):
                one, other = ([*reads(each, case, draw)] for each in (as_json, as_resp))
                check(answer(lines, one[0]), case.pipeline)
                if answer(resp, other[0]) != expected(case):
                    raise SystemExit(f"{case} failed over RESP")
                times = ns_per_request(lines, one, case.pipeline)
                pairs.append((times, ns_per_request(resp, other, case.pipeline)))
            columns = [median(column) for column in zip(*pairs)]
            ratio = median(one / other for one, other in pairs)
            print(f"{case!s:20}{columns[0]:12,.0f}{columns[1]:12,.0f}{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
