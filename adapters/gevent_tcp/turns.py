"""The turns of connections that have more to do than one turn.

Rule: between two looks at the sockets they get `SLICE` seconds together, in rotation, so that a
client with a small request waits for no more than that, whatever the number of busy ones.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque

SLICE = 0.005

_LAST = -2
"""Of libev's priorities, the one that comes after all others."""


class Turns:
    """A queue of steps. `loop` is gevent's; `clock` returns seconds."""

    def __init__(self, loop: Any, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._queue: Deque[Callable[[], None]] = deque()
        self._timer: Any = None

    def add(self, step: Callable[[], None]) -> None:
        """Has a step taken, after those that are in the queue."""
        self._queue.append(step)
        if self._timer is None:
            self._schedule()

    def _schedule(self) -> None:
        """A timer that is due at once fires after the sockets were looked at, unlike a callback of
        the loop's. Each round has a new one: one that has fired would fire again in its round."""
        self._timer = self._loop.timer(0.0, priority=_LAST)
        self._timer.start(self._run)

    def _run(self) -> None:
        self._timer.close()
        end = self._clock() + SLICE
        for _ in range(len(self._queue)):
            self._queue.popleft()()
            if self._clock() > end:
                break
        self._timer = None
        if self._queue:
            self._schedule()
