"""What arrived from several clients at the same moment, executed together.

Rule: each client has the reply that it could have had alone. None of them waits for another, so
their commands are executed in any order: those of a kind, over one protocol, at once, where the
executor can do that.
"""

from __future__ import annotations

from typing import Any, Callable, Generic, List, Sequence, TypeVar

from msgspec import UNSET

from application.commands.columns import Columns, kind_of
from application.ports import Conversation, Received
from application.service import Service
from application.turn import TURN_BYTES

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
        return _apart([*map(type, codecs)], self._decode, conversations, codecs, inputs)

    def _decode(
        self, conversations: Sequence[C], codecs: Sequence[Any], inputs: Sequence[bytes]
    ) -> Sequence[Received]:
        """The same for clients of one protocol; they have no codec while it is not known."""
        if codecs[0] is None:
            return [UNSET] * len(inputs)
        try:
            requests: Sequence[Any] = codecs[0].decode_each(codecs, inputs)
        except Exception:  # noqa: BLE001 - a bug, which is to end one of them alone
            return [UNSET] * len(inputs)
        if type(requests) is Columns:
            return self._execute(conversations, codecs, requests)
        return _apart([*map(type, requests)], self._execute, conversations, codecs, requests)

    def _execute(
        self, conversations: Sequence[C], codecs: Sequence[Any], requests: Sequence[Any]
    ) -> Sequence[Received]:
        """The replies to requests of a kind over one protocol; the requests themselves when they
        are to be executed one by one."""
        kind = kind_of(requests)
        if kind not in self._plain or len(requests) == 1:
            return requests
        try:
            run = self._executor.execute_run(kind, requests)
        except Exception:  # noqa: BLE001 - each of them is refused by itself
            return requests
        if run is None:
            return requests
        if run.size <= TURN_BYTES and not run.has_errors:
            try:
                replies: Sequence[bytes] = codecs[0].encode_each(requests, run.results)
            except Exception:  # noqa: BLE001 - a bug, which the reply to one of them tells
                pass
            else:
                self._counts[codecs[0].protocol][kind] += len(requests)
                return replies
        return [
            conversation.reply(request, outcome)
            for conversation, request, outcome in zip(conversations, requests, run.results)
        ]


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
