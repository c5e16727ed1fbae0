"""One client's connection, served by callbacks of the event loop.

Rule: it reads what there is, hands it to the conversation and sends what comes back; while output
is unsent, or the conversation wants anything but input, it reads nothing more.

It has no greenlet of its own, which would cost more than a small request does. Where executing may
block, as with a store on another machine, `GreenletConnection` does the same with a greenlet a
turn.

A connection that is new, whose last read was full or whose last turn left something to do takes
the next ones from a queue; all others are served as soon as their sockets are readable, many of
them together (`arrivals`). Time-outs cost a busy connection nothing: it sets a flag when bytes
move, and a periodic sweep looks at them.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import socket
from functools import partial
from typing import Any, Callable, NamedTuple, Union

from msgspec import UNSET

from adapters.gevent_tcp.arrivals import Arrivals
from adapters.gevent_tcp.timeouts import Duty, Timeouts
from adapters.gevent_tcp.turns import Turns
from adapters.gevent_tcp.unsent import NO_BYTES, kept_by, rest_of
from adapters.gevent_tcp.watchers import NOTHING, READ, WRITE, Watchers
from application.ledger import Ledger
from application.limits import Limits
from application.ports import Conversation, Link, Received, Wants

log = logging.getLogger(__name__)

FIRST_READ, SMALL_READ, LARGE_READ = 448, 128 * 1024, 1024 * 1024
"""Bytes asked for by one read: the first ones, and those after a read that came back full. The
first are of a size that Python keeps in stock, in place of asking the system's allocator."""

FEW_BYTES = 16 * 1024
"""Up to so many bytes were few for a large read, after which a small one is enough."""

_INPUT, _WAKE = Wants.INPUT, Wants.WAKE
"""A global name is read in a quarter of the time of an enumeration's member."""

_GOES_ON_READING = (_INPUT, _WAKE)
"""One that is parked may keep the watcher of its input: most clients send nothing meanwhile."""


class Host(NamedTuple):
    """The state that the connections of a server share. `loop` is gevent's."""

    loop: Any
    turns: Turns
    arrivals: Arrivals
    limits: Limits
    ledger: Ledger
    new_conversation: Callable[[Link], Conversation]
    on_close: Callable[[Connection], None]


class Phase(enum.Enum):
    """Where a connection is in its life."""

    SERVING = "requests are read and answered"
    ENDING = "what has arrived is answered, then it is closed"
    LINGERING = "the conversation is over, and the client has not hung up yet"
    CLOSED = "the socket is closed"


