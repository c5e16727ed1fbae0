"""What `kv monitor` shows of a sample.

Rule: it fits a screen of 24 lines from 70 columns on, and says units.
"""

from __future__ import annotations

import sys
from typing import Any, List, Tuple

from entrypoints.client.tools.sample import Sample
from entrypoints.streams import can_show


def view(look: Sample, past: List[float], name: str, width: int, lost: str = "") -> Any:
    """What the screen shows: a head, the past, the figures, and the rate of each command."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = wrapped("")
    head.append(name, "bold").append(f"  kvjson {look.version}, up {lasting(look.uptime)}")
    reason = lost[len(name) + 2 :] if lost.startswith(f"{name}: ") else lost
    state = wrapped(f"no connection, waiting: {reason}" if lost else "", "kv.error")
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
        Text(sparkline(past, width - 1), "json.str"),
        Text(""),
        *_memory(look, width),
        both,
        Text(""),
        Text("q or Ctrl-C ends it", "kv.note"),
    )


def wrapped(text: str, style: str = "") -> Any:
    """A text that goes on below where it is longer than the screen is wide; the console's own do
    not."""
    from rich.text import Text

    return Text(text, style, no_wrap=False, overflow="fold")


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
