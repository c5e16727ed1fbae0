"""The kinds of clients and of programs that the library serves, made to look alike for tests."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import Any, Callable, ContextManager, Dict, Iterator, List, Tuple, Type, cast

from kvjson import AsyncClient, Client

from application.commands import COMMANDS, Auth, Batch, Command, name_of
from tests.support import TIMEOUT

Kind = Callable[..., ContextManager[Client]]
"""Makes a client for a port and options, and closes it."""

CALLS: Dict[str, Tuple[Any, ...]] = {
    "get": ("k",),
    "set": ("k", 1),
    "delete": ("k",),
    "flush": (),
    "mget": (["k"],),
    "mset": ({"k": 1},),
    "mdelete": (["k"],),
    "exists": ("k",),
    "getset": ("k", 1),
    "getdel": ("k",),
    "incr": ("n",),
    "ttl": ("k",),
    "expire": ("k", 60),
    "persist": ("k",),
    "count": (),
    "scan": (),
    "ping": (),
    "info": (),
}
"""Arguments to call each method with that stands for a command."""

METHODS: Dict[str, Type[Command[Any]]] = {
    name_of(kind).lower(): kind for kind in COMMANDS if kind not in (Batch, Auth)
}
"""The command that each of them stands for."""


class OnLoop:
    """What belongs to asyncio, with calls that wait: each runs on the event loop until it is done.

    A result that can itself be awaited, such as a pipeline, is made to wait as well.
    """

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.inner, name)
        if inspect.isasyncgenfunction(member):
            return lambda *args, **kwargs: self.until_done(_collected(member(*args, **kwargs)))
        if inspect.iscoroutinefunction(member):
            return lambda *args, **kwargs: self.until_done(member(*args, **kwargs))
        if name in ("pipeline", "batch", "lock", "limiter"):
            return lambda *args, **kwargs: OnLoop(member(*args, **kwargs), self.loop)
        return member

    def __enter__(self) -> OnLoop:
        self.until_done(self.inner.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self.until_done(self.inner.__aexit__(*error))

    def until_done(self, work: Any) -> Any:
        """What comes of something to be awaited."""
        return self.loop.run_until_complete(asyncio.wait_for(work, TIMEOUT))


async def _collected(results: Any) -> List[Any]:
    return [result async for result in results]


@contextlib.contextmanager
def threads(port: int, **options: Any) -> Iterator[Client]:
    """A client for threads."""
    with Client(port=port or None, **{"timeout": TIMEOUT, **options}) as client:
        yield client


@contextlib.contextmanager
def greenlets(port: int, **options: Any) -> Iterator[Client]:
    """A client for greenlets, where the standard library is as it was."""
    with Client(port=port or None, network="gevent", **{"timeout": TIMEOUT, **options}) as client:
        yield client


@contextlib.contextmanager
def tasks(port: int, **options: Any) -> Iterator[Client]:
    """A client for asyncio's tasks, in the clothes of one whose calls wait."""
    loop = asyncio.new_event_loop()
    with contextlib.closing(loop):
        made = OnLoop(AsyncClient(port=port or None, **{"timeout": TIMEOUT, **options}), loop)
        with made:
            yield cast(Client, made)


@contextlib.contextmanager
def local() -> Iterator[Client]:
    """A client of a store in this process."""
    with Client.local() as client:
        yield client
