"""The turns of connections: at once, or in a queue.

Rule: between two looks at the sockets those that have work left get `QUEUED_SECONDS` together, in
rotation, and those that are to read get as much. All others take their turns at once, as long as
those that may be long have `IMMEDIATE_SECONDS` together; after that they queue up, too. So a client
with a quick request waits for no more than these, and the step under way in each, whatever the
number of clients that ask for much.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque

QUEUED_SECONDS = 0.005
IMMEDIATE_SECONDS = 0.02

_LAST = -2
"""Of libev's priorities, the one that comes after all others."""


class Turns:
    """Queues of steps: one of those that read, and one of all others, for which they do not wait.
    `loop` is gevent's; `clock` returns seconds."""

    def __init__(self, loop: Any, clock: Callable[[], float]) -> None:
        self._loop = loop
        self._clock = clock
        self._reading: Deque[Callable[[], None]] = deque()
        self._working: Deque[Callable[[], None]] = deque()
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

    def add(self, step: Callable[[], None], is_reading: bool) -> None:
        """Has a step taken, after those that are in its queue."""
        (self._reading if is_reading else self._working).append(step)
        if self._timer is None:
            self._schedule()

    def _schedule(self) -> None:
        """A timer that is due at once fires after the sockets were looked at, unlike a callback of
        the loop's. Each round has a new one: one that has fired would fire again in its round."""
        self._timer = self._loop.timer(0.0, priority=_LAST)
        self._timer.start(self._run)

    def _run(self) -> None:
        self._timer.close()
        for queue in (self._reading, self._working):
            end = self._clock() + QUEUED_SECONDS
            for _ in range(len(queue)):
                queue.popleft()()
                if self._clock() > end:
                    break
        self._timer = None
        if self._reading or self._working:
            self._schedule()
