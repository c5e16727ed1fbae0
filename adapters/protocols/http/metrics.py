"""Writes the server's report as Prometheus and OpenMetrics read it.

Rule: a figure is named and explained once, in a table here; the report has the figures.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Callable, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from msgspec import UNSET
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from adapters.protocols.http.messages import PRIVATE, Head, Response
from application.stats import Histogram, Report


def _journal(report: Any, name: str) -> Any:
    return None if report.journal is UNSET else getattr(report.journal, name)


def _engine(report: Any, name: str) -> Any:
    return None if report.engine is UNSET else getattr(report.engine, name)


def _commands(report: Any) -> Iterator[Tuple[Tuple[str, ...], int]]:
    for protocol, counts in report.protocols.items():
        for command, count in counts.items():
            yield (protocol, command), count


class Figure(NamedTuple):
    """A single figure of the report; None leaves it out."""

    name: str
    help: str
    read: Callable[[Any], Any]
    is_counter: bool = False


class Family(NamedTuple):
    """A counter for each of some values of its labels."""

    name: str
    help: str
    labels: Tuple[str, ...]
    read: Callable[[Any], Iterable[Tuple[Tuple[str, ...], int]]]


class Distribution(NamedTuple):
    """A histogram; None leaves it out."""

    name: str
    help: str
    read: Callable[[Any], Optional[Histogram]]


FIGURES = (
    Figure("keys", "Keys.", lambda report: report.keyspace.keys),
    Figure("memory_used_bytes", "Memory that keys take.", lambda r: r.keyspace.memory),
    Figure("memory_max_bytes", "Bound on it.", lambda r: r.keyspace.max_memory),
    Figure("keyspace_hits", "Reads that found a key.", lambda r: r.keyspace.hits, True),
    Figure("keyspace_misses", "Reads that found none.", lambda r: r.keyspace.misses, True),
    Figure("expired_keys", "Keys that expired.", lambda r: r.keyspace.expired, True),
    Figure("evicted_keys", "Keys that were evicted.", lambda r: r.keyspace.evicted, True),
    Figure("uptime_seconds", "Since the server started.", lambda r: r.server.uptime),
    Figure("resident_memory_bytes", "The process's memory.", lambda r: r.server.resident_memory),
    Figure("connected_clients", "Clients now.", lambda r: r.server.connected_clients),
    Figure("accepted_clients", "Clients ever accepted.", lambda r: r.server.accepted_clients, True),
    Figure("refused_clients", "Clients over the bound.", lambda r: r.server.refused_clients, True),
    Figure("cut_clients", "Clients that took too long.", lambda r: r.server.cut_clients, True),
    Figure("max_clients", "Bound on clients.", lambda r: r.limits.max_clients),
    Figure("client_buffers_bytes", "Kept for clients.", lambda r: r.server.client_buffers),
    Figure("client_buffers_max_bytes", "Bound on it.", lambda r: r.limits.max_input_bytes),
    Figure("engine_servers", "Servers that keep the keys.", lambda r: _engine(r, "servers")),
    Figure("journal_size_bytes", "The journal's files.", lambda r: _journal(r, "size")),
    Figure("journal_frames", "Journal frames.", lambda r: _journal(r, "frames"), True),
    Figure(
        "journal_durable_frames",
        "Journal frames on the disk.",
        lambda r: _journal(r, "durable_frames"),
        True,
    ),
    Figure("journal_waiting", "Clients waiting for it.", lambda r: _journal(r, "waiting")),
    Figure("journal_full", "Whether the disk is full.", lambda r: _journal(r, "full")),
)
FAMILIES = (
    Family("commands", "Commands carried out.", ("protocol", "command"), _commands),
    Family(
        "errors",
        "Requests refused, by code.",
        ("code",),
        lambda report: (((code,), count) for code, count in report.errors.items()),
    ),
)

DISTRIBUTIONS = (
    Distribution(
        "loop_lag_seconds", "How late the event loop was.", lambda report: report.server.loop_lag
    ),
    Distribution(
        "turn_seconds",
        "How long clients' turns took, but for plain commands answered at once.",
        lambda report: report.server.turns,
    ),
    Distribution(
        "journal_fsync_seconds",
        "How long syncs of the journal took.",
        lambda report: _journal(report, "fsyncs"),
    ),
)


class _Collector(Collector):
    """The metrics of one report."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        for figure in FIGURES:
            value = figure.read(self._report)
            if value is not None:
                kind = CounterMetricFamily if figure.is_counter else GaugeMetricFamily
                yield kind(f"kvjson_{figure.name}", figure.help, value=float(value))
        for family in FAMILIES:
            metric = CounterMetricFamily(f"kvjson_{family.name}", family.help, labels=family.labels)
            for values, count in family.read(self._report):
                metric.add_metric(values, count)
            yield metric
        for distribution in DISTRIBUTIONS:
            histogram = distribution.read(self._report)
            if histogram:
                yield HistogramMetricFamily(
                    f"kvjson_{distribution.name}",
                    distribution.help,
                    buckets=_buckets(histogram),
                    sum_value=histogram.sum,
                )


def _buckets(histogram: Histogram) -> List[Tuple[str, int]]:
    """How often it took up to each bound, from the least on."""
    *bounds, _ = histogram.counts
    labels = (*(str(float(bound)) for bound in bounds), "+Inf")
    return list(zip(labels, accumulate(histogram.counts.values())))


def exposition(head: Head, report: Report) -> Response:
    """The response to a scrape."""
    registry = CollectorRegistry()
    registry.register(_Collector(report))
    encode, content_type = choose_encoder(head.header(b"accept"))
    return Response(200, [("Content-Type", content_type), *PRIVATE], encode(registry))
