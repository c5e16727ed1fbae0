"""Compares our Python clients, on our server, with redis-py and hiredis on redis and on valkey.

The rules it keeps: blocking and asyncio are each compared with their like; the clients take turns
inside every round; a number is the median over the rounds; of redis and valkey the faster one
counts. Everything is measured with client and server on one core and on two: on many virtual
machines it takes tens of microseconds to wake the other core, which hides what a client costs
itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec
import psutil
import redis.asyncio

from application.commands import Get, Set
from benchmarks import report, results
from benchmarks.environment import command_line, machine, say, start_servers, today, versions
from benchmarks.results import OURS, Run
from benchmarks.servers import BY_NAME, HOST, Running
from entrypoints.client.__main__ import main as client_program
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import DEFAULTS
from entrypoints.library.asyncio_client import AsyncClient

KEYS = [f"key:{number:012}" for number in range(100)]
VALUE = "abcdefghijklmnopqrst"
TEXT = b'"%b"' % VALUE.encode()
NATIVE = results.RIVALS["native"]
SERVERS = [BY_NAME[name] for name in (OURS, *NATIVE)]
PACKAGES = ("gevent", "msgspec", "redis", "hiredis")
CORES = sorted(os.sched_getaffinity(0))
PLACEMENTS = {"one core": (0, 0), "two cores": (0, 1)}
"""Which of `CORES` the client and the server run on, by their places."""

Replies = Sequence[object]
Task = Callable[[], Replies]
"""Asks for all of `KEYS`."""


def our_tasks(port: int) -> dict[str, Task]:
    """Our client, put together as the client program does it by default."""
    container = ClientContainer()
    settings = client_program.make_context("kv", ["--port", str(port)]).params
    container.config.from_dict({**DEFAULTS, **settings})
    client = container.executor()
    client.execute_all([Set(key, msgspec.Raw(TEXT)) for key in KEYS])

    def one_by_one() -> Replies:
        return [client.execute(Get(key)) for key in KEYS]

    def pipelined() -> Replies:
        return client.execute_all([Get(key) for key in KEYS])

    return {"GET": one_by_one, "GET p100": pipelined, **our_asyncio_tasks(port)}


def our_asyncio_tasks(port: int) -> dict[str, Task]:
    """Those of our asyncio client, as programs use it."""
    client = AsyncClient(HOST, port)

    async def one_by_one() -> Replies:
        return [await client.get(key) for key in KEYS]

    async def pipelined() -> Replies:
        pipeline = client.pipeline()
        for key in KEYS:
            pipeline.get(key)
        return await pipeline.run()

    return in_a_loop({"asyncio GET": one_by_one, "asyncio GET p100": pipelined})


def in_a_loop(tasks: dict[str, Callable[[], Awaitable[Replies]]]) -> dict[str, Task]:
    """The tasks of an asyncio client, which has a loop of its own."""
    loop = asyncio.new_event_loop()
    return {
        title: lambda task=task: loop.run_until_complete(task())  # type: ignore[misc]
        for title, task in tasks.items()
    }


def redis_tasks(port: int) -> dict[str, Task]:
    """redis-py on a connection of its own, which is the fastest that it has."""
    client = redis.Redis(HOST, port, single_connection_client=True)
    client.mset(dict.fromkeys(KEYS, VALUE))

    def one_by_one() -> Replies:
        return [client.get(key) for key in KEYS]

    def pipelined() -> Replies:
        pipeline = client.pipeline(transaction=False)
        for key in KEYS:
            pipeline.get(key)
        found: Sequence[object] = pipeline.execute()
        return found

    return {"GET": one_by_one, "GET p100": pipelined, **redis_asyncio_tasks(port)}


def redis_asyncio_tasks(port: int) -> dict[str, Task]:
    """Those of redis-py's asyncio client on a connection of its own."""
    client = redis.asyncio.Redis(host=HOST, port=port, single_connection_client=True)

    async def one_by_one() -> Replies:
        return [await client.get(key) for key in KEYS]

    async def pipelined() -> Replies:
        pipeline = client.pipeline(transaction=False)
        for key in KEYS:
            pipeline.get(key)
        found: Sequence[object] = await pipeline.execute()
        return found

    return in_a_loop({"asyncio GET": one_by_one, "asyncio GET p100": pipelined})


