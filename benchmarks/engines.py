"""What a server before Redis does, and what a cluster that grows under load costs its clients.

The rules it keeps: what is compared takes turns inside every round, and the median of the rounds'
ratios counts; a request that fails ends the run. Needs redis-server, redis-cli and a C compiler.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import click
import kvjson
import redis

from benchmarks import load
from benchmarks.environment import machine
from benchmarks.servers import BY_NAME, HOST, PROJECT, Running, Server, free_port, started

KEYS = [f"key:{number}" for number in range(100)]
CONNECTIONS = 48
READ = 1000
"""How many keys the servers before one engine are asked for."""

STORED = 100_000
"""How many keys are in a cluster that grows."""


def engine(*options: str) -> Server:
    """A Redis server, with its files in a directory of its own."""
    base = BY_NAME["redis"]
    command = base.command
    return Server("redis", "resp", base.version, lambda port: [*command(port), *options])


def member() -> Server:
    """A server that is to be in a cluster."""
    return engine("--cluster-enabled", "yes", "--cluster-port", str(free_port()))


def ours(*arguments: str) -> Server:
    """A server of ours, to be spoken to over RESP."""
    command = [sys.executable, "-m", "entrypoints.server", "--port", "0", *arguments]
    return Server("ours", "resp", lambda: "", lambda port: command, PROJECT, True)


@click.group(help=__doc__)
def main() -> None:
    """Name the machine."""
    click.echo(f"{machine()['cpu']}, {machine()['cores']} cores")


def ratios(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The medians of what each case is beside the first of its round."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        first = number % len(cases)
        order = [*cases][first:] + [*cases][:first]
        figures = {name: cases[name]() for name in order}
        base = next(iter(cases))
        for name, figure in figures.items():
            found[name].append(figure / figures[base])
    return {name: median(each) for name, each in found.items()}


@main.command()
@click.option("--rounds", default=15)
@click.option("--seconds", default=0.3, help="Of each run.")
def direct(rounds: int, seconds: float) -> None:
    """A program with no server between, and one that uses redis-py and `json` by hand."""
    with started(engine()) as server, kvjson.Client(f"redis://{HOST}:{server.port}") as client:
        by_hand = redis.Redis(HOST, server.port, single_connection_client=True)
        value = {"name": "Ada", "tags": [1, 2, 3]}
        items = dict.fromkeys(KEYS, value)
        client.update(items)
        by_hand.mset({key: json.dumps(value) for key in KEYS})
        key = KEYS[0]
        pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "GET": (lambda: json.loads(by_hand.get(key)), lambda: client.get(key)),
            "SET": (
                lambda: by_hand.set(key, json.dumps(value)),
                lambda: client.set(key, value),
            ),
            "MGET of 100": (
                lambda: list(map(json.loads, by_hand.mget(KEYS))),
                lambda: client.mget(KEYS),
            ),
            "INCR": (lambda: by_hand.incr("n"), lambda: client.incr("n")),
        }
        for name, (theirs, mine) in pairs.items():
            cases = {
                "redis-py": partial(calls_a_second, theirs, seconds),
                "ours": partial(calls_a_second, mine, seconds),
            }
            click.echo(f"{name}: {ratios(cases, rounds)['ours']:.2f} of redis-py by hand")
        by_hand.close()


def calls_a_second(call: Callable[[], object], seconds: float) -> float:
    """How often something can be done in a second."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(10):
            call()
        count += 10
    return count / (time.perf_counter() - began)


