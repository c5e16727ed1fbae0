"""What the event loop is asked to tell of one socket.

Rule: at most one event is waited for, and one timer.
"""

from __future__ import annotations

from typing import Any, Callable

NOTHING, READ, WRITE = 0, 1, 2
"""Events, as libev numbers them."""


class Watchers:
    """The watchers of one socket in gevent's event loop."""

    __slots__ = ("_loop", "_timer", "_watchers", "waits_for")

    def __init__(self, loop: Any, descriptor: int) -> None:
        self._loop = loop
        self._watchers = {event: loop.io(descriptor, event) for event in (READ, WRITE)}
        self._timer: Any = None
        self.waits_for = NOTHING

    def wait_for(self, event: int, *callback: Any) -> None:
        """Calls back whenever the socket is ready for `event`, and for no other event."""
        if event != self.waits_for:
            if self.waits_for:
                self._watchers[self.waits_for].stop()
            if event:
                self._watchers[event].start(*callback)
            self.waits_for = event

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Calls back once. A timer that has fired would, started again, fire at once."""
        if self._timer:
            self._timer.close()
        self._timer = self._loop.timer(seconds)
        self._timer.start(callback)

    def close(self) -> None:
        """Calls back no more."""
        for watcher in (*self._watchers.values(), self._timer):
            if watcher:
                watcher.stop()
                watcher.close()