TASKS = {OURS: our_tasks, **dict.fromkeys(NATIVE, redis_tasks)}


class Row(msgspec.Struct, frozen=True):
    """One task in one placement: commands per second by server, and ours over the faster other."""

    placement: str
    task: str
    rates: dict[str, float]
    rounds: dict[str, list[float]]
    ratio: float | None


class Clients(Run, frozen=True):
    """What one run found."""

    rows: list[Row]


def place(servers: Sequence[Running], client_core: int, server_core: int) -> None:
    """Move this process and the servers, with all their threads, each to a core."""
    os.sched_setaffinity(0, {client_core})
    for server in servers:
        for thread in psutil.Process(server.pid).threads():
            os.sched_setaffinity(thread.id, {server_core})


def rate(task: Task, seconds: float) -> float:
    """Commands per second over at least so many seconds."""
    started = now = time.perf_counter()
    passes = 0
    while now - started < seconds:
        task()
        passes += 1
        now = time.perf_counter()
    return passes * len(KEYS) / (now - started)


def check(name: str, task: Task) -> None:
    """Make sure that the task returns the values, which also warms it up."""
    replies = task()
    if list(map(_shown, replies)) != [VALUE] * len(KEYS):
        raise SystemExit(f"{name} gave {replies[:3]!r}")


def _shown(reply: object) -> object:
    """The value, as which each client returns something else."""
    text = reply.decode() if isinstance(reply, bytes) else reply
    return text.strip('"') if isinstance(text, str) else text


def measure(servers: Sequence[Running], rounds: int, seconds: float) -> list[Row]:
    """A row for every placement and task."""
    tasks = {server.name: TASKS[server.name](server.port) for server in servers}
    for name, by_title in tasks.items():
        for task in by_title.values():
            check(name, task)
    rows: list[Row] = []
    for placement, cores in PLACEMENTS.items():
        if len(CORES) <= max(cores):
            continue
        place(servers, *(CORES[number] for number in cores))
        for title in next(iter(tasks.values())):
            say(f"{placement}: {title}")
            found = take_turns({name: tasks[name][title] for name in tasks}, rounds, seconds)
            rows.append(row(placement, title, found))
    return rows


def take_turns(tasks: dict[str, Task], rounds: int, seconds: float) -> dict[str, list[float]]:
    """The rates of every round; each starts with another task."""
    names = list(tasks)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in (*names[first:], *names[:first]):
            found[name].append(rate(tasks[name], seconds))
    return found


def row(placement: str, task: str, rounds: dict[str, list[float]]) -> Row:
    """The medians and their ratio."""
    rates = {name: median(found) for name, found in rounds.items()}
    native = max((rates[name] for name in NATIVE if name in rates), default=None)
    ratio = rates[OURS] / native if native and OURS in rates else None
    return Row(placement, task, rates, rounds, ratio)


def compare(rounds: int, seconds: float) -> Clients:
    """All of it, on servers that run as long as it takes."""
    with ExitStack() as stack:
        running, absent = start_servers(stack, SERVERS)
        rows = measure(running, rounds, seconds)
    used = versions(NATIVE, PACKAGES)
    command = command_line("benchmarks.client")
    return Clients(command, today(), machine(), used, rounds, seconds, absent, rows)


def table(clients: Clients) -> str:
    """Commands per second, and our rate over the faster of the others."""
    heads = ["placement", "task", *(server.name for server in SERVERS), "/native"]
    return report.aligned([heads, *map(_cells, clients.rows)])


def _cells(row: Row) -> list[str]:
    rates = [
        f"{row.rates[server.name]:,.0f}" if server.name in row.rates else "absent"
        for server in SERVERS
    ]
    return [row.placement, row.task, *rates, f"{row.ratio:.2f}" if row.ratio else "-"]


def main() -> None:
    """Compare, print the table, and fail when our client has no number."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each client in a round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped before the end"))
    clients = compare(options.rounds, options.seconds)
    print(table(clients))
    if options.json:
        results.save(clients, options.json)
    sys.exit(not all(OURS in row.rates for row in clients.rows))


if __name__ == "__main__":
    main()
