"""Many callers of one client at the same time, in each kind of program.

Rule: what a caller does is written once, with `await` before each command; where calls wait by
themselves, nothing is left to be awaited.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Callable, Coroutine, List, NamedTuple, Sequence, TypeVar, cast

import gevent
from kvjson import AsyncClient, Client

from tests.library.kinds import OnLoop
from tests.support import TIMEOUT

T = TypeVar("T")
Script = Callable[[AsyncClient], Coroutine[Any, Any, T]]


class Programs(NamedTuple):
    """Programs of one kind, each with a client of its own, and how to let work of theirs run
    together."""

    clients: List[Client]
    together: Callable[[Sequence[Callable[[], Any]]], List[Any]]


def at_once(client: Client, scripts: Sequence[Script[T]]) -> List[T]:
    """What comes of each, with a caller for each of them: a thread, a greenlet or a task."""
    if isinstance(client, OnLoop):
        return cast(List[T], client.until_done(_gathered([each(client.inner) for each in scripts])))
    works = [partial(_run, script, client) for script in scripts]
    return in_greenlets(works) if client.sleep is gevent.sleep else in_threads(works)


def in_threads(works: Sequence[Callable[[], T]]) -> List[T]:
    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(TIMEOUT) for future in [pool.submit(work) for work in works]]


def in_greenlets(works: Sequence[Callable[[], T]]) -> List[T]:
    spawned = [gevent.spawn(work) for work in works]
    gevent.joinall(spawned, timeout=TIMEOUT, raise_error=True)
    return [greenlet.get(block=False) for greenlet in spawned]


class _Prompt:
    """A client with calls that wait, and give what need not be waited for."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(self._client, name)(*args, **kwargs)

        return call


def _run(script: Script[T], client: Client) -> T:
    try:
        script(cast(AsyncClient, _Prompt(client))).send(None)
    except StopIteration as end:
        return cast(T, end.value)
    raise AssertionError("a script waited for something else than a command")


async def _gathered(works: Sequence[Coroutine[Any, Any, T]]) -> List[T]:
    return list(await asyncio.gather(*works))
