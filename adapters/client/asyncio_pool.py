"""Connections to one server that asyncio's tasks share.

Rule: as with threads: a connection is lent to one task at a time, and one that may still owe an
answer, after a time-out or because a task was cancelled, is closed and never used again.
"""

from __future__ import annotations

import asyncio
import select
import ssl
import time
from typing import (
    Any,
    Awaitable,
    Callable,
    Iterator,
    List,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    TypeVar,
    cast,
)

from application.commands import Auth, Command
from application.retries import may_repeat, pauses
from domain.errors import KvError, TimedOut, Unavailable, Unreachable

R = TypeVar("R")

READ_SIZE = 64 * 1024

RESTED = 0.5
"""Seconds without use after which a connection is looked at before it is used again."""

Streams = Tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Session(Protocol):
    """The conversation with a server, in bytes."""

    @property
    def owed(self) -> int:
        """How many replies are still to come to what was asked."""
        ...

    @property
    def may_be_over(self) -> bool:
        """Whether the server may hang up after what it has replied."""
        ...

    def ask(self, commands: Sequence[Command[Any]]) -> Iterator[bytes]:
        """What to send, in pieces; before the next piece, receive all that is owed."""
        ...

    def receive(self, data: bytes) -> List[object]:
        """The results and `KvError`s that `data` completes, in the order asked."""
        ...


class AsyncioConnection:
    """One connection, opened when first needed. Times are in seconds; 0 is for ever."""

    def __init__(
        self,
        host: str,
        port: int,
        connect_timeout: float,
        timeout: float,
        new_session: Callable[[], Session],
        tls: Callable[[], Optional[ssl.SSLContext]],
        password: str,
    ) -> None:
        self._address = (host, port)
        self._connect_timeout = connect_timeout or None
        self._timeout = timeout or None
        self._new_session = new_session
        self._tls = tls
        self._password = password
        self._streams: Optional[Streams] = None
        self._used = 0.0

    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        if self._streams and self._is_stale(self._streams):
            self.close()
        if self._streams is None:
            await self._open()
        try:
            outcomes = await self._exchange(commands)
            if self._session.may_be_over:
                self.close()
            self._used = time.monotonic()
            return outcomes
        except BaseException as error:
            self.close()
            if isinstance(error, (OSError, asyncio.TimeoutError)):
                raise self._explained(error) from error
            raise

    def close(self) -> None:
        """Hang up; the next command connects again."""
        if self._streams:
            self._streams[1].transport.abort()
            self._streams = None

    def _is_stale(self, streams: Streams) -> bool:
        """Whether the server has hung up meanwhile, which the loop may not have seen yet."""
        if time.monotonic() - self._used < RESTED:
            return False
        poll = select.poll()
        poll.register(streams[1].get_extra_info("socket").fileno(), select.POLLIN)
        return streams[0].at_eof() or bool(poll.poll(0))

    async def _open(self) -> None:
        try:
            connecting = asyncio.open_connection(*self._address, ssl=self._tls())
            self._streams = await _in_time(connecting, self._connect_timeout, _hang_up)
            self._session = self._new_session()
            if self._password:
                (outcome,) = await self._exchange((Auth(self._password),))
                if isinstance(outcome, KvError):
                    raise outcome
        except BaseException as error:
            self.close()
            kinds = (OSError, UnicodeError, asyncio.TimeoutError, Unavailable, TimedOut)
            if isinstance(error, kinds):
                raise Unreachable(str(self._explained(error))) from error
            raise

    async def _exchange(self, commands: Sequence[Command[Any]]) -> List[object]:
        assert self._streams
        reader, writer = self._streams
        outcomes: List[object] = []
        for piece in self._session.ask(commands):
            writer.write(piece)
            while self._session.owed:
                data = await self._read(reader)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                outcomes += self._session.receive(data)
        return outcomes

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        """What comes next. When nothing comes in time the connection is cut, which ends the wait;
        `asyncio.wait_for` would make a task of every read."""
        if self._timeout is None:
            return await reader.read(READ_SIZE)
        timer = asyncio.get_running_loop().call_later(self._timeout, self.close)
        try:
            data = await reader.read(READ_SIZE)
        finally:
            timer.cancel()
        if self._streams is None:
            raise asyncio.TimeoutError
        return data

    def _explained(self, error: BaseException) -> KvError:
        host, port = self._address
        if isinstance(error, asyncio.TimeoutError):
            return TimedOut(f"no answer from {host}:{port} in time")
        return Unavailable(f"{host}:{port}: {getattr(error, 'strerror', None) or error}")


class AsyncioPool:
    """Carries out commands over up to `size` connections; see `Pool` for the rest."""

    def __init__(
        self,
        new_connection: Callable[[], AsyncioConnection],
        size: int,
        attempts: int,
        wait: float,
        total: float,
    ) -> None:
        self._new_connection = new_connection
        self._size = size
        self._attempts = attempts
        self._wait = wait or None
        self._total = total or None
        self._idle: List[AsyncioConnection] = []
        self._room: Optional[asyncio.Semaphore] = None

    async def execute(self, command: Command[R]) -> R:
        """The command's result; raises as `Executor.execute` does."""
        outcome = (await self.execute_all((command,)))[0]
        if isinstance(outcome, KvError):
            raise outcome
        return cast(R, outcome)

    async def execute_all(self, commands: Sequence[Command[Any]]) -> List[object]:
        """The results in order, a refused command's `KvError` in its place."""
        if self._total is None:
            return await self._try(commands)
        try:
            return await _in_time(self._try(commands), self._total, _nothing)
        except asyncio.TimeoutError as error:
            raise TimedOut("no answer in time") from error

    def close(self) -> None:
        """Close the connections that are not in use; the next command opens a new one."""
        self._room = None
        self._let_go()

    def _let_go(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _try(self, commands: Sequence[Command[Any]]) -> List[object]:
        for pause in pauses(self._attempts):
            try:
                return await self._lend(commands)
            except Unavailable as error:
                if not may_repeat(commands, error):
                    raise
                await asyncio.sleep(pause)
        return await self._lend(commands)

    async def _lend(self, commands: Sequence[Command[Any]]) -> List[object]:
        if self._room is None:  # not before there is a loop: it belongs to one
            self._room = asyncio.Semaphore(self._size)
        room = self._room
        if room.locked():
            try:
                await _in_time(room.acquire(), self._wait, lambda _: room.release())
            except asyncio.TimeoutError as error:
                raise TimedOut(f"all {self._size} connections are in use") from error
        else:
            await room.acquire()
        connection = self._idle.pop() if self._idle else self._new_connection()
        try:
            return await connection.execute_all(commands)
        except Unavailable:
            self._let_go()
            raise
        finally:
            self._idle.append(connection)
            room.release()


async def _in_time(
    work: Awaitable[R], timeout: Optional[float], give_back: Callable[[R], object]
) -> R:
    """What `work` gives within `timeout` seconds; raises `asyncio.TimeoutError`.

    `asyncio.wait_for` may swallow a cancellation that comes together with the result (before Python
    3.12, bpo-37658). Here what comes to nobody any more is given back.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=timeout)
        if task.done():
            return task.result()
        raise asyncio.TimeoutError
    except (asyncio.CancelledError, asyncio.TimeoutError):
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and task.exception() is None:
            give_back(task.result())
        raise


def _hang_up(streams: Streams) -> None:
    streams[1].transport.abort()


def _nothing(result: object) -> None:
    """Gives nothing back."""
