"""A network that fails when it is told to: a TCP proxy between clients and a server.

Rule: each piece that a client sends, which in these tests is a request or some of them, meets the
next of the faults in line, or none when the line is empty.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections import deque
from typing import Callable, Deque, Iterator, List, NamedTuple

from tests.support import TIMEOUT

READ_SIZE = 64 * 1024


class Link(NamedTuple):
    """A client's connection, and the one to the server that was made for it."""

    client: socket.socket
    server: socket.socket

    def ask(self, request: bytes) -> bytes:
        """What the server answers."""
        self.server.sendall(request)
        return self.server.recv(READ_SIZE)


class Cut(Exception):
    """The link is gone, on both sides."""


Fault = Callable[[Link, bytes], None]
"""Done with a request instead of passing it on; raises `Cut` when the link does not outlive it."""


def passed_on(link: Link, request: bytes) -> None:
    link.server.sendall(request)


def request_lost(link: Link, request: bytes) -> None:
    raise Cut


def request_cut(link: Link, request: bytes) -> None:
    link.server.sendall(request[: len(request) // 2])
    raise Cut


def reply_lost(link: Link, request: bytes) -> None:
    link.ask(request)
    raise Cut


def reply_cut(link: Link, request: bytes) -> None:
    reply = link.ask(request)
    link.client.sendall(reply[: len(reply) // 2])
    raise Cut


def reset(link: Link, request: bytes) -> None:
    """Data in transit is lost as well."""
    link.ask(request)
    link.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise Cut


class Proxy:
    """Listens on a port of this machine for what listens on another."""

    def __init__(self, target: int) -> None:
        self.faults: Deque[Fault] = deque()
        self.accepted = 0
        """How many connections there were."""
        self.requests = 0
        """How many pieces were sent by clients."""
        self._target = target
        self._released = threading.Event()
        self._clients: List[socket.socket] = []
        self._carriers: List[threading.Thread] = []
        self._listen(0)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the proxy and all of its connections."""
        self._stop_listening()
        self.release()
        for sock in self._clients:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for carrier in self._carriers:
            carrier.join(TIMEOUT)

    def hold(self, then: Callable[[], object] = lambda: None) -> None:
        """Carry out the next request and keep its reply until `release`; `then` is called when
        it is kept."""

        def held(link: Link, request: bytes) -> None:
            reply = link.ask(request)
            then()
            self._released.wait(TIMEOUT)
            link.client.sendall(reply)

        self._released.clear()
        self.faults.append(held)

    def release(self) -> None:
        """Let the replies go that are kept."""
        self._released.set()

    def delay(self, then: Callable[[], object]) -> threading.Event:
        """Call `then` when the next request has come, and carry it out some time later, which sets
        the event."""
        is_done = threading.Event()

        def delayed(link: Link, request: bytes) -> None:
            then()
            time.sleep(0.1)
            reply = link.ask(request)
            is_done.set()
            with contextlib.suppress(OSError):
                link.client.sendall(reply)

        self.faults.append(delayed)
        return is_done

    def drip(self, pause: float) -> None:
        """Give the reply to the next request byte by byte."""

        def dripped(link: Link, request: bytes) -> None:
            for byte in link.ask(request):
                self._released.wait(pause)
                link.client.sendall(bytes([byte]))

        self._released.clear()
        self.faults.append(dripped)

    def gather(self, count: int) -> None:
        """Let the next `count` requests wait until they are all there, each on its connection."""
        barrier = threading.Barrier(count)

        def gathered(link: Link, request: bytes) -> None:
            barrier.wait(TIMEOUT)
            passed_on(link, request)

        self.faults.extend([gathered] * count)

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Meanwhile the port has no listener."""
        self._stop_listening()
        try:
            yield
        finally:
            self._listen(self.port)

    def _listen(self, port: int) -> None:
        listener = socket.create_server(("127.0.0.1", port))
        self.port: int = listener.getsockname()[1]
        self._listening = True
        self._accepter = threading.Thread(target=self._accept, args=(listener,))
        self._accepter.start()

    def _stop_listening(self) -> None:
        self._listening = False
        with contextlib.suppress(OSError):  # the connection wakes who waits for one
            socket.create_connection(("127.0.0.1", self.port), TIMEOUT).close()
        self._accepter.join(TIMEOUT)

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                sock = listener.accept()[0]
                if not self._listening:
                    sock.close()
                    return
                self.accepted += 1
                self._clients.append(sock)
                self._carriers.append(threading.Thread(target=self._carry, args=(sock,)))
                self._carriers[-1].start()

    def _carry(self, client: socket.socket) -> None:
        target = ("127.0.0.1", self._target)
        gone = contextlib.suppress(OSError, Cut)
        with client, gone, socket.create_connection(target, TIMEOUT) as server:
            self._exchange(Link(client, server))

    def _exchange(self, link: Link) -> None:
        while True:
            source = select.select(link, [], [])[0][0]
            data = source.recv(READ_SIZE)
            if not data:
                return
            if source is link.server:
                link.client.sendall(data)
            else:
                self.requests += 1
                fault = self.faults.popleft() if self.faults else passed_on
                fault(link, data)
