"""Commands that are collected and sent together.

Rule: a method returns a `PendingResult`, which has its result once the buffer was run. Results stay
in the order of the commands, and an error belongs to its command alone, unless all were refused.
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable, List, Optional, Sequence, Type, TypeVar, cast

from application.commands import Batch, Command
from domain.errors import KvError
from entrypoints.library.methods import BufferedMethods
from entrypoints.library.senders import PendingResult, shortened

B = TypeVar("B", bound="CommandBuffer")


class CommandBuffer(BufferedMethods):
    """Commands that wait to be sent, one method each; see `requests` for arguments and results."""

    def __init__(self) -> None:
        self.pending: List[PendingResult[Any]] = []

    def take(self) -> List[PendingResult[Any]]:
        """Returns what is in the buffer and empties it."""
        pending, self.pending = self.pending, []
        return pending

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self.pending)} to send>"


class Pipeline(CommandBuffer):
    """Sends its commands in one go, when run, or at the end of a `with` block without error."""

    def __init__(self, execute_all: Callable[[Sequence[Command[Any]]], List[object]]) -> None:
        super().__init__()
        self._execute_all = execute_all

    def run(self) -> List[Any]:
        """Sends the commands and waits for all results; returns them in order, a refused command's
        `KvError` in its place.

        Raises `Unavailable` and `TimedOut` when it is not known what took effect; for a batch, the
        error it was refused with, whose `index` says which command it was.
        """
        pending = self.take()
        try:
            _resolve(pending, self._execute_all(_commands(pending)))
        except KvError as error:
            raise _failing_all(pending, error) from error.__cause__
        return [result._outcome for result in pending]

    def __enter__(self: B) -> B:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        if kind is None:
            self.run()


class AsyncPipeline(CommandBuffer):
    """Sends its commands in one go, when run, or at the end of an `async with` block without
    error."""

    def __init__(
        self, execute_all: Callable[[Sequence[Command[Any]]], Awaitable[List[object]]]
    ) -> None:
        super().__init__()
        self._execute_all = execute_all

    async def run(self) -> List[Any]:
        """See `Pipeline.run`."""
        pending = self.take()
        try:
            _resolve(pending, await self._execute_all(_commands(pending)))
        except KvError as error:
            raise _failing_all(pending, error) from error.__cause__
        return [result._outcome for result in pending]

    async def __aenter__(self: B) -> B:
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        if kind is None:
            await self.run()


def as_batch(sent: Sequence[Command[Any]]) -> Batch:
    """The commands as one that runs them all or none."""
    return Batch(list(sent))


def from_batch(outcome: object) -> List[object]:
    """The results of a batch, one for each command; raises the error it was refused with."""
    if isinstance(outcome, KvError):
        raise outcome
    return cast(List[object], outcome)


def _commands(pending: Sequence[PendingResult[Any]]) -> List[Command[Any]]:
    return [result._request.command for result in pending]


def _resolve(pending: Sequence[PendingResult[Any]], outcomes: Sequence[object]) -> None:
    for result, outcome in zip(pending, outcomes):
        try:
            result._outcome = (
                outcome if isinstance(outcome, KvError) else result._request.decode(outcome)
            )
        except KvError as error:
            result._outcome = error


def _failing_all(pending: Sequence[PendingResult[Any]], error: KvError) -> KvError:
    """Resolves every result with an error that is that of all of them; returns it."""
    _resolve(pending, [error] * len(pending))
    return shortened(error)
