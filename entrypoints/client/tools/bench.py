"""`kv bench`: how fast a server answers, seen from where the user sits.

Rule: it measures the way to the server and back with one Python program in between, so it is good
for comparing places, loads and servers; where this program is what limits the rate, it says so. It
writes keys of its own alone, which live for minutes and are removed at the end.
"""

from __future__ import annotations

import contextlib
import math
import queue
import random
import sys
import threading
import time
from itertools import chain, repeat
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence

import click
import msgspec
from msgspec import Raw

from application.commands import Command, Get, Incr, MDelete, Ping, Set
from application.ports import Pipelined
from domain.errors import KvError, raise_first
from entrypoints.client.output import Style, chosen_style, failure, style_options
from entrypoints.client.target import Target
from entrypoints.settings.kinds import COUNT, Number
from entrypoints.settings.ranges import Range
from entrypoints.starting import INTERRUPTED
from entrypoints.streams import can_show
from entrypoints.wording import counted

PREFIX, KEYS, TTL = "kv-bench:", 1000, 600.0
PERCENTILES = (50, 90, 99, 99.9, 100)
MAX_PIPELINE = 10_000
BUCKETS = 12
"""Rows of the histogram; each holds waits up to twice as long as the one before."""

BUSY = 0.55
"""The share of a processor from which on this program is the limit; the rest goes by while its
threads hand the interpreter to each other."""

SPIN = 0.03
"""Seconds to find out how much of a processor a program gets on this machine now."""

CLEAN_UP_PATIENCE = 1.0
"""Seconds to wait for the removal of the keys after an interruption."""

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
    busy: float = 0.0
    """The share that this program used of the processor time that it could get."""

    def at(self, percentile: float) -> float:
        """The wait that so many of a hundred did not exceed."""
        return self.waits[max(0, math.ceil(len(self.waits) * percentile / 100) - 1)]


@click.command("bench")
@click.option(
    "--command",
    "kind",
    type=click.Choice(list(_KINDS)),
    default="get",
    show_default=True,
    help="Command to send.",
)
@click.option(
    "-c",
    "--clients",
    type=Number("n", Range(1, 1000)),
    default=10,
    show_default=True,
    metavar="N",
    help="Number of concurrent connections.",
)
@click.option(
    "-n",
    "--requests",
    type=COUNT,
    default=20_000,
    show_default=True,
    metavar="N",
    help="Total number of requests.",
)
@click.option(
    "-P",
    "--pipeline",
    type=Number("n", Range(1, MAX_PIPELINE)),
    default=1,
    show_default=True,
    metavar="N",
    help="Requests that each connection sends before it waits for replies.",
)
@click.option(
    "--size",
    type=Number("bytes", Range(0, 1 << 20)),
    default=20,
    show_default=True,
    metavar="BYTES",
    help="Size of a value in bytes.",
)
@click.pass_context
def bench_command(
    ctx: click.Context, kind: str, clients: int, requests: int, pipeline: int, size: int
) -> None:
    """Measure how long the server takes to answer, and how much it answers in a second."""
    target: Target = ctx.obj
    value = Raw(b'"%b"' % (b"x" * size))
    keys = [f"{PREFIX}{number}" for number in range(KEYS)]
    pipeline = min(pipeline, requests)
    clients = min(clients, math.ceil(requests / pipeline))
    load = Load(_KINDS[kind], keys, value, pipeline)
    try:
        raise_first(target.executor.execute_all([Set(key, value, ttl=TTL) for key in keys]))
        measured = measure(target.connect, clients, requests, load)
        target.executor.execute(MDelete(load.all_keys()))
    except KvError as error:
        raise failure(error) from error
    except KeyboardInterrupt as error:
        click.echo("interrupted: nothing was measured", err=True)
        with contextlib.suppress(KvError):
            target.connect(timeout=CLEAN_UP_PATIENCE, connect_timeout=CLEAN_UP_PATIENCE).execute(
                MDelete(load.all_keys())
            )
        raise click.exceptions.Exit(INTERRUPTED) from error
    if chosen_style(ctx, Style()).as_json:
        click.echo(msgspec.json.encode(figures(measured)))
        return
    what = [
        kind.upper(),
        counted(requests, "request"),
        counted(clients, "client"),
        f"{pipeline:,} at a time",
        f"values of {counted(size, 'byte')}",
    ]
    click.echo("\n".join([", ".join(what), *lines_of(measured, pipeline)]))


bench_command.params += [option for option in style_options() if option.name == "as_json"]


