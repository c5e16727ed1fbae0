"""Measures how our server takes many keys, many connections and big values.

The rules it keeps: every figure stands beside its target, where it has one; what is compared takes
turns inside every round, and the medians over the rounds count. A missed target is shown and is no
failure; a measurement that could not be made is one.
"""

from __future__ import annotations

import argparse
import re
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import load, report, results
from benchmarks.environment import command_line, machine, say, start_servers, today, versions
from benchmarks.pinger import PING, waits_during
from benchmarks.resident import MIB, descriptors, resident_bytes, wait_for_descriptors
from benchmarks.results import OURS, RIVALS
from benchmarks.servers import BY_NAME, HOST, AbsentError, Running, started

NATIVE = RIVALS["native"]
VALUE_BYTES = 20
CONNECTIONS = 50
MEMORY_KEYS = 1_000_000
FEW_KEYS = 1_000
IDLE_CONNECTIONS = 5_000
FLUSH_LOOK_SECONDS = 3.0
"""Keys may be removed with rests in between, so that it takes long to see that it is over."""

SIZES = (1, 4, 7)
"""The sizes of the big values in MiB."""


@dataclass(frozen=True)
class Plan:
    """How much of everything there is."""

    many_keys: int
    rounds: int
    seconds: float
    warmup: float
    quiet_seconds: float


FULL = Plan(many_keys=5_000_000, rounds=9, seconds=1.0, warmup=0.2, quiet_seconds=15.0)
QUICK = Plan(many_keys=300_000, rounds=5, seconds=0.4, warmup=0.2, quiet_seconds=3.0)


@dataclass(frozen=True)
class Kind:
    """What a figure tells, and the most that it should be, or the least."""

    title: str
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def target(self) -> str:
        """The target in words."""
        bounds = {"<=": self.most, ">=": self.least}
        return " ".join(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)

    def met(self, value: float) -> bool | None:
        """Whether the target is met, where there is one."""
        if not self.target:
            return None
        most = value if self.most is None else self.most
        least = value if self.least is None else self.least
        return least <= value <= most


KINDS = {
    "wait.quiet": Kind("longest wait of a ping, without other load (the machine's noise)", "ms"),
    "wait.load": Kind("longest wait of a ping while {keys:,} keys are loaded", "ms", most=50),
    "wait.load.p99": Kind("  all but one in a hundred of them", "ms"),
    "wait.flush": Kind("longest wait of a ping while FLUSH drops them", "ms", most=50),
    "wait.flush.p99": Kind("  all but one in a hundred of them", "ms"),
    "flush.left": Kind("  of the memory that the keys took, still held then", "%"),
    "memory.ours": Kind("memory of 1,000,000 keys, ours", "MiB"),
    "memory.redis": Kind("memory of 1,000,000 keys, redis", "MiB"),
    "memory.valkey": Kind("memory of 1,000,000 keys, valkey", "MiB"),
    "memory/redis": Kind("memory of 1,000,000 keys, ours / redis", "x", most=2),
    "memory/valkey": Kind("memory of 1,000,000 keys, ours / valkey", "x", most=2),
    "idle.memory": Kind("memory of an idle connection", "KiB", most=8),
    "idle.rate": Kind("GET rate beside 5,000 idle connections / without", "x", least=0.9),
    "keys.rate": Kind("GET rate at {keys:,} keys / at 1,000", "x", least=0.8),
    "text.1": Kind("SET of a string of 1 MiB, per MiB", "ms"),
    "text.4": Kind("SET of a string of 4 MiB, per MiB", "ms"),
    "text.7": Kind("SET of a string of 7 MiB, per MiB", "ms"),
    "text.ratio": Kind("  the last / the first", "x", most=2),
    "text.wait": Kind("  longest wait of a ping during that of 7 MiB", "ms"),
    "records.1": Kind("SET of records of 1 MiB, per MiB", "ms"),
    "records.4": Kind("SET of records of 4 MiB, per MiB", "ms"),
    "records.7": Kind("SET of records of 7 MiB, per MiB", "ms"),
    "records.ratio": Kind("  the last / the first", "x", most=2),
    "records.wait": Kind("  longest wait of a ping during that of 7 MiB", "ms"),
}

Found = dict[str, float]
"""ServerStats by the names of their kinds."""


class Figure(msgspec.Struct, frozen=True):
    """A figure as it stands in the table."""

    name: str
    title: str
    value: float
    unit: str
    target: str
    met: bool | None


class Scale(msgspec.Struct, frozen=True):
    """What one run found."""

    command: str
    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    keys: int
    rounds: int
    seconds: float
    figures: list[Figure]
    failed: dict[str, str]


