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
from typing import Any, Callable, Deque, Iterator, Optional

import click
import msgspec

from domain.errors import KvError
from entrypoints.client.output import failure
from entrypoints.client.target import Target
from entrypoints.client.tools.monitor_view import view, wrapped
from entrypoints.client.tools.sample import Look, Lost, Sample, looks, report_of
from entrypoints.settings.kinds import COUNT, seconds
from entrypoints.settings.ranges import Range
from entrypoints.streams import terminated_in_order

HISTORY = 120
"""How many looks are kept to draw the past."""

_WITHOUT_CURSOR = (None, "", "dumb", "unknown")
"""What TERM says where the cursor cannot be moved."""


@click.command("monitor")
@click.option(
    "-i",
    "--interval",
    type=seconds(Range(0.05, 3600)),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Interval between samples.",
)
@click.option("-c", "--count", type=COUNT, metavar="N", help="End after this many samples.")
@click.pass_obj
def monitor_command(target: Target, interval: float, count: Optional[int]) -> None:
    """Show live figures: requests a second, by command, memory, keys, clients; q or Ctrl-C ends it.

    It shows how the server is, not what each client sends. In a pipe, and on a terminal without
    cursor control, it prints a JSON object a line. When the connection is lost it waits for the
    server.
    """
    try:
        first = report_of(target)
        if "server" not in first:
            raise click.UsageError("there is no kv-server to look at: this is an engine")
        if sys.stdout.isatty() and os.environ.get("TERM") not in _WITHOUT_CURSOR:
            with terminated_in_order(), _keys() as quit_or_wait:
                _show(looks(target, first, interval, count, quit_or_wait), target.name)
        else:
            _print(looks(target, first, interval, count, _wait))
    except KvError as error:
        raise failure(error) from error
    except KeyboardInterrupt:
        return


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
    return wrapped(f"{name}: {reason or 'the first figures come after an interval'}")
