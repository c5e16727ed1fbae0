"""Threads for what waits for the disk, and the journal's own greenlet.

Rule: jobs are handed over and their outcomes come back in the event loop's thread; a job itself
touches nothing but files.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, TypeVar, Union, cast

import gevent
from gevent.threadpool import ThreadPool

from adapters.storage.journal.journal import Journal

R = TypeVar("R")

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between two looks at what is to be done: an `everysec` sync, a rewrite."""

PAUSE = 0.001
"""Seconds that clients have for themselves between two steps of a rewrite."""


class GeventBackground:
    """One thread beside gevent's event loop; see `writer.Background`."""

    def __init__(self) -> None:
        self._hub = gevent.get_hub()
        self._thread = ThreadPool(1)

    def run(self, job: Callable[[], R], done: Callable[[Union[R, OSError]], None]) -> None:
        result = self._thread.spawn(_caught, job)
        result.rawlink(lambda finished: done(cast(Union[R, OSError], finished.get(block=False))))

    def soon(self, call: Callable[[], None]) -> None:
        self._hub.loop.run_callback(call)

    def close(self) -> None:
        """Ends the thread."""
        self._thread.kill()


class JournalKeeper:
    """Looks after an open journal: syncs it once a second, and rewrites it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._thread = ThreadPool(1)

    def load(self, is_stopping: Callable[[], bool]) -> bool:
        """Loads, serving clients between two steps; false when it was stopped before the end."""
        for _ in self._journal.load():
            gevent.sleep(PAUSE)
            if is_stopping():
                return False
        return True

    def start(self) -> None:
        """Begin, in a greenlet of its own."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """End, with everything on the disk."""
        self._greenlet.kill()
        self._thread.kill()
        for _ in self._journal.close():
            gevent.sleep(PAUSE)

    def _run(self) -> None:
        while True:
            gevent.sleep(TICK)
            try:
                self._journal.tick()
                if self._journal.is_due():
                    self._rewrite()
            except Exception:
                log.exception("the journal's upkeep failed")

    def _rewrite(self) -> None:
        for job in self._journal.rewrite():
            if job:
                outcome: Any = self._thread.apply(_caught, (job,))
                if isinstance(outcome, OSError):
                    self._journal.abandon_rewrite(outcome)
                    return
            gevent.sleep(PAUSE)


def _caught(job: Callable[[], R]) -> Union[R, OSError]:
    try:
        return job()
    except OSError as error:
        return error
