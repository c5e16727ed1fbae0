"""The time-outs of one client.

Rule: no time passes for a client while the server owes the next step, or while the server itself
stood still.
"""

from __future__ import annotations

import enum
from typing import Dict

from application.limits import Limits

LINGER = 5.0
"""Seconds for the client of an ended conversation to take the last reply and hang up."""


class Duty(enum.Enum):
    """The next step on a connection, and the side that has to take it."""

    TAKE_OUTPUT = "the client takes what is sent"
    SEND_REQUEST = "the client sends the rest of a request"
    HANG_UP = "the client closes a connection that is over"
    NOTHING = "the client may do something, or not"
    SERVER = "the server goes on"


class Timeouts:
    """The time-outs of one connection. `had_activity` is to be set when bytes move."""

    __slots__ = ("_last_activity", "_limits", "_request_began", "_request_id", "had_activity")

    def __init__(self, limits: Limits) -> None:
        self._limits: Dict[Duty, float] = {
            Duty.TAKE_OUTPUT: limits.send_timeout,
            Duty.SEND_REQUEST: limits.request_timeout,
            Duty.HANG_UP: LINGER,
            Duty.NOTHING: limits.idle_timeout,
            Duty.SERVER: 0.0,
        }
        self.had_activity = True
        self._last_activity = self._request_began = 0.0
        self._request_id = 0

    def is_over(self, now: float, duty: Duty, request_id: int) -> bool:
        """Whether the client took too long over its `duty`. `request_id` is of the request that has
        arrived in part, `now` in seconds without those in which the server stood still."""
        if self.had_activity or duty is Duty.SERVER:
            self.had_activity = False
            self._last_activity = now
        if request_id != self._request_id or duty in (Duty.SERVER, Duty.TAKE_OUTPUT):
            self._request_id = request_id
            self._request_began = now
        since = self._request_began if duty is Duty.SEND_REQUEST else self._last_activity
        return 0 < self._limits[duty] < now - since


class OwnTime:
    """Seconds that leave out those in which the event loop did not run. `period` is how often it is
    to be asked."""

    def __init__(self, period: float) -> None:
        self.period = period
        self._last = 0.0
        self._lost = 0.0

    def at(self, now: float) -> float:
        """The time that has passed for clients at `now`, by a clock that never goes back."""
        late = now - self._last - self.period
        if self._last and late > 0:
            self._lost += late
        self._last = now
        return now - self._lost