class Bench:
    """The load generator, the plan to use it by and what could not be measured, with the reason."""

    def __init__(self, program: Path, plan: Plan) -> None:
        self.plan = plan
        self.failed: dict[str, str] = {}
        self._program = program

    def fill(self, server: Running, keys: int) -> None:
        """Set every key once."""
        self._load(server, "--load", keys=keys)

    def rate(self, server: Running, keys: int, idle: int = 0) -> float:
        """GETs of random keys per second, beside so many idle connections."""
        found = self._load(
            server, keys=keys, idle=idle, seconds=self.plan.seconds, warmup=self.plan.warmup
        )
        return found.requests_per_second

    def ratio(self, rate: Callable[[], float], base: Callable[[], float]) -> float:
        """How many times `base` the rate is; they take turns at being first."""
        found: dict[Callable[[], float], list[float]] = {rate: [], base: []}
        for number in range(self.plan.rounds):
            for measured in (rate, base) if number % 2 else (base, rate):
                found[measured].append(measured())
        return median(found[rate]) / median(found[base])

    def _load(self, server: Running, *switches: str, **flags: load.Flag) -> load.Outcome:
        flags |= {"port": server.port, "protocol": server.protocol}
        flags |= {"connections": CONNECTIONS, "value_bytes": VALUE_BYTES}
        return load.run(self._program, *switches, **flags)


def waits(bench: Bench) -> Found:
    """How long a pinging client waits while others load the server, and empty it."""
    keys = bench.plan.many_keys
    with started(BY_NAME[OURS]) as server:
        empty = resident_bytes(server.pid)
        quiet = waits_during(server.port, lambda: time.sleep(bench.plan.quiet_seconds))
        loading = waits_during(server.port, lambda: bench.fill(server, keys))
        full = resident_bytes(server.pid)
        flushing = waits_during(server.port, lambda: flush(server))
        left = resident_bytes(server.pid)
    return {
        "wait.quiet": quiet.longest,
        "wait.load": loading.longest,
        "wait.load.p99": loading.p99,
        "wait.flush": flushing.longest,
        "wait.flush.p99": flushing.p99,
        "flush.left": 100 * (left - empty) / (full - empty),
    }


def flush(server: Running) -> None:
    """Remove every key, and wait until the server has given the memory back."""
    ask(server, b'{"type":"FLUSH"}\n')
    resident_bytes(server.pid, FLUSH_LOOK_SECONDS)


def ask(server: Running, request: bytes) -> None:
    """Send a request on a connection of its own and take the reply, a good one."""
    with socket.create_connection((HOST, server.port)) as sock:
        sock.sendall(request)
        take_reply(sock)


def take_reply(sock: socket.socket) -> None:
    """Wait for a reply and make sure that it is a good one."""
    reply = b""
    while not reply.endswith(b"\n"):
        data = sock.recv(64 * 1024)
        if not data:
            raise OSError("the server hung up")
        reply += data
    if not reply.startswith(b'{"ok":true'):
        raise OSError(f"a request was refused: {reply[:200]!r}")


def memory(bench: Bench) -> Found:
    """What a million keys take in each server."""
    with ExitStack() as stack:
        ours = stack.enter_context(started(BY_NAME[OURS]))
        natives, absent = start_servers(stack, [BY_NAME[name] for name in NATIVE])
        taken = {server.name: taken_by_keys(bench, server) for server in (ours, *natives)}
    bench.failed |= absent
    return {
        **{f"memory.{name}": size / MIB for name, size in taken.items()},
        **{f"memory/{name}": taken[OURS] / size for name, size in taken.items() if name != OURS},
    }


def taken_by_keys(bench: Bench, server: Running) -> int:
    """The bytes by which a server grows when it is filled."""
    empty = resident_bytes(server.pid)
    bench.fill(server, MEMORY_KEYS)
    return resident_bytes(server.pid) - empty


