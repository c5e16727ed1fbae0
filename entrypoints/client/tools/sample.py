"""Samples of a server: what happened between two looks at it.

Rule: a look is one INFO, and leaves itself out of the figures. A server that goes away is waited
for, and measured anew when it is there again.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Union

import msgspec

from application.commands import Info
from domain.errors import TimedOut, Unavailable
from entrypoints.client.target import Target


class Sample(NamedTuple):
    """The server between two looks: rates a second, memory in bytes, times in seconds; no ratio
    where nothing was read, no bound where there is none."""

    requests: float
    hit_ratio: Optional[float]
    keys: int
    memory: int
    clients: int
    errors: float
    expired: float
    evicted: float
    commands: Dict[str, float]
    latency: float
    uptime: float
    version: str
    stored: Optional[int] = None
    max_memory: Optional[int] = None


class Lost(NamedTuple):
    """A look that the server did not answer."""

    reason: str


Look = Union[Sample, Lost]


def sample(
    before: Dict[str, Any], after: Dict[str, Any], seconds: float, latency: float = 0.0
) -> Sample:
    """Rates a second, and where things stand, from two reports of INFO; without the one INFO and
    the one client that the looking itself takes."""

    def grown(name: str) -> int:
        return int(after["keyspace"][name] - before["keyspace"][name])

    counts = dict(after["commands"])
    for name, count in before["commands"].items():
        counts[name] = counts.get(name, 0) - count
    counts["INFO"] = max(0, counts.get("INFO", 0) - 1)
    hits, misses = grown("hits"), grown("misses")
    errors = sum(after["errors"].values()) - sum(before["errors"].values())
    server, keyspace = after["server"], after["keyspace"]
    return Sample(
        requests=sum(counts.values()) / seconds,
        hit_ratio=hits / (hits + misses) if hits + misses else None,
        keys=keyspace["keys"],
        memory=server["resident_memory"],
        clients=max(0, server["connected_clients"] - 1),
        errors=errors / seconds,
        expired=grown("expired") / seconds,
        evicted=grown("evicted") / seconds,
        commands={name: count / seconds for name, count in sorted(counts.items()) if count > 0},
        latency=latency,
        uptime=server.get("uptime", 0.0),
        version=server.get("version", ""),
        stored=keyspace.get("memory"),
        max_memory=keyspace.get("max_memory"),
    )


def looks(
    target: Target,
    before: Dict[str, Any],
    interval: float,
    count: Optional[int],
    wait: Callable[[float], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Look]:
    """A look at the server each interval, `count` of them or until `wait` says that it is enough.

    A server that was started anew, or was away, is measured from then on.
    """
    then = clock()
    number = 0
    known: Optional[Dict[str, Any]] = before
    while (count is None or number < count) and not wait(interval):
        number += 1
        asked = clock()
        try:
            after = report_of(target)
        except (Unavailable, TimedOut) as error:
            known = None
            yield Lost(str(error))
            continue
        now = clock()
        if known is not None and _is_same_run(known, after):
            yield sample(known, after, now - then, now - asked)
        known, then = after, now


def _is_same_run(before: Dict[str, Any], after: Dict[str, Any]) -> bool:
    uptime = after["server"].get("uptime", 0.0)
    return bool(uptime >= before["server"].get("uptime", 0.0))


def report_of(target: Target) -> Dict[str, Any]:
    """The report of INFO as plain objects."""
    report: Dict[str, Any] = msgspec.to_builtins(target.executor.execute(Info()))
    return report
