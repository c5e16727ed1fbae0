"""Times commands without sockets: bytes into a conversation with the executor, bytes out.

The rule it keeps: what is timed is the work of the server alone, on requests that were rendered
before; a number is the median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from adapters.client.loopback import LoopbackLink
from application.ports import Conversation, Wants
from entrypoints.server.__main__ import main as server_program
from entrypoints.server.container import ServerContainer

KEYS = 100_000
VALUE = "abcdefghijklmnopqrst"
KEYS_PER_COMMAND = {"GET": 1, "SET": 1, "MGET": 100, "MSET": 100}
PIPELINES = (1, 16, 100)
FILL_BATCH = 1000


def conversation() -> Conversation:
    """A conversation with an empty store, put together as the server does it by default."""
    container = ServerContainer()
    settings = server_program.make_context("kv-server", []).params
    container.config.from_dict({**settings, "password": ""})
    return container.conversation(LoopbackLink())


Request = dict[str, object]

REQUESTS: dict[str, Callable[[Sequence[str], str], Request]] = {
    "GET": lambda keys, value: {"type": "GET", "key": keys[0]},
    "SET": lambda keys, value: {"type": "SET", "key": keys[0], "value": value},
    "MGET": lambda keys, value: {"type": "MGET", "keys": keys},
    "MSET": lambda keys, value: {"type": "MSET", "items": dict.fromkeys(keys, value)},
}
"""Requests for some keys, with a value for each."""


def key(number: int) -> str:
    """A key of 16 bytes."""
    return f"key:{number:012}"


def render(requests: Iterable[Request]) -> bytes:
    """The requests as they are sent."""
    lines = (json.dumps(request, separators=(",", ":")) + "\n" for request in requests)
    return "".join(lines).encode()


def random_payload(draw: random.Random, command: str, pipeline: int) -> bytes:
    """What a client sends at once, for keys that differ within a request."""
    count = KEYS_PER_COMMAND[command]
    drawn = (draw.sample(range(KEYS), count) for _ in range(pipeline))
    return render(REQUESTS[command](list(map(key, numbers)), VALUE) for numbers in drawn)


def random_payloads(command: str, pipeline: int, keys: int) -> list[bytes]:
    """As many payloads as name so many keys."""
    draw = random.Random(1)
    count = max(1, keys // (KEYS_PER_COMMAND[command] * pipeline))
    return [random_payload(draw, command, pipeline) for _ in range(count)]


def answer(target: Conversation, payload: bytes) -> bytes:
    """All the replies, which come in turns."""
    turns = [target.receive(payload)]
    while target.wants is Wants.TURN:
        turns.append(target.advance())
    return b"".join(turns)


def fill(target: Conversation) -> None:
    """Set every key."""
    for first in range(0, KEYS, FILL_BATCH):
        keys = [key(number) for number in range(first, first + FILL_BATCH)]
        check(answer(target, render([REQUESTS["MSET"](keys, VALUE)])), replies=1)


def check(output: bytes, replies: int) -> None:
    """Make sure that what is timed succeeds."""
    lines = output.splitlines()
    if len(lines) != replies or not all(line.startswith(b'{"ok":true') for line in lines):
        raise SystemExit(f"{replies} good replies were expected: {output[:200]!r}")


def ns_per_payload(target: Conversation, payloads: list[bytes]) -> float:
    """The mean time of a payload, with nothing kept of the replies."""
    receive = target.receive
    started = time.perf_counter_ns()
    for payload in payloads:
        receive(payload)
        while target.wants is Wants.TURN:
            target.advance()
    return (time.perf_counter_ns() - started) / len(payloads)


def ns_per_command(
    target: Conversation, command: str, pipeline: int, keys: int, repeats: int
) -> float:
    """The median over the repeats, each of which names so many keys."""
    payloads = random_payloads(command, pipeline, keys)
    check(answer(target, payloads[0]), pipeline)
    return median(ns_per_payload(target, payloads) for _ in range(repeats)) / pipeline


def main() -> None:
    """Time every command at every depth of pipeline."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.in_process", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--keys", type=int, default=100_000, help="keys that a repeat names")
    options = parser.parse_args()
    target = conversation()
    fill(target)
    print(f"{'command':8}{'pipeline':>10}{'ns/command':>14}{'ns/key':>10}")
    for command, count in KEYS_PER_COMMAND.items():
        for pipeline in PIPELINES:
            ns = ns_per_command(target, command, pipeline, options.keys, options.repeats)
            print(f"{command:8}{pipeline:10}{ns:14,.0f}{ns / count:10,.0f}", flush=True)


if __name__ == "__main__":
    main()
