"""What arrived from several clients at the same moment, executed together.

Rule: each client has the reply that it could have had alone. None of them waits for another, so
their commands are executed in any order: those of a kind, over one protocol, at once, where the
executor can do that.
"""

from __future__ import annotations

from typing import Any, Generic, List, Sequence, Type, TypeVar

from msgspec import UNSET

from application.ports import Codec, Conversation, Received
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
        codecs: List[Any] = [conversation.codec for conversation in conversations]
        requests: List[Any]
        try:
            requests = [
                codec.decode_one(data) if codec else None for codec, data in zip(codecs, inputs)
            ]
        except Exception:  # noqa: BLE001 - a bug, which is to end one of them alone
            return [UNSET] * len(inputs)
        kinds = [*zip(map(type, requests), map(type, codecs))]
        different = set(kinds)
        if len(different) == 1:
            return self._execute(kinds[0][0], codecs[0], conversations, requests)
        received = requests[:]
        for kind in different:
            places = [place for place, each in enumerate(kinds) if each == kind]
            of_kind = [[each[place] for place in places] for each in (conversations, requests)]
            replies = self._execute(kind[0], codecs[places[0]], *of_kind)
            for place, reply in zip(places, replies):
                received[place] = reply
        return received

    def _execute(
        self, kind: Type[Any], codec: Codec, conversations: Sequence[C], requests: Sequence[Any]
    ) -> Sequence[Received]:
        """The replies to requests of a kind, and of the protocol of `codec`; the requests
        themselves when they are to be executed one by one."""
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
                replies = codec.encode_each(requests, run.results)
            except Exception:  # noqa: BLE001 - a bug, which the reply to one of them tells
                pass
            else:
                self._counts[codec.protocol][kind] += len(requests)
                return replies
        return [
            conversation.reply(request, outcome)
            for conversation, request, outcome in zip(conversations, requests, run.results)
        ]
