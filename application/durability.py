"""Replies that wait for the disk.

Rule: a reply leaves once everything that it tells of is on the disk, and those that tell of nothing
else leave at once. While one waits, its client's conversation goes no further, so replies stay in
order. Where there is no room on the disk for what a reply tells of, the conversation ends.
"""

from __future__ import annotations

from typing import Any, Callable, Collection, Optional, Sequence, Type, TypeVar

from msgspec import UNSET

from application.commands import Command, Results
from application.commands.columns import in_parts, keys_named_by
from application.conversation import Conversation
from application.ports import Codec, Durability, Executor, Link, Received, Restriction, Steps, Wants
from application.service import Service
from application.together import Together
from domain.errors import DiskFull

R = TypeVar("R")

_BYTES = {bytes}

_WAKE = Wants.WAKE
"""A global name is read in a quarter of the time of an enumeration's member."""

SMALL_BYTES = 512
"""Bytes of output up to which what waits is not counted among the memory that clients hold."""


class DurableExecutor(Executor):
    """Notes what the results of one client's commands tell of, the refusals among them."""

    def __init__(self, executor: Executor, durability: Durability) -> None:
        self._executor = executor
        self._execute = executor.execute
        self._admit = durability.admit
        self._restrictions = durability.restrictions
        self._tracks = durability.tracks_keys
        self._needed = durability.needed
        self.needed = 0
        """The number of what has to be on the disk for all that was executed so far."""

    def execute(self, command: Command[R]) -> R:
        if self._restrictions:
            self._admit(command)
        try:
            return self._execute(command)
        finally:
            if self._tracks:
                self._note(command.shown_keys())

    def execute_run(
        self, kind: Type[Command[Any]], commands: Sequence[Command[Any]]
    ) -> Optional[Results]:
        if self._restrictions:
            self._admit(commands[0])  # the others are of its kind
        results = self._executor.execute_run(kind, commands)
        if results is not None and self._tracks:
            self._note(keys_named_by(commands))
        return results

    def execute_in_steps(self, command: Command[R]) -> Steps[R]:
        if self._restrictions:
            self._admit(command)
        try:
            return (yield from self._executor.execute_in_steps(command))
        finally:
            if self._tracks:
                self._note(command.shown_keys())

    def _note(self, keys: Optional[Collection[str]]) -> None:
        needed = self._needed(keys)
        if needed > self.needed:
            if self._restrictions and Restriction.STUCK in self._restrictions:
                raise DiskFull("the disk is full: this would tell of what is not on it")
            self.needed = needed


