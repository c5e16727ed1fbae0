"""A connection for a store that makes others wait, as one on another machine does.

Rule: while its greenlet runs it starts nothing else.
"""

from __future__ import annotations

from typing import Any, Callable

import gevent

from adapters.gevent_tcp.connection import Connection
from adapters.gevent_tcp.timeouts import Duty
from adapters.gevent_tcp.watchers import NOTHING, READ


class GreenletConnection(Connection):
    """A connection whose conversation may block: each turn has a greenlet, and others run
    meanwhile."""

    _is_running = False

    def _dispatch(self, step: Callable[..., None], *arguments: Any) -> None:
        self._io.wait_for(NOTHING)
        self._is_running = True
        gevent.spawn(self._run, step, *arguments)

    def _run(self, step: Callable[..., None], *arguments: Any) -> None:
        self._run_step(step, *arguments)
        self._is_running = False
        self._run_step(self._update)

    def _await_input(self) -> None:
        self._io.wait_for(READ, self._dispatch, self.serve)

    def _on_woken(self) -> None:
        if not self._is_running:
            super()._on_woken()

    def _update(self) -> None:
        if not self._is_running:
            super()._update()

    def _duty(self) -> Duty:
        return Duty.SERVER if self._is_running else super()._duty()
