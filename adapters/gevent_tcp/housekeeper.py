"""Maintenance in the background of the event loop.

Rule: work that was put off is done in steps of a millisecond or so, and clients are served between
any two of them.
"""

from __future__ import annotations

import logging
import time
from typing import Callable

import gevent

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 0.1
"""Seconds from the time when nothing is left to do until the next look."""

PAUSE_SECONDS = 0.001
"""Seconds between two steps. Zero would not do: `gevent.sleep(0)` lets callbacks run, but sockets
are looked at only after fifty of them."""


class GeventHousekeeper:
    """Calls `run_maintenance` while it returns that more is left to do, and again every
    `INTERVAL_SECONDS`; `note_lag` is told how many seconds late the event loop was each time, by
    `clock`."""

    def __init__(
        self,
        run_maintenance: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        note_lag: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        self._run_maintenance = run_maintenance
        self._clock = clock
        self._note_lag = note_lag

    def start(self) -> None:
        """Begin, in a greenlet of its own."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """End, between two steps."""
        self._greenlet.kill()

    def _run(self) -> None:
        while True:
            seconds = PAUSE_SECONDS if self._more() else INTERVAL_SECONDS
            due = self._clock() + seconds
            gevent.sleep(seconds)
            self._note_lag(max(0.0, self._clock() - due))

    def _more(self) -> bool:
        try:
            return self._run_maintenance()
        except Exception:
            log.exception("maintenance failed")
            return False
