"""This checkout beside another commit, such as the one before, in one run.

The rule it keeps: one process serves both, in turns, under the same load, since where a process
happens to have its memory is worth more than most changes; each round has a new one. What is
printed are medians of the ratios of the rounds, never a figure of one run: of the rates, and of the
requests in a second of the server's own processor time, which other work disturbs less.

    python -m benchmarks.against HEAD~1
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks import load
from benchmarks.environment import interpreter, machine, processor_seconds, say
from benchmarks.servers import ANNOUNCED_ADDRESS, PROJECT

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
@click.option("--protocol", type=click.Choice(["json", "resp"]), default="json")
def main(revision: str, rounds: int, seconds: float, protocol: str) -> None:
    """Compare this checkout's server with that of the commit REVISION."""
    with tempfile.TemporaryDirectory() as folder:
        program = load.build(Path(folder))
        with _checkout(revision, Path(folder, "other")) as checkout:
            trees = PROJECT, checkout
            ratios = [
                _round(program, trees if number % 2 else trees[::-1], seconds, protocol)
                for number in range(rounds)
            ]
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


def _round(
    program: Path, trees: Sequence[Path], seconds: float, protocol: str
) -> dict[str, tuple[float, float]]:
    """Of each case the ratios of the rates, and of those by processor time, of this checkout over
    the other; the first of `trees` is started first."""
    with _serving(trees) as (pid, ports):
        for port in ports:
            load.run(program, "--load", port=port, keys=KEYS)
        at = trees.index(PROJECT)
        this, other = ports[at], ports[1 - at]
        given: dict[str, load.Flag] = {"seconds": seconds / TURNS, "protocol": protocol}
        return {
            name: _ratios(name, program, pid, (this, other), {**given, **flags})
            for name, flags in CASES.items()
        }


def _ratios(
    name: str, program: Path, pid: int, ports: tuple[int, int], flags: dict[str, load.Flag]
) -> tuple[float, float]:
    """Of the rates, and of the requests in a second of the server's processor time, of the first
    port over the second."""
    rates, costs = (dict.fromkeys(ports, 0.0) for _ in range(2))
    for turn in range(TURNS):
        for port in ports if turn % 2 else reversed(ports):
            before = processor_seconds(pid)
            outcome = load.run(program, port=port, **{"keys": KEYS, "warmup": 0.1, **flags})
            rates[port] += outcome.requests_per_second
            costs[port] += (processor_seconds(pid) - before) / outcome.requests
    one, other = ports
    say(f"{name}: {rates[one] / TURNS:,.0f} a second, {rates[other] / TURNS:,.0f} before")
    return rates[one] / rates[other], costs[other] / costs[one]


@contextmanager
def _checkout(revision: str, folder: Path) -> Iterator[Path]:
    git = ("git", "-C", str(PROJECT), "worktree")
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), revision], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextmanager
def _serving(trees: Sequence[Path]) -> Iterator[tuple[int, list[int]]]:
    """A process that serves checkouts: its number, and the port of each."""
    command = [sys.executable, str(Path(__file__).with_name("two_trees.py")), *map(str, trees)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=trees[0]) as process:
        assert process.stdout
        try:
            announced = [ANNOUNCED_ADDRESS.search(process.stdout.readline()) for _ in trees]
            ports = [int(found[2]) for found in announced if found]
            if len(ports) < len(trees):
                raise click.ClickException("a server did not start")
            yield process.pid, ports
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
