"""The connections on which something arrives at the same moment, served together.

Rule: a look at the sockets only notes which of them are readable. Then each step is taken for many
of them before the next, so that it finds its code and data in the processor's caches: what arrived
is read, then it is executed, then the replies are sent. Of a few connections each is served alone,
so that its client works while the next is served.
"""

from __future__ import annotations

from itertools import compress
from typing import Any, Callable, List, Protocol, Sequence

from application.ports import Conversation, Received
from application.together import Together

MOST, MOST_BYTES = 64, 96 * 1024
"""How many connections are served together, at the most, and how much may have arrived for them:
the first waits for all of it."""

FEW = 8
"""Up to so many are served one by one."""

_AFTER_SOCKETS = -1
"""Of libev's priorities, the next after that of the sockets."""


class Readable(Protocol):
    """A connection that is served together with others. What a step raises is for `fail`."""

    conversation: Conversation

    def serve(self) -> None:
        """Reads, and does whatever follows."""
        ...

    def read(self, max_bytes: int) -> bytes:
        """What arrived. Nothing when it is longer, or otherwise unusual, and was served."""
        ...

    def receive(self, data: bytes, decoded: Received) -> bytes:
        """Has its conversation receive what was read; returns what to send, unless it did more."""
        ...

    def send(self, data: bytes) -> None:
        """Sends, and waits for whatever its conversation wants then."""
        ...

    def fail(self, error: Exception) -> None:
        """Closes it, because of a bug, or since its client is gone."""
        ...


class Arrivals:
    """Serves the connections that are noted. `loop` is gevent's."""

    def __init__(self, loop: Any, together: Together[Any]) -> None:
        self._together = together
        self._readable: List[Readable] = []
        self.note: Callable[[Readable], None] = self._readable.append
        """Has a connection served after the look at the sockets. It runs no code of Python's."""
        self._looked = loop.check(ref=False, priority=_AFTER_SOCKETS)
        self._looked.start(self._serve)

    def stop(self) -> None:
        """Serves no more."""
        self._looked.stop()

    def _serve(self) -> None:
        readable = self._readable
        while len(readable) > FEW:
            some = readable[:MOST]
            del readable[:MOST]
            inputs = self._read(some)
            if not all(inputs):
                some, inputs = [*compress(some, inputs)], [*filter(None, inputs)]
            self._serve_together(some, inputs)
        for connection in readable:
            try:
                connection.serve()
            except Exception as error:  # noqa: BLE001 - the outermost edge, as each below
                connection.fail(error)
        readable.clear()

    def _serve_together(self, connections: Sequence[Readable], inputs: Sequence[bytes]) -> None:
        if len(inputs) > FEW and sum(map(len, inputs)) > MOST_BYTES:
            half = len(inputs) // 2
            self._serve_together(connections[:half], inputs[:half])
            self._serve_together(connections[half:], inputs[half:])
            return
        conversations = [connection.conversation for connection in connections]
        try:
            all_received = self._together.receive(conversations, inputs)
        except Exception as error:  # noqa: BLE001 - whatever was executed, nobody knows what to tell
            for connection in connections:
                connection.fail(error)
            return
        replies = [
            received if type(received) is bytes else _reply(connection, data, received)
            for connection, data, received in zip(connections, inputs, all_received)
        ]
        for connection, reply in zip(connections, replies):
            if reply:
                try:
                    connection.send(reply)
                except Exception as error:  # noqa: BLE001
                    connection.fail(error)

    def _read(self, connections: Sequence[Readable]) -> Sequence[bytes]:
        """What arrived for each; nothing for those that were served otherwise."""
        max_bytes = self._together.max_bytes
        inputs: List[bytes] = []
        for connection in connections:
            try:
                data = connection.read(max_bytes)
            except Exception as error:  # noqa: BLE001
                connection.fail(error)
                data = b""
            inputs.append(data)
        return inputs


def _reply(connection: Readable, data: bytes, received: Received) -> bytes:
    """What a connection is to send for `data`, which it has to look at itself."""
    try:
        return connection.receive(data, received)
    except Exception as error:  # noqa: BLE001
        connection.fail(error)
        return b""