@main.command()
@click.option("--rounds", default=9)
@click.option("--seconds", default=1.0, help="Of each run.")
@click.option("--most", default=4, help="Servers before the engine.")
@click.option("--connections", default=CONNECTIONS, help="To all of the servers together.")
def servers(rounds: int, seconds: float, most: int, connections: int) -> None:
    """Servers before one engine, beside one with the keys in its memory, and the engine itself."""
    with ExitStack() as stack:
        program = load.build(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        redis_server = stack.enter_context(started(engine()))
        store = f"redis://{HOST}:{redis_server.port}"
        before = [stack.enter_context(started(ours("--store", store))) for _ in range(most)]
        memory = stack.enter_context(started(ours()))
        groups = {"one server before an engine": before[:1]}
        groups |= {f"{count} of them": before[:count] for count in range(2, most + 1)}
        groups |= {"one with the keys in memory": [memory], "the engine itself": [redis_server]}
        for server in (before[0], memory, redis_server):
            load.run(program, "--load", port=server.port, protocol="resp", keys=READ)
        for command in ("GET", "SET"):
            cases = {
                name: partial(requests_a_second, program, group, command, connections, seconds)
                for name, group in groups.items()
            }
            shown = [f"{name} {ratio:.2f}" for name, ratio in ratios(cases, rounds).items()]
            click.echo(f"{command}, {connections} connections: " + ", ".join(shown))


def requests_a_second(
    program: Path, group: Sequence[Running], command: str, connections: int, seconds: float
) -> float:
    """The rate of some servers that are used at the same time."""

    def rate(server: Running) -> float:
        return load.run(
            program,
            port=server.port,
            protocol=server.protocol,
            command=command,
            connections=connections // len(group),
            keys=READ,
            seconds=seconds,
            warmup=0.1,
        ).requests_per_second

    with ThreadPoolExecutor() as threads:
        return sum(threads.map(rate, group))


@main.command()
@click.option("--seconds", default=1.0, help="Of each run, of which there are some in each phase.")
@click.option("--keys", default=STORED)
@click.option("--slots", default=4096, help="That move, of 16,384.")
def growth(seconds: float, keys: int, slots: int) -> None:
    """A fourth primary, to which a quarter of the slots move under load."""
    with ExitStack() as stack:
        program = load.build(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        primaries = [stack.enter_context(started(member())) for _ in range(4)]
        places = [f"{HOST}:{primary.port}" for primary in primaries]
        redis_cli("create", *places[:3], "--cluster-yes")
        store = f"redis-cluster://{','.join(places[:3])}"
        server = stack.enter_context(started(ours("--store", store)))
        load.run(program, "--load", port=server.port, protocol="resp", keys=keys)
        run = partial(
            load.run,
            program,
            port=server.port,
            protocol="resp",
            connections=CONNECTIONS,
            keys=keys,
            seconds=seconds,
            warmup=0.1,
        )
        threads = stack.enter_context(ThreadPoolExecutor())
        before = [run(command=command) for command in ("GET", "SET") * 2]
        began = time.perf_counter()
        moved = threads.submit(grow, places, slots)
        during = list(runs_until(moved.done, run))
        moved.result()
        took = time.perf_counter() - began
        after = [run(command=command) for command in ("GET", "SET") * 2]
        counts = [redis.Redis(HOST, primary.port).dbsize() for primary in primaries]
        click.echo(f"{took:.1f} s to add a primary and move {slots} slots; keys on each: {counts}")
        usual = median(each.requests_per_second for each in before)
        for name, outcomes in ("before", before), ("meanwhile", during), ("after", after):
            rate = median(each.requests_per_second for each in outcomes) / usual
            waits = max(each.latency_us["max"] for each in outcomes) / 1000
            p99 = median(each.latency_us["p99"] for each in outcomes) / 1000
            click.echo(f"  {name:10} rate {rate:.2f}, p99 {p99:.0f} ms, longest {waits:.0f} ms")


def runs_until(
    is_over: Callable[[], bool], run: Callable[..., load.Outcome]
) -> Iterator[load.Outcome]:
    """Reads and writes by turns."""
    while not is_over():
        yield run(command="GET")
        yield run(command="SET")


def grow(places: Sequence[str], slots: int) -> None:
    """Lets the last server be a primary of the cluster of the others, with so many slots."""
    redis_cli("add-node", places[-1], places[0])
    while not all(knows_all(place, len(places)) for place in places):
        time.sleep(0.1)
    with redis.Redis.from_url(f"redis://{places[-1]}") as client:
        identity = client.execute_command("CLUSTER MYID").decode()
    to = ["--cluster-to", identity, "--cluster-slots", str(slots)]
    redis_cli("reshard", places[-1], "--cluster-from", "all", *to, "--cluster-yes")


def knows_all(place: str, count: int) -> bool:
    """Whether a server knows of so many primaries, agrees with them on the slots, and serves."""
    with redis.Redis.from_url(f"redis://{place}") as client:
        serves = client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
    try:
        return serves and f" in {count} " in redis_cli("check", place)
    except click.ClickException:
        return False


def redis_cli(*words: str) -> str:
    """What redis-cli says that it has done with a cluster; raises `ClickException`."""
    command = ["redis-cli", "--cluster", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"redis-cli: {done.stdout[-1000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
