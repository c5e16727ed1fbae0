"""This checkout beside another commit, such as the one before, in one run.

The rule it keeps: both run in turns, on the same interpreter, under the same load; what is printed
are medians of the ratios of the rounds, never a figure of one run: of the rates, and of the
requests in a second of the server's own processor time, which other work disturbs less. Each round
has processes of its own, since where one happens to have its memory is worth some percent.

    python -m benchmarks.against HEAD~1
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from benchmarks import load
from benchmarks.environment import interpreter, machine, say
from benchmarks.servers import PROJECT, Running, Server, started

KEYS = 100_000
TURNS = 4
"""How often both sides take turns in a round: other work on the machine comes and goes."""

CASES: dict[str, dict[str, load.Flag]] = {
    "GET, one at a time": {"command": "GET", "connections": 50},
    "SET, one at a time": {"command": "SET", "connections": 50},
    "GET, 16 pipelined": {"command": "GET", "connections": 50, "pipeline": 16},
    "SET, 16 pipelined": {"command": "SET", "connections": 50, "pipeline": 16},
    "MGET of 100": {"command": "MGET", "connections": 20, "batch": 100},
    "MSET of 100": {"command": "MSET", "connections": 20, "batch": 100},
    "SET of 64 KiB": {"command": "SET", "connections": 50, "value_bytes": 64 * 1024, "keys": 1000},
}


@click.command()
@click.argument("revision")
@click.option("--rounds", default=7, help="Of each case, both sides in turns.")
@click.option("--seconds", default=2.0, help="Of each run.")
def main(revision: str, rounds: int, seconds: float) -> None:
    """Compare this checkout's server with that of the commit REVISION."""
    with tempfile.TemporaryDirectory() as folder:
        program = load.build(Path(folder))
        with _checkout(revision, Path(folder, "other")) as checkout:
            ratios = [_round(program, checkout, seconds) for _ in range(rounds)]
    click.echo(f"{machine()['cpu']}, {machine()['cores']} cores, {interpreter()}")
    click.echo(f"rates, as ratios to those of {revision}:\n")
    click.echo(f"{'':20} rate   (from, to)     by processor time")
    for name in CASES:
        rates, efficiencies = zip(*(each[name] for each in ratios))
        spread = f"({min(rates):.2f} to {max(rates):.2f})"
        click.echo(
            f"{name:20} {statistics.median(rates):.2f}   {spread}"
            f"   {statistics.median(efficiencies):.2f}"
        )


def _round(program: Path, checkout: Path, seconds: float) -> dict[str, tuple[float, float]]:
    """Of each case the ratios of the rates, and of those by processor time."""
    with ExitStack() as stack:
        this = stack.enter_context(_serving("this", PROJECT))
        other = stack.enter_context(_serving("other", checkout))
        for server in (this, other):
            load.run(program, "--load", port=server.port, keys=KEYS)
        return {name: _ratios(program, this, other, seconds, CASES[name]) for name in CASES}


def _ratios(
    program: Path, this: Running, other: Running, seconds: float, flags: dict[str, load.Flag]
) -> tuple[float, float]:
    """Of the rates, and of the requests in a second of the server's processor time."""
    done = {this.name: [0.0, 0.0], other.name: [0.0, 0.0]}
    flags = {"keys": KEYS, "seconds": seconds / TURNS, **flags}
    for server in (this, other) * TURNS:
        before = _processor_seconds(server.pid)
        outcome = load.run(program, port=server.port, **flags)
        done[server.name][0] += outcome.requests_per_second
        done[server.name][1] += _processor_seconds(server.pid) - before
    (ours, our_time), (theirs, their_time) = done[this.name], done[other.name]
    say(f"{this.name}: {ours / TURNS:,.0f} a second, {other.name}: {theirs / TURNS:,.0f}")
    return ours / theirs, ours / theirs * their_time / our_time


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _checkout(revision: str, folder: Path) -> Iterator[Path]:
    git = ("git", "-C", str(PROJECT), "worktree")
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextmanager
def _serving(name: str, folder: Path) -> Iterator[Running]:
    command = [sys.executable, "-m", "entrypoints.server", "--port", "0", "--log-level", "error"]
    server = Server(
        name, "json", lambda: "", lambda _: command, directory=folder, announces_address=True
    )
    with started(server) as running:
        yield running


if __name__ == "__main__":
    main()
