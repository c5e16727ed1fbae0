"""Threads for what waits for the disk, and the journal's own greenlet.

Rule: jobs are handed over and their outcomes come back in the event loop's thread; a job itself
touches nothing but files.
"""

from __future__ import annotations

import logging
from collections import deque
from queue import SimpleQueue
from typing import Any, Callable, Deque, Tuple, TypeVar, Union

import gevent
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

from adapters.storage.journal.journal import Journal

R = TypeVar("R")

Job = Tuple[Callable[[], Any], Callable[[Any], None]]

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
"""Seconds between two looks at what is to be done: an `everysec` sync, a rewrite."""

PAUSE_SECONDS = 0.001
"""Seconds that clients have for themselves between two steps of a rewrite."""


class GeventBackground:
    """One thread beside gevent's event loop; see `writer.Background`. gevent's own pool takes
    several times as long to hand a job over."""

    def __init__(self) -> None:
        self._loop = gevent.get_hub().loop
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._finished: Deque[Tuple[Callable[[Any], None], Any]] = deque()
        self._signal = self._loop.async_()
        self._signal.start(self._deliver)
        get_original("_thread", "start_new_thread")(self._work, ())

    def run(self, job: Callable[[], R], done: Callable[[Union[R, Exception]], None]) -> None:
        self._jobs.put((job, done))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        if not seconds:
            self._loop.run_callback(call)
            return
        timer = self._loop.timer(seconds)
        timer.start(self._fire, timer, call)

    def _fire(self, timer: Any, call: Callable[[], None]) -> None:
        timer.close()
        call()

    def _work(self) -> None:
        """The thread; it ends with the process."""
        while True:
            job, done = self._jobs.get()
            self._finished.append((done, _caught(job)))
            self._signal.send()

    def _deliver(self) -> None:
        while self._finished:
            done, outcome = self._finished.popleft()
            done(outcome)


class JournalKeeper:
    """Looks after an open journal: syncs it once a second, also while it rewrites it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._upkeep = journal.upkeep
        self._thread = ThreadPool(1)

    def load(self, is_stopping: Callable[[], bool]) -> bool:
        """Loads, serving clients between two steps; false when it was stopped before the end."""
        for _ in self._journal.load():
            gevent.sleep(PAUSE_SECONDS)
            if is_stopping():
                return False
        return True

    def start(self) -> None:
        """Begin, in greenlets of its own: a rewrite may take minutes, and a sync must not wait."""
        jobs = self._upkeep.tick, self._rewrite_if_due
        self._greenlets = [gevent.spawn(_repeat, job) for job in jobs]

    def stop(self) -> None:
        """End, with everything on the disk."""
        gevent.killall(self._greenlets)
        self._thread.kill()
        for _ in self._journal.close():
            gevent.sleep(PAUSE_SECONDS)

    def _rewrite_if_due(self) -> None:
        if not self._upkeep.is_due():
            return
        try:
            for job in self._upkeep.rewrite():
                outcome = self._thread.apply(_caught, (job,)) if job else None
                if isinstance(outcome, Exception):
                    raise outcome
                gevent.sleep(PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001 - a bug, too, would be met again in a second
            self._upkeep.abandon_rewrite(error)


def _repeat(job: Callable[[], None]) -> None:
    """Does a job once a tick, whatever it raises."""
    while True:
        gevent.sleep(TICK_SECONDS)
        try:
            job()
        except Exception:
            log.exception("the journal's upkeep failed")


def _caught(job: Callable[[], R]) -> Union[R, Exception]:
    """What a job returns or raises: a thread that ended would leave all who wait for it."""
    try:
        return job()
    except Exception as error:  # noqa: BLE001 - it is dealt with where the job was handed over
        return error
