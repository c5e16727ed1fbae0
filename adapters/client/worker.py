"""A thread that carries out calls, for all threads of the process.

Rule: what it has begun, it ends. Python runs the handlers of signals in the main thread, between
any two steps of a program; what they raise breaks off the caller, and never the call. A process is
forked between two calls, or by code that runs no hooks of Python's at any time.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, TypeVar, cast

from msgspec import Struct

R = TypeVar("R")


class ThreadApi(Struct, frozen=True):
    """`_thread` and `queue` as the standard library has them: what gevent puts in their place
    serves greenlets of one thread."""

    start_new_thread: Callable[..., object]
    new_lock: Callable[[], Any]
    new_rlock: Callable[[], Any]
    new_queue: Callable[[], Any]


class Worker:
    """One for a process, as it is never freed."""

    def __init__(self, api: ThreadApi) -> None:
        self._api = api
        self._begin()
        os.register_at_fork(
            before=lambda: self._busy.acquire(),
            after_in_parent=lambda: self._busy.release(),
            after_in_child=self._begin,
        )

    def run(self, call: Callable[[], R]) -> R:
        """The result of the call, or what it raises. Raises `RuntimeError` within another call."""
        if self._pid != os.getpid():
            self._begin()
        if self._busy._is_owned():  # as conditions ask it
            raise RuntimeError("a local client was called within one of its own calls")
        if sys.is_finalizing():  # no other thread runs any more
            return call()
        if not self._is_started.locked():
            self._api.start_new_thread(self._work, (self._is_started, self._busy, self._calls))
        outcome = self._api.new_queue()
        self._calls.put((call, outcome))
        result, error = outcome.get()
        try:
            if error is not None:
                raise error
        finally:
            del error  # its frames lead back to it
        return cast(R, result)

    def _begin(self) -> None:
        """Begins in this process, where no thread runs yet."""
        self._is_started, self._busy = self._api.new_lock(), self._api.new_rlock()
        self._calls = self._api.new_queue()
        self._pid = os.getpid()

    @staticmethod
    def _work(is_started: Any, busy: Any, calls: Any) -> None:
        """The thread; a second one ends at once, and the first with the process."""
        if not is_started.acquire(False):
            return
        while True:
            _carry_out(busy, *calls.get())


def _carry_out(busy: Any, call: Callable[[], Any], outcome: Any) -> None:
    with busy:
        try:
            outcome.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - the caller raises it
            outcome.put((None, error))
