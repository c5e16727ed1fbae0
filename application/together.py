"""What arrived from several clients at the same moment, executed together.

Rule: each client has the reply that it could have had alone. None of them waits for another, so
their commands are executed in any order: those of a kind at once, where the executor can do that.
"""

from __future__ import annotations

from typing import Any, Generic, List, Sequence, Type, TypeVar

from msgspec import UNSET

from application.ports import Conversation, Received
from application.service import Service

C = TypeVar("C", bound=Conversation)


class Together(Generic[C]):
    """Receives for several conversations that want `INPUT`."""

    def __init__(self, service: Service) -> None:
        self._executor = service.executor
        self._plain = service.pause.plain
        self.max_bytes = service.quick_bytes
        """What was read for a client at once, at the most."""

    def receive(self, conversations: Sequence[C], inputs: Sequence[bytes]) -> Sequence[Received]:
        """What has come of what was read for each."""
        requests: List[Any]
        try:
            requests = [each.decode_one(data) for each, data in zip(conversations, inputs)]
        except Exception:  # noqa: BLE001 - a bug, which is to end one of them alone
            return [UNSET] * len(inputs)
        kinds = set(map(type, requests))
        if len(kinds) == 1:
            return self._execute(kinds.pop(), conversations, requests)
        received = requests[:]
        for kind in kinds:
            places = [place for place, request in enumerate(requests) if type(request) is kind]
            of_kind = [[each[place] for place in places] for each in (conversations, requests)]
            for place, outcome in zip(places, self._execute(kind, *of_kind)):
                received[place] = outcome
        return received

    def _execute(
        self, kind: Type[Any], conversations: Sequence[C], requests: Sequence[Any]
    ) -> Sequence[Received]:
        """The replies to requests of a kind; the requests themselves when they are to be executed
        one by one."""
        if kind not in self._plain or len(requests) == 1:
            return requests
        try:
            run = self._executor.execute_run(kind, requests)
        except Exception:  # noqa: BLE001 - each of them is refused by itself
            return requests
        if run is None:
            return requests
        return [
            conversation.reply(request, outcome)
            for conversation, request, outcome in zip(conversations, requests, run.results)
        ]
