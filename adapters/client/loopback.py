"""A client's conversation and a server's, put together in one process.

Rule: results and errors equal those of a server, since everything passes both codecs; only the
network is missing.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any, Callable, List, Sequence

from adapters.client.connection import Session
from application.commands import Command
from application.ledger import Ledger
from application.ports import Conversation, Pipelined, Wants

_GOES_ON = (Wants.TURN, Wants.WAKE)


class LoopbackLink:
    """The link of a conversation that is never woken: none of its requests waits, nor a reply."""

    def __init__(self) -> None:
        self.name = "this process"
        self.account = Ledger(sys.maxsize).open(self._ignore)

    def wake(self) -> None: ...

    def deliver(self, reply: bytes) -> None: ...

    def has_time(self) -> bool:
        return True

    def wake_after(self, seconds: float) -> None: ...

    def _ignore(self, reason: str) -> None: ...


class Loopback(Pipelined):
    """An executor for all threads of this process: `run` carries out their calls one at a time.
    Where a refusal, or an exception that is no answer, ends a conversation, the next command begins
    another."""

    def __init__(
        self,
        new_client: Callable[[], Session],
        new_server: Callable[[], Conversation],
        run: Callable[[Callable[[], List[object]]], List[object]],
    ) -> None:
        self._new_client = new_client
        self._new_server = new_server
        self._run = run
        self._begin()

    def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place. Raises `RuntimeError`
        within another call, as from what an argument's conversion runs."""
        return self._run(partial(self._execute_all, commands))

    def _execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        outcomes = self._converse(commands)
        while len(outcomes) < len(commands):
            outcomes += self._converse(commands[len(outcomes) :])
        return outcomes

    def _begin(self) -> None:
        self._client = self._new_client()
        self._server = self._new_server()

    def _converse(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The outcomes of the commands, or of the first of them up to the end of the
        conversation."""
        outcomes: List[object] = []
        try:
            for piece in self._client.send(commands):
                outcomes += self._client.receive_data(self._server.receive(piece))
                while self._server.wants in _GOES_ON:
                    outcomes += self._client.receive_data(self._server.advance())
                if self._server.wants is Wants.END:
                    outcomes += self._client.receive_eof()
                    self._end()
                    break
        except BaseException:
            self._end()
            raise
        return outcomes

    def _end(self) -> None:
        self._server.close()
        self._begin()

    def close(self) -> None:
        """Does nothing: no resource is open."""
