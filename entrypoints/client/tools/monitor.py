"""`kv monitor`: what INFO says, as it changes.

Rule: it asks for nothing but INFO, once an interval, so that watching costs the server nothing.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import click
import msgspec

from application.commands import Info
from domain.errors import KvError
from entrypoints.client.arguments import Target
from entrypoints.client.output import failure


class Figures(NamedTuple):
    """What the view shows: rates a second, memory in bytes; no ratio where nothing was read."""

    requests: float
    hit_ratio: Optional[float]
    keys: int
    memory: int
    clients: int
    errors: float
    expired: float
    evicted: float


@click.command("monitor")
@click.option("--interval", type=click.FloatRange(0.05, 3600), default=1.0, help="Seconds.")
@click.option("--count", type=click.IntRange(min=1), help="End after so many looks.")
@click.pass_obj
def monitor_command(target: Target, interval: float, count: Optional[int]) -> None:
    """Show live figures: requests a second, hit ratio, keys, memory, clients. Ctrl-C ends it.

    In a pipe it prints a JSON object a line.
    """
    looks = _looks(target, interval, count)
    try:
        if sys.stdout.isatty():
            _show(looks, target.name)
        else:
            for figures in looks:
                click.echo(msgspec.json.encode(figures._asdict()))
    except KvError as error:
        raise failure(error) from error
    except KeyboardInterrupt:
        return


def figures_between(before: Dict[str, Any], after: Dict[str, Any], seconds: float) -> Figures:
    """Rates a second, and where things stand, from two reports of INFO."""

    def grown(name: str) -> int:
        return int(after["keyspace"][name] - before["keyspace"][name])

    hits, misses = grown("hits"), grown("misses")
    return Figures(
        requests=(_sum(after, "commands") - _sum(before, "commands")) / seconds,
        hit_ratio=hits / (hits + misses) if hits + misses else None,
        keys=after["keyspace"]["keys"],
        memory=after["server"]["resident_memory"],
        clients=after["server"]["connected_clients"],
        errors=(_sum(after, "errors") - _sum(before, "errors")) / seconds,
        expired=grown("expired") / seconds,
        evicted=grown("evicted") / seconds,
    )


def _looks(target: Target, interval: float, count: Optional[int]) -> Iterator[Figures]:
    before, then = _report(target), time.monotonic()
    while count is None or count > 0:
        time.sleep(interval)
        after, now = _report(target), time.monotonic()
        yield figures_between(before, after, now - then)
        before, then = after, now
        count = None if count is None else count - 1


def _report(target: Target) -> Dict[str, Any]:
    report: Dict[str, Any] = msgspec.to_builtins(target.executor.execute(Info()))
    return report


def _show(looks: Iterator[Figures], name: str) -> None:
    from rich.live import Live  # slow to import
    from rich.table import Table

    def table(rows: List[Tuple[str, str]]) -> Table:
        grid = Table(title=name, title_justify="left", show_header=False)
        grid.add_column(style="bold")
        grid.add_column(justify="right", min_width=14)
        for row in rows:
            grid.add_row(*row)
        return grid

    with Live(auto_refresh=False) as live:
        for figures in looks:
            live.update(table(_rows(figures)), refresh=True)


def _rows(figures: Figures) -> List[Tuple[str, str]]:
    ratio = "-" if figures.hit_ratio is None else f"{figures.hit_ratio:.1%}"
    return [
        ("requests a second", f"{figures.requests:,.0f}"),
        ("hit ratio", ratio),
        ("keys", f"{figures.keys:,}"),
        ("memory", f"{figures.memory / (1 << 20):,.1f} MiB"),
        ("clients", f"{figures.clients:,}"),
        ("errors a second", f"{figures.errors:,.1f}"),
        ("expired a second", f"{figures.expired:,.1f}"),
        ("evicted a second", f"{figures.evicted:,.1f}"),
    ]


def _sum(report: Dict[str, Any], section: str) -> int:
    return sum(report[section].values())
