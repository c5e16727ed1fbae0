"""This checkout beside another commit, such as the one before, in one run.

The rule it keeps: both run in turns, on the same interpreter, under the same load; what is printed
are medians of the ratios of the rounds, never a figure of one run: of the rates, and of the
requests in a second of the server's own processor time, which other work disturbs less.

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
CASES: dict[str, dict[str, load.Flag]] = {
    "GET, one at a time": {"command": "GET", "connections": 50},
    "SET, one at a time": {"command": "SET", "connections": 50},
    "GET, 16 pipelined": {"command": "GET", "connections": 50, "pipeline": 16},
    "SET, 16 pipelined": {"command": "SET", "connections": 50, "pipeline": 16},
    "MGET of 100": {"command": "MGET", "connections": 20, "batch": 100},
    "MSET of 100": {"command": "MSET", "connections": 20, "batch": 100},
}


@click.command()
@click.argument("revision")
@click.option("--rounds", default=7, help="Of each case, both sides in turns.")
@click.option("--seconds", default=2.0, help="Of each run.")
def main(revision: str, rounds: int, seconds: float) -> None:
    """Compare this checkout's server with that of the commit REVISION."""
    with tempfile.TemporaryDirectory() as folder:
        program = load.build(Path(folder))
        with _checkout(revision, Path(folder, "other")) as checkout, ExitStack() as stack:
            this = stack.enter_context(_serving("this", PROJECT))
            other = stack.enter_context(_serving("other", checkout))
            for server in (this, other):
                load.run(program, "--load", port=server.port, keys=KEYS)
            click.echo(f"{machine()['cpu']}, {machine()['cores']} cores, {interpreter()}")
            click.echo(f"rates, as ratios to those of {revision}:\n")
            click.echo(f"{'':20} rate   (from, to)     by processor time")
            for name, flags in CASES.items():
                rounds_of_both = [
                    (_rates(program, this, seconds, flags), _rates(program, other, seconds, flags))
                    for _ in range(rounds)
                ]
                rates, efficiencies = (
                    [ours[figure] / theirs[figure] for ours, theirs in rounds_of_both]
                    for figure in (0, 1)
                )
                spread = f"({min(rates):.2f} to {max(rates):.2f})"
                click.echo(
                    f"{name:20} {statistics.median(rates):.2f}   {spread}"
                    f"   {statistics.median(efficiencies):.2f}"
                )


def _rates(
    program: Path, server: Running, seconds: float, flags: dict[str, load.Flag]
) -> tuple[float, float]:
    """Requests in a second, and in a second of the server's processor time."""
    before = _processor_seconds(server.pid)
    outcome = load.run(program, port=server.port, keys=KEYS, seconds=seconds, **flags)
    used = _processor_seconds(server.pid) - before
    rate = outcome.requests_per_second
    say(f"{server.name}: {rate:,.0f} a second")
    return rate, rate * seconds / used


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
