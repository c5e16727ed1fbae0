"""`kv monitor`: what INFO says, as it changes.

Rule: it asks for nothing but INFO, once an interval, and leaves itself out of the figures, so that
watching costs the server nothing. A server that goes away is waited for.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

import click
import msgspec

from application.commands import Info
from domain.errors import KvError, TimedOut, Unavailable
from entrypoints.client.output import failure
from entrypoints.client.streams import can_show
from entrypoints.client.target import Target

HISTORY = 120
"""How many looks are kept to draw the past."""


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


@click.command("monitor")
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option(
    "-c", "--count", type=click.IntRange(min=1), metavar="N", help="End after so many looks."
)
@click.pass_obj
def monitor_command(target: Target, interval: float, count: Optional[int]) -> None:
    """Show live figures: requests a second, by command, memory, keys, clients; q or Ctrl-C ends it.

    It shows how the server is, not what each client sends. In a pipe it prints a JSON object a
    line. When the server goes away it waits until it is there again.
    """
    try:
        first = _report(target)
        if sys.stdout.isatty():
            with _keys() as quit_or_wait:
                _show(looks(target, first, interval, count, quit_or_wait), target.name)
        else:
            _print(looks(target, first, interval, count, _wait))
    except KvError as error:
        raise failure(error) from error
    except KeyboardInterrupt:
        return


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
            after = _report(target)
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


def _report(target: Target) -> Dict[str, Any]:
    report: Dict[str, Any] = msgspec.to_builtins(target.executor.execute(Info()))
    return report


def _print(seen: Iterator[Look]) -> None:
    lost = False
    for look in seen:
        if isinstance(look, Lost):
            if not lost:
                click.echo(f"no connection: {look.reason}; waiting for it", err=True)
            lost = True
            continue
        lost = False
        click.echo(msgspec.json.encode(look._asdict()))


def _wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """A way to wait that the key q ends, where the input is a terminal."""
    if not sys.stdin.isatty():
        yield _wait
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def wait(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return False
            if os.read(descriptor, 1) in (b"q", b"Q", b"\x04", b""):
                return True

    try:
        tty.setcbreak(descriptor)
        yield wait
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _show(seen: Iterator[Look], name: str) -> None:
    from rich.live import Live  # slow to import

    from entrypoints.client.palette import console

    screen = console()
    past: Deque[float] = deque(maxlen=HISTORY)
    last: Optional[Sample] = None
    with Live(console=screen, auto_refresh=False, screen=True) as live:
        live.update(_waiting(name), refresh=True)
        for look in seen:
            if isinstance(look, Sample):
                last = look
                past.append(look.requests)
                live.update(view(look, list(past), name, screen.width), refresh=True)
            elif last is not None:
                past.append(0.0)
                shown = view(last, list(past), name, screen.width, look.reason)
                live.update(shown, refresh=True)
            else:
                live.update(_waiting(name, look.reason), refresh=True)


def _waiting(name: str, reason: str = "") -> Any:
    from rich.text import Text

    return Text(f"{name}: {reason or 'the first figures come after an interval'}")


def view(look: Sample, past: List[float], name: str, width: int, lost: str = "") -> Any:
    """What the screen shows: a head, the past, the figures, and the rate of each command."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text.assemble((name, "bold"), f"  kvjson {look.version}, up {lasting(look.uptime)}")
    state = Text(f"no connection: {lost}; waiting for it", "kv.error") if lost else Text("")
    is_wide = width >= 70
    figures, commands = _grid(_rows(look)), _grid(_command_rows(look, 8 if is_wide else 4))
    both = Table.grid(padding=(0, 4))
    if is_wide:
        both.add_row(figures, commands)
    else:
        both.add_row(figures)
        both.add_row("")
        both.add_row(commands)
    return Group(
        head,
        state,
        Text(f"requests a second, at most {max(past):,.0f}"),
        Text(sparkline(past, min(width - 1, HISTORY)), "json.str"),
        Text(""),
        *_memory(look, width),
        both,
        Text(""),
        Text("q or Ctrl-C ends it", "kv.note"),
    )


def _grid(rows: List[Tuple[str, str]]) -> Any:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", style="bold", min_width=10, no_wrap=True)
    for row in rows:
        grid.add_row(*row)
    return grid


def _rows(look: Sample) -> List[Tuple[str, str]]:
    ratio = "-" if look.hit_ratio is None else f"{look.hit_ratio:.1%}"
    return [
        ("requests / s", f"{look.requests:,.0f}"),
        ("errors / s", f"{look.errors:,.1f}"),
        ("hit ratio", ratio),
        ("keys", f"{look.keys:,}"),
        ("expired / s", f"{look.expired:,.1f}"),
        ("evicted / s", f"{look.evicted:,.1f}"),
        ("clients", f"{look.clients:,}"),
        ("memory of the process", _mebibytes(look.memory)),
        ("round trip", f"{look.latency * 1000:,.2f} ms"),
    ]


def _command_rows(look: Sample, most: int) -> List[Tuple[str, str]]:
    rates = sorted(look.commands.items(), key=lambda item: -item[1])
    rows = [(f"{name} / s", f"{rate:,.1f}") for name, rate in rates[:most]]
    if len(rates) > most:
        rows.append(("others / s", f"{sum(rate for _, rate in rates[most:]):,.1f}"))
    return rows or [("no commands", "")]


def _memory(look: Sample, width: int) -> List[Any]:
    """A bar for what the keys take of what they may take, where there is a bound."""
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    if look.stored is None or not look.max_memory:
        return []
    share = look.stored / look.max_memory
    style = "red" if share > 0.9 else "green"
    said = f"{_mebibytes(look.stored)} of {_mebibytes(look.max_memory)} for keys, {share:.0%}"
    bar = ProgressBar(
        look.max_memory,
        look.stored,
        width=min(40, width - 1),
        complete_style=style,
        finished_style=style,
    )
    return [Text(said), bar, Text("")]


def sparkline(values: List[float], width: int) -> str:
    """The last values as one line of bars, the highest of them as high as a line is."""
    blocks = "▁▂▃▄▅▆▇█" if can_show("▁█", sys.stdout) else "_.-=+*%#"
    last = values[-width:]
    top = max(last, default=0.0) or 1.0
    return "".join(blocks[min(7, int(value / top * 8))] for value in last)


def lasting(seconds: float) -> str:
    """A duration in its two largest units."""
    left = int(seconds)
    parts: List[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        if number or parts or unit == "s":
            parts.append(f"{number}{unit}")
    return " ".join(parts[:2])


def _mebibytes(number: int) -> str:
    return f"{number / (1 << 20):,.1f} MiB"
