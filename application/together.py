"""What arrived from several clients at the same moment, executed together.

Rule: each client has the replies that it could have had alone. None of them waits for another, so
only the commands of one client have an order; those of a kind, over one protocol, are executed at
once, where the executor can do that.
"""

from __future__ import annotations

import contextlib
from functools import partial
from itertools import chain, compress
from typing import Any, Callable, Generic, List, Sequence, TypeVar

from msgspec import UNSET

from application.commands import Command
from application.commands.columns import in_parts, kind_of
from application.ports import Codec, Conversation, Received, attempt_run
from application.service import Service
from application.turn import TURN_BYTES, bytes_of

C = TypeVar("C", bound=Conversation)


class Together(Generic[C]):
    """Receives for several conversations that want `INPUT`."""

    def __init__(self, service: Service) -> None:
        self._executor = service.executor
        self._plain = service.pause.plain
        self._counts = service.stats.commands
        self.max_bytes = service.quick_bytes
        """What was read for a client at once, at the most."""

    def receive(self, conversations: Sequence[C], inputs: Sequence[bytes]) -> Sequence[Received]:
        """What has come of what was read for each."""
        codecs = [conversation.codec for conversation in conversations]
        kinds = [None if codec is None or codec.buffered else type(codec) for codec in codecs]
        return _apart(kinds, self._decode, codecs, conversations, inputs)

    def _decode(
        self, codecs: Sequence[Any], conversations: Sequence[C], inputs: Sequence[bytes]
    ) -> Sequence[Received]:
        """The same for clients of one protocol, of whom nothing is kept; or for those who go on
        with what has begun, and those whose protocol is not known."""
        codec = codecs[0]
        if codec is None or codec.buffered:
            return [UNSET] * len(inputs)
        try:
            commands, counts = codec.decode_each(codecs, inputs)
        except Exception:  # noqa: BLE001 - a bug, which is to end one of them alone
            return [UNSET] * len(inputs)
        if all(counts):
            return self._execute(codec, conversations, commands, counts)
        some, numbers = [*compress(conversations, counts)], [*filter(None, counts)]
        received = iter(self._execute(codec, some, commands, numbers) if some else ())
        return [next(received) if count else UNSET for count in counts]

    def _execute(
        self,
        codec: Codec,
        conversations: Sequence[C],
        commands: Sequence[Command[Any]],
        counts: Sequence[int],
    ) -> Sequence[Received]:
        """The replies to the commands of which each client sent so many over one protocol; the
        commands of those for whom they are to be executed apart."""
        kind = kind_of(commands)
        if kind is None:
            return self._execute_apart(codec, conversations, commands, counts)
        is_run = kind in self._plain and len(counts) > 1
        run = attempt_run(self._executor, kind, commands) if is_run else None
        if run is None:
            return in_parts(commands, counts)
        replies: Sequence[Received] = ()
        is_short = run.size <= TURN_BYTES or _most_bytes(run.results, counts) <= TURN_BYTES
        if is_short and not run.has_errors:
            with contextlib.suppress(Exception):  # a bug, which the reply to one of them tells
                replies = codec.encode_each(commands, run.results, counts)
                self._counts[codec.protocol][kind] += len(commands)
        if not replies:
            parts = zip(conversations, in_parts(commands, counts), in_parts(run.results, counts))
            replies = [talk.reply(some, outcomes) for talk, some, outcomes in parts]
        return self._release(conversations, commands, counts, replies)

    def _execute_apart(
        self,
        codec: Codec,
        conversations: Sequence[C],
        commands: Sequence[Command[Any]],
        counts: Sequence[int],
    ) -> Sequence[Received]:
        """The same for commands of several kinds: those of clients that sent one kind together."""
        if len(counts) == len(commands):
            kinds: Sequence[object] = [*map(type, commands)]
            return _apart(kinds, partial(self._execute, codec), conversations, commands, counts)
        parts = in_parts(commands, counts)
        kinds = [*map(kind_of, parts)]
        return _apart(kinds, partial(self._execute_parts, codec), conversations, parts)

    def _execute_parts(
        self,
        codec: Codec,
        conversations: Sequence[C],
        parts: Sequence[Sequence[Command[Any]]],
    ) -> Sequence[Received]:
        """The same for what clients sent of a kind each, the same kind all; or of several."""
        if kind_of(parts[0]) is None:
            return parts
        commands = [*chain.from_iterable(parts)]
        return self._execute(codec, conversations, commands, [*map(len, parts)])

    def _release(
        self,
        conversations: Sequence[C],
        commands: Sequence[Command[Any]],
        counts: Sequence[int],
        replies: Sequence[Received],
    ) -> Sequence[Received]:
        """What of the replies to each client's commands may leave now."""
        return replies


def _most_bytes(outcomes: Sequence[object], counts: Sequence[int]) -> int:
    """The bytes of the longest replies to one client, about."""
    return max(map(bytes_of, in_parts(outcomes, counts)))


def _apart(
    kinds: Sequence[object],
    serve: Callable[..., Sequence[Received]],
    *columns: Sequence[Any],
) -> Sequence[Received]:
    """What `serve` returns for each row of the columns, when it is given those of one kind at a
    time."""
    different = set(kinds)
    if len(different) == 1:
        return serve(*columns)
    results: List[Received] = [UNSET] * len(kinds)
    for kind in different:
        places = [place for place, each in enumerate(kinds) if each is kind]
        some = serve(*[[column[place] for place in places] for column in columns])
        for place, result in zip(places, some):
            results[place] = result
    return results
