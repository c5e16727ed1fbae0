"""Connections to one server that many threads or greenlets share.

Rule: when a connection was lost, the idle ones are closed too, since they were most likely lost
together, so a restart of the server is noticed at most once a caller.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Protocol, Sequence

from adapters.client import leases
from adapters.client.lender import Lender, Network
from application.commands import Command
from application.ports import Pipelined
from application.retries import pause_before_repeat
from domain.errors import TimedOut, Unavailable


class Connection(leases.Connection, Protocol):
    """It connects when first used, and again after a fault."""

    def execute_all(
        self, commands: Sequence[Command[Any]], end: Optional[float] = None
    ) -> List[object]: ...

    def settle(self, sleep: Callable[[float], object]) -> None:
        """See `Pipelined`."""
        ...


class Pool(Pipelined):
    """An `Executor` over up to `size` connections, which sends a command again when that is safe.

    Waits for at most `wait` seconds for a connection to come free, and at most `total` seconds for
    everything (0 for as long as it takes); tries up to `attempts` times.
    """

    def __init__(
        self,
        new_connection: Callable[[], Connection],
        network: Network,
        size: int,
        attempts: int,
        wait: float,
        total: float,
    ) -> None:
        self._sleep = network.sleep
        self._attempts = attempts
        self._total = total
        self.lender = Lender(
            new_connection,
            network,
            size,
            wait,
            lambda: TimedOut(f"all {size} connections are in use"),
        )

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place; raises `TimedOut` and
        `Unavailable` when whether they took effect is not known."""
        end = time.monotonic() + self._total if self._total else None
        attempts = 0
        while True:
            attempts += 1
            try:
                return self.lender.lend(lambda each: self._execute_on(each, commands, end), end)
            except Unavailable as error:
                left = None if end is None else end - time.monotonic()
                more = self._attempts - attempts
                pause = pause_before_repeat(commands, error, attempts, more, left)
            self._sleep(pause)

    def settle(self) -> None:
        for connection in self.lender.leases().connections():
            connection.settle(self._sleep)

    def close(self) -> None:
        """Close the connections that are not in use; the next command opens a new one."""
        self.lender.close_idle()

    def _execute_on(
        self, connection: Connection, commands: Sequence[Command[Any]], end: Optional[float]
    ) -> List[object]:
        try:
            return connection.execute_all(commands, end)
        except Unavailable:
            self.lender.close_idle()  # while this one is lent, whose caller may keep the error
            raise
