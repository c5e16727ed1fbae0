"""What one request may spend.

Rule: what a request makes the server open and answer is charged before the work is done, so that a
request over a bound is refused instead of finished late. `limits` has the bounds, and `report`
makes of a store's figures what INFO returns, those of the server before it included.
"""

from __future__ import annotations

from typing import Callable, ClassVar, Type

from application.limits import Limits
from application.stats import Report
from domain.errors import TooLarge
from domain.store import Stats


class Exhausted(TooLarge):
    """Several commands in one request have spent what they may together."""


class Budget:
    """The budget of any single command: it remembers nothing, so that all requests share one."""

    _error: ClassVar[Type[TooLarge]] = TooLarge

    def __init__(self, limits: Limits, report: Callable[[Stats], Report] = Report) -> None:
        self.limits = limits
        self.report = report

    def parts(self) -> Budget:
        """A budget for what one command does in several parts, which adds them up."""
        return SharedBudget(self.limits, self.report)

    def open(self, n_bytes: int) -> None:
        """Charge for decoding `n_bytes` of stored or sent JSON, or for what takes as long; raises
        `TooLarge`."""
        if n_bytes > self.limits.max_opened_bytes:
            raise self._error(
                f"the request takes as long as to decode {n_bytes:,} bytes of JSON; "
                f"at most {self.limits.max_opened_bytes:,} (max_opened_bytes)"
            )

    def convert(self, n_bytes: int) -> None:
        """Charge for turning `n_bytes` of a value into other ones, such as a text into the bytes
        that it stands for, or for what takes as long. A single command does so with one or two
        values of bounded size, or with each client once."""

    def reply(self, n_bytes: int) -> None:
        """Charge for `n_bytes` of the reply; raises `TooLarge`."""
        if n_bytes > self.limits.max_reply_bytes:
            raise self._error(
                f"the reply is over {self.limits.max_reply_bytes:,} bytes (max_reply_bytes)"
            )


class SharedBudget(Budget):
    """The budget of several commands in one request, which adds up what each of them spends."""

    _error = Exhausted

    def __init__(self, limits: Limits, report: Callable[[Stats], Report] = Report) -> None:
        super().__init__(limits, report)
        self._opened = 0
        self._converted = 0
        self._replied = 0

    def parts(self) -> Budget:
        return self

    def open(self, n_bytes: int) -> None:
        self._opened += n_bytes
        super().open(self._opened)

    def convert(self, n_bytes: int) -> None:
        """Raises `TooLarge` once the values before this one have spent the budget, so that a batch
        can do with one value what a single command can."""
        if self._converted > self.limits.max_request_bytes:
            raise self._error(
                f"the batch takes as long as to work on {self._converted:,} bytes of values; "
                f"at most {self.limits.max_request_bytes:,} (max_request_bytes)"
            )
        self._converted += n_bytes

    def reply(self, n_bytes: int) -> None:
        self._replied += n_bytes
        super().reply(self._replied)
