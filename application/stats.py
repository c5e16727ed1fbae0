"""The statistics that INFO returns.

Rule: a figure is counted where it happens. The store counts keys and reads, `ServerStats` commands
and clients; INFO puts them together, and costs next to nothing to ask.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from typing import Callable, DefaultDict, Dict, Optional, Sequence, Type, Union

import msgspec
from msgspec import UNSET, Struct, UnsetType

from application.ledger import Ledger
from application.limits import Limits
from domain.store import Stats

BOUNDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Seconds, as event loops and turns take them."""


class Histogram(Struct, gc=False):
    """How many times something took up to so many seconds, each counted once, and all of the
    seconds together."""

    counts: Dict[str, int] = {}
    sum: float = 0.0


class Times:
    """Counts seconds for a histogram; `bounds` are the upper ones of its counts but the last."""

    __slots__ = ("_bounds", "_counts", "_first", "_sum")

    def __init__(self, bounds: Sequence[float] = BOUNDS) -> None:
        self._bounds = bounds
        self._first = bounds[0]
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def note(self, seconds: float) -> None:
        """Counts one; at the least cost, when it took as little as most turns do."""
        self._counts[0 if seconds <= self._first else bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def histogram(self) -> Histogram:
        """All of them until now."""
        labels = (*(f"{bound:g}" for bound in self._bounds), "more")
        return Histogram(dict(zip(labels, self._counts)), self._sum)


class ServerReport(Struct, gc=False):
    """The process: `uptime` in seconds, memory in bytes; clients connected now, ever accepted, ever
    refused because there were too many, and ever cut, over a time-out or a bound or by CLIENT KILL;
    the bytes that are kept for clients between their turns; how late the event loop was for what it
    should have done; how long clients' turns took."""

    version: str
    uptime: float
    resident_memory: int
    connected_clients: int
    accepted_clients: int
    refused_clients: int
    cut_clients: int
    client_buffers: int = 0
    loop_lag: Histogram = msgspec.field(default_factory=Histogram)
    turns: Histogram = msgspec.field(default_factory=Histogram)


class JournalReport(Struct, gc=False):
    """The journal: sizes in bytes, times in seconds. `size` is that of all files, `snapshot` that
    of the last rewrite."""

    fsync: str
    loading: bool
    rewriting: bool
    full: bool
    """Whether writes are refused since the disk is full."""
    size: int
    snapshot: int
    frames: int
    """The number of the last one."""
    durable_frames: int
    """The number of the last one that is on the disk."""
    waiting: int
    """How many clients wait for the disk."""
    since_durable: float
    """Since a frame last came to be on the disk."""
    since_rewrite: Optional[float]
    """Since the last rewrite of this process ended; null before that."""
    fsyncs: Histogram
    """How long syncs took."""


class EngineReport(Struct, gc=False):
    """The servers that keep the keys: name, version and role, `master` or `slave`, of one of them,
    and how many there are."""

    name: str
    version: str
    role: str
    servers: int


class Report(Struct):
    """The result of INFO; of a store that no server stands before, only the keyspace is known."""

    keyspace: Stats
    server: Union[ServerReport, UnsetType] = UNSET
    commands: Union[Dict[str, int], UnsetType] = UNSET
    """How many of each name were carried out."""
    protocols: Union[Dict[str, Dict[str, int]], UnsetType] = UNSET
    """The same by the protocol of the clients."""
    errors: Union[Dict[str, int], UnsetType] = UNSET
    """How many requests were refused with each code."""
    limits: Union[Limits, UnsetType] = UNSET
    journal: Union[JournalReport, UnsetType] = UNSET
    """Where there is one."""
    engine: Union[EngineReport, UnsetType] = UNSET
    """Where there is one."""


class ClientCounts:
    """Counts clients, of which up to `max_clients` are connected at a time."""

    __slots__ = ("_max_clients", "accepted", "connected", "killed", "refused")

    def __init__(self, max_clients: int) -> None:
        self._max_clients = max_clients
        self.connected = self.accepted = self.refused = self.killed = 0

    def admit(self) -> bool:
        """Counts a new one; returns whether there is room for it."""
        has_room = self.connected < self._max_clients
        self.connected += has_room
        self.accepted += has_room
        self.refused += not has_room
        return has_room


class ServerStats:
    """The server's counters. `clock` returns seconds, `resident_memory` bytes."""

    def __init__(
        self,
        version: str,
        limits: Limits,
        clock: Callable[[], float],
        resident_memory: Callable[[], int],
        journal: Optional[Callable[[], JournalReport]] = None,
        engine: Optional[Callable[[], EngineReport]] = None,
        ledger: Optional[Ledger] = None,
    ) -> None:
        self._version = version
        self._limits = limits
        self.clock = clock
        self._resident_memory = resident_memory
        self._journal = journal
        self._engine = engine
        self._ledger = ledger
        self._started = clock()
        self.clients = ClientCounts(limits.max_clients)
        self.loop_lag = Times()
        self.turns = Times()
        self.commands: DefaultDict[str, DefaultDict[Type[Struct], int]] = defaultdict(_counts)
        """How many of each kind were carried out, by protocol."""
        self.errors: Counter[str] = Counter()

    def report(self, keyspace: Stats) -> Report:
        """The figures of a store and of the server before it."""
        report = Report(keyspace)
        report.server = ServerReport(
            version=self._version,
            uptime=round(self.clock() - self._started, 3),
            resident_memory=self._resident_memory(),
            connected_clients=self.clients.connected,
            accepted_clients=self.clients.accepted,
            refused_clients=self.clients.refused,
            cut_clients=self.clients.killed,
            client_buffers=self._ledger.held if self._ledger else 0,
            loop_lag=self.loop_lag.histogram(),
            turns=self.turns.histogram(),
        )
        report.protocols = {name: _named(counts) for name, counts in self.commands.items()}
        report.commands = dict(sum(map(Counter, report.protocols.values()), Counter()))
        report.errors = dict(self.errors)
        report.limits = self._limits
        if self._journal:
            report.journal = self._journal()
        if self._engine:
            report.engine = self._engine()
        return report


def _counts() -> DefaultDict[Type[Struct], int]:
    return defaultdict(int)


def _named(counts: Dict[Type[Struct], int]) -> Dict[str, int]:
    """The counts by the names of kinds, of which some have the same."""
    named: Counter[str] = Counter()
    for kind, count in counts.items():
        named[str(kind.__struct_config__.tag)] += count
    return dict(+named)
