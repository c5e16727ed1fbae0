"""The turns of connections: at once, or in a queue.

Rule: between two looks at the sockets those that wait for turns which may be long get
`QUEUED_SECONDS` together, in rotation, and those that wait for other turns get as much. All others
take their turns at once, as long as those that may be long have `IMMEDIATE_SECONDS` together; after
that these queue up, too. So a client with a quick request waits for no more than all this, and the
step under way in each, whatever the number of clients that ask for much.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Any, Callable, Deque

QUEUED_SECONDS = 0.005
IMMEDIATE_SECONDS = 0.01

_LAST = -2
"""Of libev's priorities, the one that comes after all others."""


class Turns:
    """Queues of steps: one of those that may be long, and one of all others, which do not wait for
    them. `loop` is gevent's; `clock` returns seconds."""

    def __init__(self, loop: Any, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._short: Deque[Callable[[], None]] = deque()
        self._long: Deque[Callable[[], None]] = deque()
        self._timer: Any = None
        self._end = 0.0
        """When those that took their turns at once since the last look have had their time."""

    def has_time(self) -> bool:
        """Whether a turn that may be long can be taken at once."""
        if not self._end:
            self._end = self._clock() + IMMEDIATE_SECONDS
            self._loop.run_callback(self._look)
            return True
        return self._clock() < self._end

    def _look(self) -> None:
        """The loop looks at the sockets next."""
        self._end = 0.0

    def add(self, step: Callable[[], None], may_be_long: bool) -> None:
        """Has a step taken, after those that are in its queue."""
        (self._long if may_be_long else self._short).append(step)
        if self._timer is None:
            self._schedule()

    def _schedule(self) -> None:
        """A timer that is due at once fires after the sockets were looked at, unlike a callback of
        the loop's. Each round has a new one: one that has fired would fire again in its round."""
        self._timer = self._loop.timer(0.0, priority=_LAST)
        self._timer.start(self._run)

    def _run(self) -> None:
        self._timer.close()
        end, self._end = self._end, -inf  # what turns out to be long joins the other queue
        self._take(self._short)
        self._end = end
        self._take(self._long)
        self._timer = None
        if self._short or self._long:
            self._schedule()

    def _take(self, queue: Deque[Callable[[], None]]) -> None:
        end = self._clock() + QUEUED_SECONDS
        for _ in range(len(queue)):
            queue.popleft()()
            if self._clock() > end:
                break
