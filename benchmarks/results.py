"""What a comparison found, as it stands in its JSON file and is read again by the reports.

The rule it keeps: a ratio is the median rate of our server over that of the other; of the two
native servers, the faster one counts.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TypeVar

import msgspec

from benchmarks.load import Outcome

R = TypeVar("R", bound="Run")

BATCH = 100
SIZE_NAMES = {20: "20 B", 1024: "1 KiB", 65536: "64 KiB"}
OURS = "ours"
RIVALS: dict[str, tuple[str, ...]] = {
    "native": ("redis", "valkey"),
    "greendb": ("greendb",),
    "fakeredis": ("fakeredis",),
    "resp": ("ours-resp",),
}


class Case(msgspec.Struct, frozen=True):
    """One kind of load; `quick` ones are in the quick plan too."""

    command: str
    value_bytes: int
    connections: int
    pipeline: int
    quick: bool = False

    @property
    def name(self) -> str:
        keys = f"x{BATCH}" if self.command.startswith("M") else ""
        size = SIZE_NAMES[self.value_bytes]
        return f"{self.command}{keys} {size} c{self.connections} p{self.pipeline}"


class Summary(msgspec.Struct, frozen=True):
    """The medians over the rounds; the latency is that of a whole pipeline."""

    requests_per_second: float
    p50_us: float
    p99_us: float
    generator_cpu: float
    rounds: list[float]


class CaseResult(msgspec.Struct, frozen=True):
    """What every server did under one case, or why it did not."""

    name: str
    case: Case
    servers: dict[str, Summary]
    failed: dict[str, str]
    ratios: dict[str, float]


class Run(msgspec.Struct, frozen=True):
    """What was run, when and where; why the servers that are `absent` are."""

    command: str
    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    seconds: float
    absent: dict[str, str]


class Comparison(Run, frozen=True):
    """One whole run."""

    cases: list[CaseResult]


class DurableCase(msgspec.Struct, frozen=True):
    """Medians over the rounds, of servers by their settings: SETs a second, microseconds of the
    server's processor time for each, and ratios of rates."""

    name: str
    rates: dict[str, float]
    costs: dict[str, float]
    ratios: dict[str, float]


class Durability(Run, frozen=True):
    """One whole run of what durability costs."""

    cases: list[DurableCase]


def summarise(outcomes: list[Outcome]) -> Summary:
    """The medians of the rounds."""
    rates = [outcome.requests_per_second for outcome in outcomes]
    return Summary(
        median(rates),
        median(outcome.latency_us["p50"] for outcome in outcomes),
        median(outcome.latency_us["p99"] for outcome in outcomes),
        median(outcome.generator_cpu for outcome in outcomes),
        rates,
    )


def ratios(servers: dict[str, Summary]) -> dict[str, float]:
    """Our rate over that of each of the rivals that have one."""
    found: dict[str, float] = {}
    for label, names in RIVALS.items():
        rates = [servers[name].requests_per_second for name in names if name in servers]
        if rates and OURS in servers:
            found[label] = servers[OURS].requests_per_second / max(rates)
    return found


def save(found: msgspec.Struct, path: Path) -> None:
    """Write what was found as a JSON file."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def read(path: Path, kind: type[R]) -> R:
    """What `save` wrote of a run."""
    return msgspec.json.decode(path.read_bytes(), type=kind)