class Load:
    """What is sent: commands of one kind on random keys."""

    def __init__(
        self,
        make: Callable[[str, Raw], Command[Any]],
        keys: Sequence[str],
        value: Raw,
        pipeline: int,
    ) -> None:
        self._make = make
        self._keys = keys
        self._value = value
        self._pipeline = pipeline

    def trips(self, requests: int) -> Iterator[int]:
        """How many of so many requests each round trip has."""
        whole, rest = divmod(requests, self._pipeline)
        return chain(repeat(self._pipeline, whole), repeat(rest, rest > 0))

    def commands(self, count: int) -> List[Command[Any]]:
        """What is sent at a time."""
        return [self._make(random.choice(self._keys), self._value) for _ in range(count)]

    def all_keys(self) -> List[str]:
        """Every key that may have been written."""
        return [*self._keys, *(key + ":n" for key in self._keys)]


def measure(connect: Callable[[], Pipelined], clients: int, requests: int, load: Load) -> Measured:
    """Let clients send and wait, over and over, until so many requests have been answered.

    An error of one, or an interruption, ends them all: no thread is waited for, since a server that
    does not answer would hold it.
    """
    left = load.trips(requests)
    done: queue.SimpleQueue[object] = queue.SimpleQueue()
    stopped = threading.Event()

    def client() -> None:
        try:
            done.put(_waits(connect(), left, load, stopped))
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            done.put(error)

    obtainable = obtainable_share()
    start, used = time.perf_counter(), time.process_time()
    try:
        for _ in range(clients):
            threading.Thread(target=client, daemon=True).start()
        waits: List[float] = []
        for _ in range(clients):
            outcome = done.get()
            if isinstance(outcome, Exception):
                raise outcome
            assert isinstance(outcome, list)
            waits += outcome
    finally:
        stopped.set()
    seconds, busy = time.perf_counter() - start, time.process_time() - used
    obtainable = (obtainable + obtainable_share()) / 2
    busy_share = min(1.0, busy / seconds / obtainable)
    return Measured(sorted(waits), seconds, requests, busy_share)


def obtainable_share() -> float:
    """How much of a processor a busy thread gets, beside whatever else runs on this machine."""
    start, used = time.perf_counter(), time.thread_time()
    while time.perf_counter() - start < SPIN:
        pass
    return max(0.05, (time.thread_time() - used) / (time.perf_counter() - start))


def _waits(
    connection: Pipelined, left: Iterator[int], load: Load, stopped: threading.Event
) -> List[float]:
    """The waits of one client."""
    waits: List[float] = []
    with contextlib.closing(connection):
        for count in left:
            if stopped.is_set():
                break
            asked = load.commands(count)
            start = time.perf_counter()
            raise_first(connection.execute_all(asked))
            waits.append(time.perf_counter() - start)
    return waits


def figures(measured: Measured) -> Dict[str, Any]:
    """What was measured, for scripts; waits in seconds by percentile."""
    return {
        "requests": measured.requests,
        "seconds": measured.seconds,
        "requests_per_second": measured.requests / measured.seconds,
        "client_busy": measured.busy,
        "waits": {f"{percentile:g}": measured.at(percentile) for percentile in PERCENTILES},
    }


def lines_of(measured: Measured, pipeline: int = 1) -> List[str]:
    """The rate, the percentiles of the waits and their histogram, as lines."""
    rate = measured.requests / measured.seconds
    lines = [f"{rate:,.0f} requests a second", *_limit(measured, pipeline)]
    lines += ["", "   share  waited at most"]
    lines += [f"  {percentile:>6g} %  {_ms(measured.at(percentile))}" for percentile in PERCENTILES]
    return [
        *lines,
        "",
        "  waited up to  requests" if pipeline == 1 else "  waited up to  round trips",
        *_histogram(measured.waits),
    ]


def _limit(measured: Measured, pipeline: int) -> List[str]:
    """Says that the client is the limit, where it is."""
    if measured.busy < BUSY:
        return []
    more = min(MAX_PIPELINE, max(50, 2 * pipeline))
    return [
        f"This client was busy {measured.busy:.0%} of the time and is itself the limit: the server",
        f"can do more. --pipeline {more} asks more of it, and so do several kv bench at once.",
    ]


def _histogram(waits: Sequence[float]) -> List[str]:
    counts: List[int] = [0]
    bounds = [waits[0] * 2]
    for wait in waits:
        while wait > bounds[-1] and len(bounds) < BUCKETS:
            bounds.append(bounds[-1] * 2)
            counts.append(0)
        counts[-1] += 1
    bounds[-1] = max(bounds[-1], waits[-1])
    longest = max(counts)
    full, little = ("█", "▏") if can_show("█▏", sys.stdout) else ("#", ".")
    return [
        f"  {_ms(bound)}  {full * round(40 * count / longest) or little} {count:,}"
        for bound, count in zip(bounds, counts)
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:9.3f} ms"
