"""A client's conversation and a server's, put together in one process.

Rule: results and errors equal those of a server, since everything passes both codecs; only the
network is missing.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, Iterator, List, Protocol, Sequence, TypeVar

from application.commands import Command
from application.ledger import Ledger
from application.ports import Conversation, Pipelined, Wants

R = TypeVar("R")


class ClientSession(Protocol):
    """The client's side."""

    def send(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]: ...

    def receive_data(self, data: bytes) -> List[object]: ...


class LoopbackLink:
    """The link of a conversation that is never woken: none of its requests waits."""

    def __init__(self) -> None:
        self.name = "this process"
        self.account = Ledger(sys.maxsize).open(self._ignore)

    def wake(self) -> None: ...

    def wake_after(self, seconds: float) -> None: ...

    def _ignore(self, reason: str) -> None: ...


class Loopback(Pipelined):
    """An executor for all threads of this process, one at a time."""

    def __init__(self, client: ClientSession, server: Conversation) -> None:
        self._client = client
        self._server = server
        self._turn = threading.Lock()

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        outcomes: List[object] = []
        with self._turn:
            for piece in self._client.send(commands):
                outcomes += self._client.receive_data(self._server.receive(piece))
                while self._server.wants is not Wants.INPUT:
                    outcomes += self._client.receive_data(self._server.advance())
        return outcomes

    def close(self) -> None:
        """Does nothing: no resource is open."""