class Connection:
    """Moves bytes between one client's socket and its conversation."""

    __slots__ = (
        "_at_eof",
        "_host",
        "_io",
        "_is_busy",
        "_is_queued",
        "_is_woken",
        "_phase",
        "_read_size",
        "_sock",
        "_timeouts",
        "_unsent",
        "account",
        "conversation",
        "name",
    )

    def __init__(self, sock: socket.socket, name: str, host: Host) -> None:
        self.name = name
        self.account = host.ledger.open(self._abort_soon)
        self._sock = sock
        self._host = host
        self._io = Watchers(host.loop, sock.fileno())
        self._timeouts = Timeouts(host.limits)
        self._phase = Phase.SERVING
        self._read_size = FIRST_READ
        self._unsent = NO_BYTES
        self._at_eof = False
        self._is_busy = True  # until a read shows that it is not
        self._is_queued = self._is_woken = False
        self.conversation: Conversation = host.new_conversation(self)

    def start(self) -> None:
        """Serves the client from the next turn of the loop on."""
        self._update()

    def end(self) -> None:
        """Answers the requests that have arrived, then closes."""
        self._phase = Phase.ENDING
        self._update()

    def close(self) -> None:
        """Frees the socket at once."""
        if self._phase is Phase.CLOSED:
            return
        self._phase = Phase.CLOSED
        self._io.close()
        self._sock.close()
        self.conversation.close()
        self.conversation = _OVER  # which would refer to this connection
        self.account.close()
        self._unsent = NO_BYTES
        self._host.on_close(self)

    def wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._host.loop.run_callback(self._on_woken)

    def has_time(self) -> bool:
        return self._host.turns.has_time()

    def deliver(self, reply: bytes) -> None:
        try:
            self.send(reply)
        except Exception as error:  # noqa: BLE001 - as in `_run_step`, with one call fewer
            self.fail(error)

    def wake_after(self, seconds: float) -> None:
        self._io.after(seconds, self.wake)

    def check_timeouts(self, now: float) -> None:
        """Ends the connection if it has taken too long at `now`, in monotonic seconds."""
        if self._phase is not Phase.CLOSED:
            self._run_step(self._check_timeouts, now)

    # Turns.

    def _run_step(self, step: Callable[..., None], *arguments: Any) -> None:
        """Runs a step, so that a bug in one connection harms no other. Every step passes here, but
        for those that `arrivals` takes."""
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - the outermost edge
            self.fail(error)

    _dispatch = _run_step
    """The same for a step that may execute commands."""

    def _on_woken(self) -> None:
        """Takes the turn at once, if it can: what it waited for took its time already."""
        if self._is_queued:
            return
        if self.conversation.may_take_long and not self._host.turns.has_time():
            self._queue()
        else:
            self._dispatch(self._advance)

    def _take_turn(self) -> None:
        self._is_queued = False
        if self.conversation.wants is not Wants.INPUT or self._is_woken:
            self._advance()
        elif not self._unsent:
            self._is_busy = False
            self.serve()
            if self._phase is Phase.ENDING:
                self._look_for_end()

    def _look_for_end(self) -> None:
        """Whatever comes once all was read has not arrived in time."""
        if not self._is_busy and self.conversation.wants is not Wants.TURN:
            self._at_eof = True
            self._update()

    def _advance(self) -> None:
        if not self._unsent and self._phase is not Phase.CLOSED:
            self._is_woken = False
            self.send(self.conversation.advance())

    # Steps of those that are served together; see `arrivals.Readable`.

    def serve(self) -> None:
        wants = self.conversation.wants
        if self._unsent:
            return
        if wants is _WAKE:
            self._io.wait_for(NOTHING)
        elif wants is not _INPUT:
            return
        elif self._is_busy:
            self._queue()
        else:
            size = self._read_size
            try:
                data = self._sock.recv(size)
            except BlockingIOError:
                self._wait_for_input()
                return
            if 0 < len(data) < size < LARGE_READ:
                self._timeouts.had_activity = True
                self.send(self.conversation.receive(data))
            else:
                self._received(data)

    def read(self, max_bytes: int) -> bytes:
        if self._is_busy or self._unsent or self.conversation.wants is not _INPUT:
            self.serve()
            return b""
        size = self._read_size
        try:
            data = self._sock.recv(size)
        except BlockingIOError:
            return b""
        if 0 < len(data) < size and len(data) <= max_bytes:
            self._timeouts.had_activity = True
            return data
        self._received(data)
        return b""

    def receive(self, data: bytes, decoded: Received) -> bytes:
        output = self.conversation.receive(data, decoded)
        if self.conversation.wants is _INPUT:
            return output
        self.send(output)
        return b""

    def send(self, data: Union[bytes, memoryview]) -> None:
        """What cannot be sent is kept."""
        try:
            sent = self._sock.send(data) if data else 0
        except BlockingIOError:
            sent = 0
        if (
            sent == len(data)
            and self._io.waits_for == READ
            and self.conversation.wants in _GOES_ON_READING
        ):
            return
        self._timeouts.had_activity = self._timeouts.had_activity or sent > 0
        unsent = rest_of(data, sent)
        self.account.change(kept_by(unsent) - kept_by(self._unsent))
        self._unsent = unsent
        self._update()

    def fail(self, error: Exception) -> None:
        if not isinstance(error, OSError):
            log.error("a connection was closed by a bug in the server", exc_info=error)
        self.close()

    def _received(self, data: bytes) -> None:
        """Takes any read, the last one and a full one among them."""
        size = self._read_size
        self._timeouts.had_activity = True
        if not data:
            self._at_eof = True
            self._update()
            return
        if len(data) == size or size == LARGE_READ:
            self._is_busy = len(data) == size  # there is more, most likely
            self._read_size = SMALL_READ if len(data) <= FEW_BYTES else LARGE_READ
        self.send(self.conversation.receive(data))

    def _write(self) -> None:
        self.send(self._unsent)

    # What comes next.

    def _update(self) -> None:
        """Waits for whatever the state of the conversation calls for next."""
        wants = self.conversation.wants
        if self._phase is Phase.CLOSED:
            return
        if self._unsent:
            self._io.wait_for(WRITE, self._dispatch, self._write)
        elif wants is Wants.END:
            self._hang_up()
        elif wants is Wants.TURN or self._is_woken:
            self._queue()
        elif wants is Wants.WAKE:
            if self._phase is not Phase.SERVING:
                self._io.wait_for(NOTHING)
        elif self._at_eof:
            self.close()
        elif self._is_busy or self._phase is Phase.ENDING:
            self._queue()
        else:
            self._wait_for_input()

    def _queue(self) -> None:
        self._io.wait_for(NOTHING)
        if not self._is_queued:
            self._is_queued = True
            step = partial(self._dispatch, self._take_turn)
            self._host.turns.add(step, self.conversation.may_take_long)

    def _wait_for_input(self) -> None:
        """Waits for input, after all that had arrived was read."""
        if self._phase is Phase.ENDING:
            self.close()
        else:
            self._await_input()

    def _await_input(self) -> None:
        self._io.wait_for(READ, self._host.arrivals.note, self)

    # The end.

    def _hang_up(self) -> None:
        """Closes so that the last reply arrives: not while the client still sends, for a while.

        A socket closed with unread data resets the connection, and the reply may be lost with it.
        """
        if self._phase is Phase.ENDING or self._at_eof:
            self.close()
            return
        if self._phase is Phase.SERVING:
            self._phase = Phase.LINGERING
            self._timeouts.had_activity = True
            self._sock.shutdown(socket.SHUT_WR)
            self._io.wait_for(NOTHING)
            self._io.wait_for(READ, self._run_step, self._discard)

    def _discard(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._at_eof = not self._sock.recv(SMALL_READ)
        self._update()

    def _abort_soon(self, reason: str) -> None:
        self._host.loop.run_callback(self._run_step, self._abort, reason)

    def _abort(self, reason: str) -> None:
        self.conversation.abort(reason)
        self.close()

    def _duty(self) -> Duty:
        if self._unsent:
            return Duty.TAKE_OUTPUT
        if self._phase is Phase.LINGERING:
            return Duty.HANG_UP
        if self.conversation.wants is Wants.TURN:
            return Duty.SERVER
        if self.conversation.partial_request_id:
            return Duty.SEND_REQUEST
        is_waiting = self.conversation.wants is Wants.WAKE or self.conversation.is_listening
        return Duty.SERVER if is_waiting else Duty.NOTHING

    def _check_timeouts(self, now: float) -> None:
        duty = self._duty()
        if not self._timeouts.is_over(now, duty, self.conversation.partial_request_id):
            return
        if duty is Duty.HANG_UP:
            self.close()
        elif duty is Duty.SEND_REQUEST:
            self.conversation.time_out()
            self._update()
        else:
            self._abort(_REASONS[duty].format(self._host.limits))


_REASONS = {
    Duty.TAKE_OUTPUT: "it took none of its replies for {0.send_timeout:g} s (send_timeout)",
    Duty.NOTHING: "it was idle for {0.idle_timeout:g} s (idle_timeout)",
}


class _Over(Conversation):
    """The conversation of a connection that is closed."""

    wants = Wants.END
    partial_request_id = 0
    is_listening = False
    may_take_long = False

    def receive(self, data: bytes, decoded: Received = UNSET) -> bytes:
        return b""

    def advance(self) -> bytes:
        return b""

    def time_out(self) -> None: ...

    def abort(self, reason: str) -> None: ...

    def close(self) -> None: ...


_OVER = _Over()