def idle_connections(bench: Bench) -> Found:
    """What connections cost that have nothing to say."""
    with started(BY_NAME[OURS]) as server:
        alone = descriptors(server.pid)
        size = taken_by_connection(server)

        def rate(idle: int) -> float:
            wait_for_descriptors(server.pid, alone)
            return bench.rate(server, MEMORY_KEYS // 10, idle)

        bench.fill(server, MEMORY_KEYS // 10)
        ratio = bench.ratio(lambda: rate(IDLE_CONNECTIONS), lambda: rate(0))
    return {"idle.memory": size / 1024, "idle.rate": ratio}


def taken_by_connection(server: Running) -> float:
    """The bytes that a connection takes which has asked once and is silent since."""
    before = resident_bytes(server.pid)
    with ExitStack() as stack:
        for _ in range(IDLE_CONNECTIONS):
            sock = stack.enter_context(socket.create_connection((HOST, server.port)))
            sock.sendall(PING)
            take_reply(sock)
        return (resident_bytes(server.pid) - before) / IDLE_CONNECTIONS


def many_keys(bench: Bench) -> Found:
    """Whether a server of many keys is as fast as one of few."""
    many = bench.plan.many_keys
    with started(BY_NAME[OURS]) as full, started(BY_NAME[OURS]) as small:
        bench.fill(full, many)
        bench.fill(small, FEW_KEYS)
        return {
            "keys.rate": bench.ratio(
                lambda: bench.rate(full, many), lambda: bench.rate(small, FEW_KEYS)
            )
        }


RECORD = b'{"id":1234567,"name":"Ada Lovelace","langs":["en","fr"],"score":0.75}'


def text(size: int) -> bytes:
    """A string that takes so many bytes."""
    return b'"%b"' % (b"a" * (size - 2))


def records(size: int) -> bytes:
    """An array of objects that takes almost so many bytes."""
    return b"[%b]" % b",".join([RECORD] * ((size - 1) // (len(RECORD) + 1)))


def big_values(bench: Bench) -> Found:
    """Whether the time of a SET grows with the size of its value and no faster."""
    found: Found = {}
    with started(BY_NAME[OURS]) as server, socket.create_connection((HOST, server.port)) as sock:
        for name, value in {"text": text, "records": records}.items():
            lines = {size: set_line(name, size, value(size * MIB)) for size in SIZES}
            times = ms_per_mib(sock, lines, bench.plan.rounds)
            found |= {f"{name}.{size}": ms for size, ms in times.items()}
            found[f"{name}.ratio"] = times[SIZES[-1]] / times[SIZES[0]]
            during = waits_during(server.port, partial(ms_to_answer, sock, lines[SIZES[-1]]))
            found[f"{name}.wait"] = during.longest
    return found


def set_line(name: str, size: int, value: bytes) -> bytes:
    """A SET; every size has a key of its own, so that none has to remove another's value."""
    return b'{"type":"SET","key":"%b%d","value":%b}\n' % (name.encode(), size, value)


def ms_per_mib(sock: socket.socket, lines: Mapping[int, bytes], rounds: int) -> dict[int, float]:
    """The time until the answer by the size of the value, divided by that."""
    found: dict[int, list[float]] = {size: [] for size in lines}
    for _ in range(rounds):
        for size, line in lines.items():
            found[size].append(ms_to_answer(sock, line) / size)
    return {size: median(times) for size, times in found.items()}


def ms_to_answer(sock: socket.socket, line: bytes) -> float:
    """The time from sending a request to its reply."""
    began = time.perf_counter()
    sock.sendall(line)
    take_reply(sock)
    return (time.perf_counter() - began) * 1000


MEASUREMENTS: Mapping[str, Callable[[Bench], Found]] = {
    "waits": waits,
    "memory": memory,
    "idle connections": idle_connections,
    "many keys": many_keys,
    "big values": big_values,
}


def figure(name: str, value: float, plan: Plan) -> Figure:
    """A figure with all that the table says of it."""
    kind = KINDS[name]
    title = kind.title.format(keys=plan.many_keys)
    return Figure(name, title, value, kind.unit, kind.target, kind.met(value))


def measure(plan: Plan, names: Sequence[str]) -> Scale:
    """All the measurements of these names, one after another."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(load.build(Path(directory)), plan)
        for name in names:
            say(name)
            try:
                found |= MEASUREMENTS[name](bench)
            except (load.LoadError, AbsentError, OSError) as failure:
                bench.failed[name] = str(failure)
    return Scale(
        command_line("benchmarks.scale"),
        today(),
        machine(),
        versions(NATIVE),
        plan.many_keys,
        plan.rounds,
        plan.seconds,
        [figure(name, value, plan) for name, value in found.items()],
        bench.failed,
    )


def table(scale: Scale) -> str:
    """Every figure beside its target."""
    rows = [row(figure) for figure in scale.figures]
    return report.aligned([["measured", "figure", "unit", "target", "met"], *rows])


def row(figure: Figure) -> list[str]:
    """The cells of a figure."""
    met = {None: "", True: "yes", False: "NO"}[figure.met]
    return [figure.title, f"{figure.value:,.2f}", figure.unit, figure.target, met]


def main() -> None:
    """Measure, print the table, and fail when something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer keys and shorter rounds")
    parser.add_argument("--only", default="", metavar="REGEX", help=f"of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped before the end"))
    _, most_descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_descriptors, most_descriptors))
    names = [name for name in MEASUREMENTS if re.search(options.only, name)]
    scale = measure(QUICK if options.quick else FULL, names)
    print(table(scale))
    for name, reason in scale.failed.items():
        print(f"{name} failed: {reason}.")
    if options.json:
        results.save(scale, options.json)
    sys.exit(bool(scale.failed))


if __name__ == "__main__":
    main()
