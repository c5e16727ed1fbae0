"""How far something is, on a terminal; nothing where standard error is none."""

from __future__ import annotations

import contextlib
import sys
from typing import Callable, Iterator, Optional

Advance = Callable[[int, int], None]
"""Called with how much more is done of the total, and how many keys that were."""


@contextlib.contextmanager
def progress(what: str, total: Optional[int]) -> Iterator[Advance]:
    """A bar for `total`, in whatever unit, or without an end when it is not known."""
    if not sys.stderr.isatty():
        yield lambda more, keys: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from entrypoints.client.palette import console  # rich is slow to import

    columns = [TextColumn(what), BarColumn(), TextColumn("{task.fields[keys]:,} keys")]
    columns += [TextColumn("{task.fields[rate]:,.0f}/s, left"), TimeRemainingColumn()]
    with Progress(*columns, console=console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, keys=0, rate=0.0)

        def advance(more: int, keys: int) -> None:
            keys += bar.tasks[0].fields["keys"]
            rate = keys / max(bar.tasks[0].elapsed or 0.0, 0.001)
            bar.update(task, advance=more, keys=keys, rate=rate)

        yield advance
