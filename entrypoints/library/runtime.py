"""The interface of recipes to the kind of program they run in: threads, greenlets, or asyncio's
tasks.

Rule: a recipe is written once, as coroutines over a `Runtime`. Where calls block, none of them
ever waits for a loop, and `finish` runs it to its end in one step.
"""

from __future__ import annotations

import _thread
import asyncio
import math
import queue
import random
import time
from functools import partial
from typing import Any, Awaitable, Callable, Coroutine, Optional, Protocol, Set, TypeVar, cast

import greenlet

from domain.errors import KvError
from entrypoints.library.requests import Request
from entrypoints.library.senders import AwaitedSender, BlockingSender
from entrypoints.socket_apis import new_queue

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, bool]]
"""Something to do again and again; False when there is no more to do."""

MAX_BREAKS = 10
"""How many times a clean-up is begun, at the most."""

MAX_POLL_INTERVAL = 0.05
"""Seconds between two polls of what another client holds, at the most; half of it is random."""


class Runtime(Protocol):
    """How to send, to wait, and to work in the background."""

    async def send(self, request: Request[T]) -> T:
        """The request's result; raises the `KvError` it was refused with."""
        ...

    async def settle(self) -> None:
        """Waits until what was sent by requests that something broke off has been executed, or
        never will be."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleeps for so many seconds; others run meanwhile."""
        ...

    clock: Callable[[], float]
    """Seconds that only grow."""

    def holder(self) -> Any:
        """The caller's thread, greenlet or task, as an object that can be weakly referenced."""
        ...

    def has_ended(self, holder: Any) -> bool:
        """Whether that thread, greenlet or task has ended."""
        ...

    def repeat(self, interval: float, work: Work) -> Callable[[], None]:
        """Does `work` each `interval` seconds until it returns False; returns a function that
        ends it earlier."""
        ...


class BlockingRuntime:
    """Threads; where gevent has patched the standard library, these are greenlets."""

    def __init__(self, client: BlockingSender, sleep: Callable[[float], object]) -> None:
        self._client = client
        self._sleep = sleep
        self.clock = time.monotonic

    async def send(self, request: Request[T]) -> T:
        return self._client._send(request)

    async def settle(self) -> None:
        self._client._settle()

    async def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    def holder(self) -> Any:
        return greenlet.getcurrent()

    def has_ended(self, holder: Any) -> bool:
        return bool(holder.dead)

    def repeat(self, interval: float, work: Work) -> Callable[[], None]:
        stopped = self._new_queue()  # an event has a lock, which the handler of a signal may leave

        def run() -> None:
            goes_on = True
            while goes_on:
                try:
                    stopped.get(timeout=interval)
                    return
                except queue.Empty:
                    goes_on = finish(work())

        self._spawn(run)
        return partial(stopped.put, None)

    def _new_queue(self) -> Any:
        return new_queue()

    def _spawn(self, run: Callable[[], None]) -> None:
        # `threading.Thread` waits for it to start, which the handler of a signal may break off.
        _thread.start_new_thread(run, ())


class GeventRuntime(BlockingRuntime):
    """Greenlets, where the standard library is as it was."""

    def _new_queue(self) -> Any:
        import gevent.queue

        return gevent.queue.Queue()

    def _spawn(self, run: Callable[[], None]) -> None:
        import gevent

        gevent.spawn(run)


class AsyncioRuntime:
    """Tasks of an event loop."""

    def __init__(self, client: AwaitedSender) -> None:
        self._client = client
        self._left: Set[asyncio.Future[Any]] = set()
        """What sends requests whose callers were cancelled."""
        self.clock = time.monotonic

    async def send(self, request: Request[T]) -> T:
        """A task of its own sends it, which goes on when the caller is cancelled."""
        sending = asyncio.ensure_future(self._client._send(request))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            self._left.add(sending)
            sending.add_done_callback(self._forget)
            raise

    async def settle(self) -> None:
        loop = asyncio.get_running_loop()
        left = [sending for sending in self._left if sending.get_loop() is loop]
        if left:
            await asyncio.wait(left)

    def _forget(self, sent: asyncio.Future[Any]) -> None:
        self._left.discard(sent)
        if not sent.cancelled():
            sent.exception()  # nobody awaits it any more

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def holder(self) -> Any:
        try:
            return asyncio.current_task() or self
        except RuntimeError:  # no event loop runs, as when a program inspects a lock
            return self

    def has_ended(self, holder: Any) -> bool:
        return holder is not self and bool(holder.done())

    def repeat(self, interval: float, work: Work) -> Callable[[], None]:
        async def run() -> None:
            await asyncio.sleep(interval)
            while await work():
                await asyncio.sleep(interval)

        task = asyncio.ensure_future(run())
        return lambda: cast(None, task.cancel())


def finish(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for no event loop. It calls nothing else, since the
    handler of a signal may run, and raise, with each call."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("a blocking call waits for an event loop")


async def cleaned_up_if_broken_off(
    runtime: Runtime, work: Awaitable[T], clean_up: Callable[[], Awaitable[object]]
) -> T:
    """The result of `work`. When something breaks it off from outside, such as a cancellation, or
    an exception that the handler of a signal raises, it is cleaned up first, once nothing that it
    has sent can come after that."""
    try:
        return await work
    except (KvError, GeneratorExit):
        raise
    except BaseException:
        await cleaned_up(runtime, clean_up)
        raise


async def cleaned_up(runtime: Runtime, clean_up: Callable[[], Awaitable[object]]) -> None:
    """Cleans up, once nothing that was sent can come after that; again when something breaks it
    off, such as a second cancellation."""
    for _ in range(MAX_BREAKS):
        try:
            await runtime.settle()
            await clean_up()
            return
        except (KvError, GeneratorExit):
            raise
        except BaseException:  # noqa: BLE001 - what broke off the work itself is raised
            continue


async def pause(runtime: Runtime) -> None:
    """Waits until the next poll."""
    await runtime.sleep(random.uniform(MAX_POLL_INTERVAL / 2, MAX_POLL_INTERVAL))


def deadline(runtime: Runtime, timeout: Any) -> Optional[float]:
    """When `timeout` seconds from now are over, by the runtime's clock; None is never."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or math.isnan(timeout):
        raise ValueError(f"timeout={timeout!r:.100} is not a number of seconds")
    return runtime.clock() + timeout
