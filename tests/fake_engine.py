"""A server that speaks Redis's protocol and replies what a test says."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import Callable, Iterator, List, Optional

from tests.support import TIMEOUT

Words = List[bytes]
Reply = Callable[[Words], Optional[bytes]]
"""Returns the bytes to send, None to close the connection."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = TIMEOUT

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, FakeEngine)
        with contextlib.suppress(OSError):
            while True:
                words = self._words()
                reply = server.reply(words) if words else None
                if reply is None:
                    return
                server.seen.append(words)
                self.connection.sendall(reply)

    def _words(self) -> Words:
        count = self.rfile.readline()[1:]
        return [self._word() for _ in range(int(count or 0))]

    def _word(self) -> bytes:
        size = int(self.rfile.readline()[1:])
        return self.rfile.read(size + 2)[:-2]


class FakeEngine(socketserver.ThreadingTCPServer):
    """Replies to each command what `reply` returns for its words."""

    daemon_threads = True
    block_on_close = False
    address_family = socket.AF_INET

    def __init__(self, reply: Reply) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply = reply
        self.seen: List[Words] = []
        self.port: int = self.server_address[1]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error."""


@contextlib.contextmanager
def fake_engine(reply: Reply) -> Iterator[FakeEngine]:
    """The server, in threads of its own."""
    with FakeEngine(reply) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(TIMEOUT)
