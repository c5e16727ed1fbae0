"""Maintenance in the background of the event loop.

Rule: work that was put off is done in steps of a millisecond or so, and clients are served between
any two of them.
"""

from __future__ import annotations

import logging
from typing import Callable

import gevent

log = logging.getLogger(__name__)

REST = 0.1
"""Seconds from the time when nothing is left to do until the next look."""

BREATH = 0.001
"""Seconds between two steps. Zero would not do: `gevent.sleep(0)` lets callbacks run, but sockets
are looked at only after fifty of them."""


class GeventHousekeeper:
    """Calls `run_maintenance` while it returns that more is left to do, and again every `REST`."""

    def __init__(self, run_maintenance: Callable[[], bool]) -> None:
        self._run_maintenance = run_maintenance

    def start(self) -> None:
        """Begin, in a greenlet of its own."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """End, between two steps."""
        self._greenlet.kill()

    def _run(self) -> None:
        while True:
            gevent.sleep(BREATH if self._more() else REST)

    def _more(self) -> bool:
        try:
            return self._run_maintenance()
        except Exception:
            log.exception("maintenance failed")
            return False
