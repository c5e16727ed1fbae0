"""`kv bench`: how fast a server answers, seen from where the user sits.

Rule: it measures the way to the server and back with one Python program in between, so it is good
for comparing places, loads and servers, and no measure of what the server could do at most. It
writes keys of its own alone, which live for minutes and are removed at the end.
"""

from __future__ import annotations

import random
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

import click
from msgspec import Raw

from application.commands import Command, Get, Incr, MDelete, Ping, Set
from domain.errors import KvError
from entrypoints.client.arguments import Target
from entrypoints.client.output import failure

PREFIX, KEYS, TTL = "kv-bench:", 1000, 600.0
PERCENTILES = (50, 90, 99, 99.9, 100)
BUCKETS = 12
"""Rows of the histogram; each holds waits up to twice as long as the one before."""

_KINDS: Dict[str, Callable[[str, Raw], Command[Any]]] = {
    "get": lambda key, value: Get(key),
    "set": lambda key, value: Set(key, value, ttl=TTL),
    "incr": lambda key, value: Incr(key + ":n", ttl=TTL),
    "ping": lambda key, value: Ping(),
}


class Measured(NamedTuple):
    """The wait for each round trip, sorted, and the time for all of them, in seconds."""

    waits: List[float]
    seconds: float
    requests: int


@click.command("bench")
@click.option("--command", "kind", type=click.Choice(list(_KINDS)), default="get")
@click.option("--clients", type=click.IntRange(1, 1000), default=10, help="Connections at once.")
@click.option("--requests", type=click.IntRange(min=1), default=20_000, help="How many in all.")
@click.option("--pipeline", type=click.IntRange(1, 10_000), default=1, help="Requests at a time.")
@click.option("--size", type=click.IntRange(0, 1 << 20), default=20, help="Bytes of a value.")
@click.pass_obj
def bench_command(
    target: Target, kind: str, clients: int, requests: int, pipeline: int, size: int
) -> None:
    """Measure how long the server takes to answer, and how much it answers in a second."""
    value = Raw(b'"%b"' % (b"x" * size))
    keys = [f"{PREFIX}{number}" for number in range(KEYS)]
    try:
        target.executor.execute_all([Set(key, value, ttl=TTL) for key in keys])
        trips = max(1, requests // pipeline)
        make = _KINDS[kind]
        measured = measure(
            target,
            clients,
            trips,
            lambda: [make(random.choice(keys), value) for _ in range(pipeline)],
        )
        target.executor.execute(MDelete([*keys, *(key + ":n" for key in keys)]))
    except KvError as error:
        raise failure(error) from error
    what = f"{kind.upper()}, {clients} clients, {pipeline} at a time, values of {size} bytes"
    click.echo("\n".join([what, *told(measured)]))


def measure(
    target: Target, clients: int, trips: int, commands: Callable[[], Sequence[Command[Any]]]
) -> Measured:
    """Let clients send and wait, over and over, until `trips` have been made in all."""
    from concurrent.futures import ThreadPoolExecutor

    left = iter(range(trips))

    def client() -> List[float]:
        connection = target.connect()
        waits = []
        for _ in left:
            asked = commands()
            start = time.perf_counter()
            for outcome in connection.execute_all(asked):
                if isinstance(outcome, KvError):
                    raise outcome
            waits.append(time.perf_counter() - start)
        connection.close()
        return waits

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        waits = [wait for future in running for wait in future.result()]
    return Measured(sorted(waits), time.perf_counter() - start, trips * len(commands()))


def told(measured: Measured) -> List[str]:
    """The rate, the percentiles of the waits and their histogram, as lines."""
    waits = measured.waits
    rate = measured.requests / measured.seconds
    lines = [f"{rate:,.0f} requests a second", "", "  waited at most"]
    for percentile in PERCENTILES:
        wait = waits[min(len(waits) - 1, int(len(waits) * percentile / 100))]
        lines.append(f"  {percentile:>6g} %  {_ms(wait)}")
    return [*lines, "", *_histogram(waits)]


def _histogram(waits: Sequence[float]) -> List[str]:
    bound = waits[0] * 2
    counts: List[int] = [0]
    bounds = [bound]
    for wait in waits:
        while wait > bounds[-1] and len(bounds) < BUCKETS:
            bounds.append(bounds[-1] * 2)
            counts.append(0)
        counts[-1] += 1
    bounds[-1] = max(bounds[-1], waits[-1])
    longest = max(counts)
    return [
        f"  {_ms(bound)} {'█' * round(40 * count / longest) or '▏'} {count:,}"
        for bound, count in zip(bounds, counts)
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:9.3f} ms"
