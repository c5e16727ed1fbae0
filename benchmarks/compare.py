"""Compares our server with redis, valkey and two servers in Python, in one run.

The rules it keeps: every round has servers of its own, since what one start of a server does is
not what the next one does; they take turns inside it, so that a slow minute of the machine hits
them all; a number is the median over the rounds; a server that is absent or fails is shown as such.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import load, report, results
from benchmarks.environment import command_line, machine, say, start_servers, today, versions
from benchmarks.results import Case, CaseResult, Comparison
from benchmarks.servers import SERVERS, Running, Server

KEYS_BY_VALUE_BYTES = {20: 100_000, 1024: 100_000, 65536: 4_000}

CASES = (
    Case("GET", 20, connections=1, pipeline=1),
    Case("GET", 20, connections=50, pipeline=1, quick=True),
    Case("GET", 20, connections=500, pipeline=1),
    Case("GET", 20, connections=50, pipeline=16, quick=True),
    Case("GET", 20, connections=50, pipeline=100),
    Case("SET", 20, connections=50, pipeline=1, quick=True),
    Case("SET", 20, connections=50, pipeline=16, quick=True),
    Case("SET", 20, connections=50, pipeline=100),
    Case("MGET", 20, connections=20, pipeline=1, quick=True),
    Case("MGET", 20, connections=50, pipeline=16),
    Case("MSET", 20, connections=20, pipeline=1, quick=True),
    Case("MSET", 20, connections=50, pipeline=16),
    Case("GET", 1024, connections=50, pipeline=1),
    Case("GET", 1024, connections=50, pipeline=16),
    Case("SET", 1024, connections=50, pipeline=1),
    Case("MGET", 1024, connections=50, pipeline=1),
    Case("MSET", 1024, connections=50, pipeline=1),
    Case("GET", 65536, connections=50, pipeline=1, quick=True),
    Case("SET", 65536, connections=50, pipeline=1),
    Case("MGET", 65536, connections=1, pipeline=1),
)


@dataclass(frozen=True)
class Plan:
    """Which cases are run, how many times and how long each time."""

    cases: Sequence[Case]
    rounds: int
    seconds: float
    warmup: float


FULL = Plan(CASES, rounds=5, seconds=1.0, warmup=0.2)
QUICK = Plan([case for case in CASES if case.quick], rounds=3, seconds=0.4, warmup=0.1)


class Bench:
    """The generator that loads the servers under test, and what has been found so far."""

    def __init__(self, program: Path, plan: Plan) -> None:
        self.absent: dict[str, str] = {}
        self._program = program
        self._plan = plan
        self._outcomes: dict[tuple[Case, str], list[load.Outcome]] = {}
        self._failed: dict[tuple[Case, str], str] = {}

    def measure(self) -> list[CaseResult]:
        for number in range(self._plan.rounds):
            first = number % len(SERVERS)
            for value_bytes in KEYS_BY_VALUE_BYTES:
                cases = [case for case in self._plan.cases if case.value_bytes == value_bytes]
                if cases:
                    size = results.SIZE_NAMES[value_bytes]
                    say(f"round {number + 1} of {self._plan.rounds}: {size}")
                    self._run_cases(cases, (*SERVERS[first:], *SERVERS[:first]))
        return [self._result(case) for case in self._plan.cases]

    def _run_cases(self, cases: Sequence[Case], servers: Sequence[Server]) -> None:
        with ExitStack() as stack:
            present = [server for server in servers if server.name not in self.absent]
            running, absent = start_servers(stack, present)
            self.absent |= absent
            for server in running:
                self._fill(server, cases)
            for case in cases:
                for server in running:
                    self._run(case, server)

    def _fill(self, server: Running, cases: Sequence[Case]) -> None:
        value_bytes = cases[0].value_bytes
        keys = KEYS_BY_VALUE_BYTES[value_bytes]
        try:
            self._load(server, "--load", keys=keys, value_bytes=value_bytes)
        except load.LoadError as failure:
            self._failed.update({(case, server.name): str(failure) for case in cases})

    def _run(self, case: Case, server: Running) -> None:
        place = (case, server.name)
        if place in self._failed:
            return
        try:
            outcome = self._load(server, **self._flags(case))
        except load.LoadError as failure:
            self._failed[place] = str(failure)
            say(f"{server.name} failed: {failure}")
        else:
            self._outcomes.setdefault(place, []).append(outcome)

    def _flags(self, case: Case) -> dict[str, load.Flag]:
        return {
            "command": case.command,
            "value_bytes": case.value_bytes,
            "connections": case.connections,
            "pipeline": case.pipeline,
            "batch": results.BATCH,
            "keys": KEYS_BY_VALUE_BYTES[case.value_bytes],
            "seconds": self._plan.seconds,
            "warmup": self._plan.warmup,
        }

    def _load(self, server: Running, *switches: str, **flags: load.Flag) -> load.Outcome:
        flags |= {"port": server.port, "protocol": server.protocol}
        return load.run(self._program, *switches, **flags)

    def _result(self, case: Case) -> CaseResult:
        names = [server.name for server in SERVERS if server.name not in self.absent]
        failed = {name: self._failed[case, name] for name in names if (case, name) in self._failed}
        summaries = {
            name: results.summarise(self._outcomes[case, name])
            for name in names
            if name not in failed
        }
        return CaseResult(case.name, case, summaries, failed, results.ratios(summaries))


def compare(plan: Plan, command: str) -> Comparison:
    """Everything that the plan asks for; `command` is what it was asked with."""
    with ExitStack() as stack:
        program = load.build(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        bench = Bench(program, plan)
        cases = bench.measure()
    used = versions(report.NAMES)
    about = command, today(), machine(), used, plan.rounds, plan.seconds
    return Comparison(*about, bench.absent, cases)


def read_plan(options: argparse.Namespace) -> Plan:
    """The plan, as changed by the command line."""
    plan = QUICK if options.quick else FULL
    pool = CASES if options.only else plan.cases
    wanted = re.compile(options.only)
    return replace(
        plan,
        cases=[case for case in pool if wanted.search(case.name)],
        rounds=options.rounds or plan.rounds,
        seconds=options.seconds or plan.seconds,
    )


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cases and shorter rounds")
    parser.add_argument("--only", default="", metavar="REGEX", help="cases whose name it matches")
    parser.add_argument("--rounds", type=int, help="rounds, in place of the plan's")
    parser.add_argument("--seconds", type=float, help="seconds of a run, in place of the plan's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results go")
    return parser.parse_args()


def main() -> None:
    """Compare, print the table, and fail when our server did not get through."""
    options = read_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped before the end"))
    plan = read_plan(options)
    if not plan.cases:
        sys.exit("no case has such a name")
    comparison = compare(plan, command_line("benchmarks.compare"))
    print(report.plain_table(comparison))
    print(*report.remarks(comparison), sep="\n")
    if options.json:
        results.save(comparison, options.json)
    sys.exit(not all(results.OURS in result.servers for result in comparison.cases))


if __name__ == "__main__":
    main()