class DurableConversation:
    """A conversation whose output waits for the disk; see `ports.Conversation`."""

    __slots__ = (
        "_durability",
        "_executor",
        "_inner",
        "_is_lost",
        "_link",
        "_parked",
        "_restrictions",
        "_was_woken",
        "reply",
        "wants",
    )

    def __init__(self, durability: Durability, service: Service, link: Link) -> None:
        self._durability = durability
        self._restrictions = durability.restrictions
        self._link = link
        self._executor = DurableExecutor(service.executor, durability)
        self._inner = Conversation(service, link, self._executor)
        self.reply = self._inner.reply
        self._parked = b""
        """The output that waits."""
        self._is_lost = False
        """Whether there was no room for what it tells of."""
        self._was_woken = False
        self.wants = self._inner.wants

    @property
    def codec(self) -> Optional[Codec]:
        return self._inner.codec

    @property
    def partial_request_id(self) -> int:
        """0 while it is the server that keeps the client from sending more."""
        return 0 if self._parked else self._inner.partial_request_id

    @property
    def is_listening(self) -> bool:
        return self._inner.is_listening

    @property
    def may_take_long(self) -> bool:
        return not self._parked and self._inner.may_take_long

    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        output = self._inner.receive(data, decoded)
        if self._executor.needed or self._restrictions:
            return self._send(output)
        self.wants = self._inner.wants
        return output

    def advance(self) -> bytes:
        if not self._parked:
            return self._send(self._inner.advance())
        if self.wants is Wants.WAKE:
            self._was_woken = True  # by something that the conversation inside waits for
            return b""
        output = self._release()
        if self._is_lost:
            self._inner.close()
            self.wants = Wants.END
            return b""
        if self._was_woken:
            self._was_woken = False
            self._link.wake()
        return output

    def time_out(self) -> None:
        self._inner.time_out()
        self.wants = self._inner.wants

    def abort(self, reason: str) -> None:
        self._inner.abort(reason)

    def close(self) -> None:
        self._parked = b""
        self._inner.close()

    def hold(self, received: Received, number: int) -> Received:
        """Has the reply to a command that was executed elsewhere wait for what has that number."""
        if isinstance(received, bytes):
            return self._park(received, number, self.deliver)
        self._executor.needed = number
        return received

    def keep(self, output: bytes) -> None:
        """Parks output until it is delivered."""
        self._parked = output
        self.wants = _WAKE
        if len(output) > SMALL_BYTES:
            self._link.account.change(len(output))

    def deliver(self) -> None:
        """Sends what was parked, without a turn where there is nothing to decide or to count."""
        output = self._parked
        if self._restrictions or self._was_woken or len(output) > SMALL_BYTES:
            self._resume()
        elif output:
            self._parked = b""
            self.wants = self._inner.wants
            self._link.deliver(output)

    def _send(self, output: bytes) -> bytes:
        """Sends output that depends on nothing which could still be lost; has any other wait."""
        self.wants = self._inner.wants
        needed = self._executor.needed or self._durability.backlog()
        if not (needed and output):
            return output
        self._executor.needed = 0
        return self._park(output, needed, self._resume)

    def _park(self, output: bytes, number: int, resume: Callable[[], None]) -> bytes:
        if not self._durability.when_durable(number, resume):
            return output
        self.keep(output)
        return b""

    def _release(self) -> bytes:
        """What was parked."""
        output, self._parked = self._parked, b""
        if len(output) > SMALL_BYTES:
            self._link.account.change(-len(output))
        self.wants = self._inner.wants
        return output

    def _resume(self) -> None:
        """Takes a turn, in which what was parked is sent."""
        if self._restrictions and self._durability.tracks_keys:
            self._is_lost = Restriction.STUCK in self._restrictions
        self.wants = Wants.TURN
        self._link.wake()


class DurableTogether(Together[DurableConversation]):
    """Receives for several durable conversations that want `INPUT`."""

    def __init__(self, durability: Durability, service: Service) -> None:
        super().__init__(service)
        self._durability = durability
        self._restrictions = durability.restrictions

    def receive(
        self, conversations: Sequence[DurableConversation], inputs: Sequence[bytes]
    ) -> Sequence[Received]:
        """While there are restrictions, each request is looked at by itself."""
        if self._restrictions:
            return [UNSET] * len(inputs)
        return super().receive(conversations, inputs)

    def _release(
        self,
        conversations: Sequence[DurableConversation],
        commands: Sequence[Command[Any]],
        counts: Sequence[int],
        replies: Sequence[Received],
    ) -> Sequence[Received]:
        number = self._number(commands)
        if not number:
            return replies
        if commands[0].readonly or set(map(type, replies)) != _BYTES:
            numbers = map(self._number, in_parts(commands, counts))
            return [
                conversation.hold(each, number) if number else each
                for conversation, each, number in zip(conversations, replies, numbers)
            ]
        resumes = [conversation.deliver for conversation in conversations]
        if not self._durability.when_durable(number, *resumes):
            return replies
        for conversation, reply in zip(conversations, replies):
            conversation.keep(reply)  # type: ignore[arg-type]  # bytes
        return [b""] * len(replies)

    def _number(self, commands: Sequence[Command[Any]]) -> int:
        """Of what has to be on the disk before the replies to commands leave; 0 for nothing."""
        durability = self._durability
        needed = durability.needed(keys_named_by(commands)) if durability.tracks_keys else 0
        return needed or durability.backlog()
