"""Replies that wait for the disk.

Rule: a reply leaves once everything that it tells of is on the disk, and those that tell of nothing
else leave at once. While one waits, its client's conversation goes no further, so replies stay in
order.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, TypeVar

from application.commands import Command, Results
from application.conversation import Conversation, Service
from application.ports import Durability, Executor, Link, Steps, Wants

R = TypeVar("R")


class DurableExecutor(Executor):
    """Notes what the results of one client's commands tell of, the refusals among them."""

    def __init__(self, executor: Executor, durability: Durability) -> None:
        self._executor = executor
        self._durability = durability
        self.needed = 0
        """The number of what has to be on the disk for all that was executed so far."""

    def execute(self, command: Command[R]) -> R:
        self._durability.admit(command)
        try:
            return self._executor.execute(command)
        finally:
            self._note(command)

    def execute_run(self, commands: Sequence[Command[Any]]) -> Optional[Results]:
        self._durability.admit(commands[0])
        results = self._executor.execute_run(commands)
        if results is not None:
            keys = [key for command in commands for key in command.named_keys()]
            self.needed = max(self.needed, self._durability.needed(keys))
        return results

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        self._durability.admit(command)
        try:
            return (yield from self._executor.execute_in_steps(command))
        finally:
            self._note(command)

    def _note(self, command: Command[Any]) -> None:
        self.needed = max(self.needed, self._durability.needed(command.shown_keys()))


class DurableConversation:
    """A conversation whose output waits for the disk; see `ports.Conversation`."""

    def __init__(self, durability: Durability, service: Service, link: Link) -> None:
        self._durability = durability
        self._link = link
        self._executor = DurableExecutor(service.executor, durability)
        self._inner = Conversation(service, link, self._executor)
        self._waits = False
        self._was_woken = False
        self._output = b""

    @property
    def wants(self) -> Wants:
        return Wants.WAKE if self._waits else self._inner.wants

    @property
    def partial_request_id(self) -> int:
        """None while it is the server that keeps the client from sending more."""
        return 0 if self._waits else self._inner.partial_request_id

    def receive(self, data: bytes) -> bytes:
        return self._send(self._inner.receive(data))

    def advance(self) -> bytes:
        if self._waits:
            self._was_woken = True  # by something that the conversation inside waits for
            return b""
        output, self._output = self._output, b""
        if not output:
            return self._send(self._inner.advance())
        self._link.account.change(-len(output))
        if self._was_woken:
            self._was_woken = False
            self._link.wake()
        return output

    def time_out(self) -> None:
        self._inner.time_out()

    def abort(self, reason: str) -> None:
        self._inner.abort(reason)

    def close(self) -> None:
        self._output = b""
        self._inner.close()

    def _send(self, output: bytes) -> bytes:
        """Sends output that depends on nothing which could still be lost; has any other wait."""
        needed = self._executor.needed
        if not (needed and output):
            return output
        self._executor.needed = 0
        self._waits = True
        self._output = output
        self._link.account.change(len(output))
        self._durability.when_durable(needed, self._go_on)
        return b""

    def _go_on(self) -> None:
        self._waits = False
        self._link.wake()
