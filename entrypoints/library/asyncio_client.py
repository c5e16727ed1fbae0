"""The client for asyncio.

Rule: the same methods as `Client`, from the same table, each of them awaited.
"""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    AsyncIterator,
    Callable,
    Coroutine,
    List,
    Optional,
    Sequence,
    Type,
    TypeVar,
)

from application.commands import Command
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import Settings, settings
from entrypoints.library import requests
from entrypoints.library.queues import AsyncPipeline, as_batch, from_batch
from entrypoints.library.requests import Request, method_of

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec, Unpack

    P = ParamSpec("P")

T = TypeVar("T")


def _awaited(
    make: Callable[P, Request[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """The method that makes this request, sends it and waits for the result."""

    @method_of(make)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        request = make(*args, **kwargs)
        return request.decode(await self._executor.execute(request.command))

    return method


class AsyncClient:
    """A store on a server, with a method for each command. Safe to share between tasks of a loop.

    It takes what `Client` takes, except `network`, and raises what that raises.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 7379, **options: Unpack[Settings]
    ) -> None:
        """See `Client`."""
        if "network" in options:
            raise TypeError("asyncio is the network; there is no such option")
        container = ClientContainer()
        container.config.from_dict(settings(host, port, options))
        self._executor = container.asyncio_executor()

    get = _awaited(requests.get)
    set = _awaited(requests.set)
    delete = _awaited(requests.delete)
    flush = _awaited(requests.flush)
    mget = _awaited(requests.mget)
    mset = _awaited(requests.mset)
    mdelete = _awaited(requests.mdelete)
    exists = _awaited(requests.exists)
    getset = _awaited(requests.getset)
    getdel = _awaited(requests.getdel)
    incr = _awaited(requests.incr)
    ttl = _awaited(requests.ttl)
    expire = _awaited(requests.expire)
    persist = _awaited(requests.persist)
    count = _awaited(requests.count)
    scan = _awaited(requests.scan)
    ping = _awaited(requests.ping)
    info = _awaited(requests.info)

    async def keys(self, prefix: str = "", page: int = 1000) -> AsyncIterator[str]:
        """The keys that begin with `prefix`, asked for `page` at a time; see `scan`."""
        cursor: Optional[str] = None
        while True:
            found, cursor = await self.scan(prefix, cursor, page)
            for key in found:
                yield key
            if cursor is None:
                return

    def __aiter__(self) -> AsyncIterator[str]:
        return self.keys()

    def pipeline(self) -> AsyncPipeline:
        """Commands sent without waiting for each reply. In an `async with` block, sent at its
        end."""
        return AsyncPipeline(self._executor.execute_all)

    def batch(self) -> AsyncPipeline:
        """Commands that run all or nothing, with nothing of others in between. In an `async with`
        block, sent at its end."""
        return AsyncPipeline(self._run_batch)

    async def close(self) -> None:
        """Close the connections; the next command opens one again."""
        self._executor.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], *_: Any) -> None:
        await self.close()

    async def _run_batch(self, sent: Sequence[Command[Any]]) -> List[object]:
        (replies,) = await self._executor.execute_all([as_batch(sent)])
        return from_batch(sent, replies)
