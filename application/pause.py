"""Pauses of the whole server.

Rule: while the server is paused no command but AUTH is executed, or none that may write; what has
begun goes on.
"""

from __future__ import annotations

from typing import Any, Callable, Set

from application.commands import PLAIN, Auth, Command


class Pause:
    """The time in which no command is executed, or none that may write. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._end = 0.0
        self._writes_only = False
        self._wakes: Set[Callable[[], None]] = set()
        self.plain: Set[type] = set(PLAIN)
        """The commands that are executed without a closer look, which would be one at the pause:
        empty as long as there is one."""

    def begin(self, seconds: float, writes_only: bool) -> None:
        """Pauses for some time. What a pause that is not over holds, and for how long, is not made
        less by another."""
        now = self._clock()
        is_paused = self._end > now
        self._writes_only = writes_only and (self._writes_only or not is_paused)
        self._end = max(self._end, now + seconds)
        self.plain.clear()

    def end(self) -> None:
        """Ends the pause, and wakes those that wait for it."""
        self._end = 0.0
        self.plain.update(PLAIN)
        wakes, self._wakes = self._wakes, set()
        for wake in wakes:
            wake()

    def delay(self, command: Command[Any], wake: Callable[[], None]) -> float:
        """Seconds until a command may be executed, at the most: `wake` is called when that is
        sooner; 0 for now."""
        if self.plain:
            return 0.0
        left = self._end - self._clock()
        if left <= 0:
            self.end()
        elif (command.may_write() or not self._writes_only) and not isinstance(command, Auth):
            self._wakes.add(wake)
            return left
        return 0.0

    def forget(self, wake: Callable[[], None]) -> None:
        """What `wake` would have woken is gone."""
        self._wakes.discard(wake)
