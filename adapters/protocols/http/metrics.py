"""Writes the server's report as Prometheus and OpenMetrics read it.

Rule: a figure is named and explained once, in the table here; the report has the figures.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Iterator, List, NamedTuple, Tuple, Type

from msgspec import UNSET
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily as Counter
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import HistogramMetricFamily as Histogram
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from adapters.protocols.http.messages import PRIVATE, Head, Response
from application import stats


class Figure(NamedTuple):
    """What the report has at a path, if there is anything; where that is a dict, what it has for
    each of the values of a label, or of several, one in the other."""

    kind: Type[Any]
    name: str
    help: str
    path: str
    labels: Tuple[str, ...] = ()


FIGURES = (
    Figure(Gauge, "keys", "Keys.", "keyspace.keys"),
    Figure(Gauge, "memory_used_bytes", "Memory that keys take.", "keyspace.memory"),
    Figure(Gauge, "memory_max_bytes", "Bound on it.", "keyspace.max_memory"),
    Figure(Counter, "keyspace_hits", "Reads that found a key.", "keyspace.hits"),
    Figure(Counter, "keyspace_misses", "Reads that found none.", "keyspace.misses"),
    Figure(Counter, "expired_keys", "Keys that expired.", "keyspace.expired"),
    Figure(Counter, "evicted_keys", "Keys that were evicted.", "keyspace.evicted"),
    Figure(Gauge, "uptime_seconds", "Since the server started.", "server.uptime"),
    Figure(Gauge, "resident_memory_bytes", "The process's memory.", "server.resident_memory"),
    Figure(Gauge, "connected_clients", "Clients now.", "server.connected_clients"),
    Figure(Counter, "accepted_clients", "Clients ever accepted.", "server.accepted_clients"),
    Figure(Counter, "refused_clients", "Clients over the bound.", "server.refused_clients"),
    Figure(Counter, "cut_clients", "Clients over a time-out or a bound.", "server.cut_clients"),
    Figure(Gauge, "max_clients", "Bound on clients.", "limits.max_clients"),
    Figure(Gauge, "client_buffers_bytes", "Kept for clients.", "server.client_buffers"),
    Figure(Gauge, "client_buffers_max_bytes", "Bound on it.", "limits.max_input_bytes"),
    Figure(Gauge, "engine_servers", "Servers that keep the keys.", "engine.servers"),
    Figure(Gauge, "journal_size_bytes", "The journal's files.", "journal.size"),
    Figure(Counter, "journal_frames", "Journal frames.", "journal.frames"),
    Figure(
        Counter, "journal_durable_frames", "Journal frames on the disk.", "journal.durable_frames"
    ),
    Figure(Gauge, "journal_waiting", "Clients waiting for it.", "journal.waiting"),
    Figure(Gauge, "journal_full", "Whether the disk is full.", "journal.full"),
    Figure(Counter, "commands", "Commands carried out.", "protocols", ("protocol", "command")),
    Figure(Counter, "errors", "Requests refused, by code.", "errors", ("code",)),
    Figure(Histogram, "loop_lag_seconds", "How late the event loop was.", "server.loop_lag"),
    Figure(
        Histogram,
        "turn_seconds",
        "How long clients' turns took, but for plain commands answered at once.",
        "server.turns",
    ),
    Figure(
        Histogram, "journal_fsync_seconds", "How long syncs of the journal took.", "journal.fsyncs"
    ),
)


def value_at(path: str, report: stats.Report) -> Any:
    """What the report has there; None where it, or what it would be in, is not."""
    value: Any = report
    for name in path.split("."):
        value = getattr(value, name)
        if value is None or value is UNSET:
            return None
    return value


def _samples(value: Any, labels: Tuple[str, ...] = ()) -> Iterator[Tuple[Any, ...]]:
    """The arguments of `add_metric` for each of the values of the labels."""
    if isinstance(value, dict):
        for label, inner in value.items():
            yield from _samples(inner, (*labels, label))
    elif isinstance(value, stats.Histogram):
        yield labels, _buckets(value), value.sum
    else:
        yield labels, float(value)


def _buckets(histogram: stats.Histogram) -> List[Tuple[str, int]]:
    """How often it took up to each bound, from the least on."""
    *bounds, _ = histogram.counts
    labels = (*(str(float(bound)) for bound in bounds), "+Inf")
    return list(zip(labels, accumulate(histogram.counts.values())))


class _Collector(Collector):
    """The metrics of one report."""

    def __init__(self, report: stats.Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        for figure in FIGURES:
            value = value_at(figure.path, self._report)
            if value is not None:
                metric = figure.kind(f"kvjson_{figure.name}", figure.help, labels=figure.labels)
                for sample in _samples(value):
                    metric.add_metric(*sample)
                yield metric


def exposition(head: Head, report: stats.Report) -> Response:
    """The response to a scrape."""
    registry = CollectorRegistry()
    registry.register(_Collector(report))
    encode, content_type = choose_encoder(head.header(b"accept"))
    return Response(200, [("Content-Type", content_type), *PRIVATE], encode(registry))
