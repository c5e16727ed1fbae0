"""What durability costs, beside Redis with its append-only file.

The rules it keeps: the servers take turns inside every round, under the same load, and the median
over the rounds counts; every server has a new directory among the system's temporary files. What a
figure needs that users cannot set, such as a slow disk, is set in the server's process before it
starts.

    python -m benchmarks.durable rates | start | rewrite | reader
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import click
import msgspec

from benchmarks import load, results
from benchmarks.environment import (
    command_line,
    machine,
    processor_seconds,
    start_servers,
    today,
    versions,
)
from benchmarks.pinger import waits_during
from benchmarks.resident import MIB
from benchmarks.results import Durability, DurableCase
from benchmarks.servers import BY_NAME, HOST, PROJECT, Running, Server, started

KEYS = 100_000
CASES: dict[str, dict[str, load.Flag]] = {
    "1 connection": {"connections": 1},
    "50 connections": {"connections": 50},
    "500 connections": {"connections": 500},
    "50 connections, 16 pipelined": {"connections": 50, "pipeline": 16},
}
RATIOS = (
    ("always", "redis always"),
    ("everysec", "memory"),
    ("everysec", "redis everysec"),
    ("no", "memory"),
)
"""What is compared."""

RUN = "from entrypoints.server.__main__ import main; main()"
SLOW_SYNC = f"""
import time
from adapters.storage.journal import disk
sync = disk._sync_data
disk._THROUGH = 0  # so that all syncs are of one kind
disk._sync_data = lambda descriptor: (time.sleep({{seconds}}), sync(descriptor))
{RUN}
"""
ONE_REWRITE = f"""
from adapters.storage.journal.upkeep import Upkeep
Upkeep.is_due = lambda self: self._rewritten is None
{RUN}
"""

READY_POLL_SECONDS = 0.01


def ours(*arguments: str, program: str = RUN) -> Server:
    """Our server with settings of its own."""
    command = [sys.executable, "-c", program, "--port", "0", *arguments]
    return Server("ours", "json", lambda: "", lambda port: command, PROJECT, True)


def redis(fsync: str, directory: str) -> Server:
    """Redis with its append-only file."""
    base = BY_NAME["redis"]
    settings = ["--appendonly", "yes", "--appendfsync", fsync, "--dir", directory]
    command = base.command
    return Server("redis", "resp", base.version, lambda port: [*command(port), *settings])


def ask(server: Running, line: bytes) -> object:
    """The result of one request, asked for until the server has loaded its data."""
    with socket.create_connection((HOST, server.port)) as sock, sock.makefile("rb") as lines:
        while True:
            sock.sendall(line + b"\n")
            reply = msgspec.json.decode(lines.readline())
            if reply["ok"]:
                return reply["result"]
            time.sleep(READY_POLL_SECONDS)


def filled(program: Path, directory: str, keys: int) -> None:
    """Has a server leave so many keys in a directory."""
    with started(ours("--data-dir", directory, "--fsync", "no")) as server:
        load.run(program, "--load", port=server.port, keys=keys)


@click.group(help=__doc__)
@click.pass_context
def main(context: click.Context) -> None:
    """Build the load generator, and have a directory, for one of the measurements."""
    folder = context.with_resource(tempfile.TemporaryDirectory())
    context.obj = load.build(Path(folder)), folder
    click.echo(f"{machine()['cpu']}, {machine()['cores']} cores")


@main.command()
@click.option("--rounds", default=7, help="Of each case, each with new servers.")
@click.option("--seconds", default=1.0, help="Of each run.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Where the results go.")
@click.pass_obj
def rates(given: tuple[Path, str], rounds: int, seconds: float, file: Path | None) -> None:
    """SETs a second: on the disk before the reply, once a second, and in memory alone."""
    program, folder = given
    absent: dict[str, str] = {}
    runs: dict[str, list[dict[str, Run]]] = {case: [] for case in CASES}
    for number in range(rounds):
        servers = _settings(Path(folder, str(number)))
        with ExitStack() as stack:
            running, absent = start_servers(stack, servers)
            first = number % len(running)
            turns = running[first:] + running[:first]
            for case, flags in CASES.items():
                done = {each.name: _run(program, each, seconds, flags) for each in turns}
                runs[case].append({each.name: done[each.name] for each in running})
    found = [_summary(case, each) for case, each in runs.items()]
    for summary in found:
        _tell(summary)
    if file:
        about = command_line("benchmarks.durable"), today(), machine(), versions(["redis"])
        results.save(Durability(*about, rounds, seconds, absent, found), file)


def _settings(folder: Path) -> list[Server]:
    """The servers that are compared, each with a directory of its own."""
    journals = [
        replace(ours("--data-dir", f"{folder}/{fsync}", "--fsync", fsync), name=fsync)
        for fsync in ("always", "everysec", "no")
    ]
    rivals = []
    for fsync in ("always", "everysec"):
        path = folder / f"redis-{fsync}"
        path.mkdir(parents=True)
        rivals.append(replace(redis(fsync, str(path)), name=f"redis {fsync}"))
    return [replace(ours(), name="memory"), *journals, *rivals]


@dataclass(frozen=True)
class Run:
    """SETs a second, and microseconds of processor time that the server takes for each."""

    rate: float
    cost: float


def _run(program: Path, server: Running, seconds: float, flags: dict[str, load.Flag]) -> Run:
    before = processor_seconds(server.pid)
    given: dict[str, load.Flag] = {"port": server.port, "protocol": server.protocol, **flags}
    outcome = load.run(program, command="SET", keys=KEYS, seconds=seconds, warmup=0, **given)
    spent = processor_seconds(server.pid) - before
    return Run(outcome.requests_per_second, spent / outcome.requests * 1e6)


def _summary(case: str, rounds: list[dict[str, Run]]) -> DurableCase:
    names = list(rounds[0])
    ratios = {
        f"{one} / {other}": median(each[one].rate / each[other].rate for each in rounds)
        for one, other in RATIOS
        if one in names and other in names
    }
    return DurableCase(
        case,
        {name: median(each[name].rate for each in rounds) for name in names},
        {name: median(each[name].cost for each in rounds) for name in names},
        ratios,
    )


def _tell(case: DurableCase) -> None:
    click.echo(f"\n{case.name}")
    for name, rate in case.rates.items():
        cost = case.costs[name]
        click.echo(f"  {name:15} {rate:10,.0f} SETs/s  {cost:6.2f} us of a processor each")
    for name, ratio in case.ratios.items():
        click.echo(f"  {name}: {ratio:.2f}")


@main.command()
@click.option("--keys", default=1_000_000)
@click.pass_obj
def start(given: tuple[Path, str], keys: int) -> None:
    """From the start of a process to its first answer, by what is in the directory."""
    program, folder = given
    where = f"{folder}/start"
    filled(program, where, keys)
    for what, code in (("a journal", ONE_REWRITE), ("a snapshot", RUN)):
        began = time.perf_counter()
        with started(ours("--data-dir", where, program=code)) as server:
            count = ask(server, b'{"type":"COUNT"}')
            took = time.perf_counter() - began
            used = processor_seconds(server.pid)
            click.echo(f"{count:,} keys from {what}: {took:.2f} s, {used:.2f} s of a processor")
            _wait_for_rewrite(server, code)


def _wait_for_rewrite(server: Running, code: str) -> None:
    while code == ONE_REWRITE and _journal(server)["since_rewrite"] is None:
        time.sleep(READY_POLL_SECONDS)


def _journal(server: Running) -> dict[str, object]:
    return ask(server, b'{"type":"INFO"}')["journal"]  # type: ignore[index,no-any-return]


@main.command()
@click.option("--keys", default=5_000_000)
@click.pass_obj
def rewrite(given: tuple[Path, str], keys: int) -> None:
    """What a rewrite costs the others: the longest wait, and memory."""
    program, folder = given
    where = f"{folder}/rewrite"
    filled(program, where, keys)
    with started(ours("--data-dir", where, program=ONE_REWRITE)) as server:
        ask(server, b'{"type":"COUNT"}')
        resident: list[int] = []

        def watch() -> None:
            while _journal(server)["since_rewrite"] is None:
                info: dict[str, dict[str, int]] = ask(server, b'{"type":"INFO"}')  # type: ignore[assignment]
                resident.append(info["server"]["resident_memory"])

        waits = waits_during(server.port, watch)
        grown = (max(resident) - resident[0]) / MIB
        click.echo(f"{keys:,} keys, {_journal(server)['snapshot']:,} bytes")
        click.echo(f"longest wait of a ping: {waits.longest:.1f} ms (at most 10)")
        click.echo(f"memory grew by {grown:.0f} MiB (at most 64)")


@main.command()
@click.option("--seconds", default=0.05, help="That each sync takes.")
@click.option("--reads", default=1000)
@click.pass_obj
def reader(given: tuple[Path, str], seconds: float, reads: int) -> None:
    """A reader of other keys, while 50 writers wait for a slow disk."""
    program, folder = given
    slow = SLOW_SYNC.format(seconds=seconds)
    with started(ours("--data-dir", f"{folder}/reader", program=slow)) as server:
        ask(server, b'{"type":"SET","key":"other","value":1}')
        flags = ["--port", str(server.port), "--protocol", "json", "--command", "SET"]
        writers = subprocess.Popen(
            [str(program), *flags, "--connections", "50", "--seconds", "3600"],
            stdout=subprocess.DEVNULL,
        )
        try:
            waits = sorted(_reads(server.port, reads))
        finally:
            writers.kill()
            writers.wait()
    click.echo(f"p50 {median(waits):.2f} ms, longest {waits[-1]:.1f} ms (p50 at most 1)")


def _reads(port: int, count: int) -> Sequence[float]:
    waits = []
    with socket.create_connection((HOST, port)) as sock, sock.makefile("rb") as lines:
        for _ in range(count):
            began = time.perf_counter()
            sock.sendall(b'{"type":"GET","key":"other"}\n')
            lines.readline()
            waits.append((time.perf_counter() - began) * 1e3)
    return waits


if __name__ == "__main__":
    main()
