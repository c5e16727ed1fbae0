"""The client for asyncio.

Rule: the same methods as `Client`, from the same list, each of them awaited.
"""

from __future__ import annotations

import inspect
from typing import (
    TYPE_CHECKING,
    Any,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Type,
    TypeVar,
    Union,
    overload,
)

from adapters.client.awaited import AtOnce
from application.commands import Command
from application.ports import AsyncExecutor
from domain.errors import KvError, TooLarge
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import ClientOptions, client_settings
from entrypoints.library import caching
from entrypoints.library.buffers import AsyncPipeline, as_batch, from_batch
from entrypoints.library.client import address_of
from entrypoints.library.limiter import AsyncRateLimiter
from entrypoints.library.locks import AsyncLock
from entrypoints.library.methods import AwaitedMethods
from entrypoints.library.parts import Parts
from entrypoints.library.requests import Request
from entrypoints.library.runtime import AsyncioRuntime
from entrypoints.library.senders import shortened

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Unpack

    P = ParamSpec("P")

T = TypeVar("T")
_MISSING: Any = object()


class AsyncClient(AwaitedMethods):
    """A store on a server, with a method for each command. Safe to share between tasks of a loop.

    It takes what `Client` takes, except `network`, and raises what that raises.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: Optional[int] = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """See `Client`."""
        if "network" in options:
            raise TypeError("asyncio is the network; there is no such option")
        settings = client_settings(host, port, options)
        container = ClientContainer()
        container.config.from_dict({**settings, "values": "objects"})
        self._use(container.asyncio_executor(), address_of(settings))

    def _use(self, executor: AsyncExecutor, address: str) -> None:
        self._executor = executor
        self._address = address
        self._runtime = AsyncioRuntime(self)

    @classmethod
    def local(cls) -> AsyncClient:
        """A client of a store of its own in this process, without a server; see `Client.local`."""
        from entrypoints.local_container import LocalContainer

        client = cls.__new__(cls)
        client._use(AtOnce(LocalContainer().executor()), "local")
        return client

    async def keys(self, prefix: str = "", page: int = 1000) -> AsyncIterator[str]:
        """Iterates over the keys that begin with `prefix`, `page` of them a request; see `scan`."""
        async for keys in self._pages(prefix, page):
            for key in keys:
                yield key

    async def items(
        self, prefix: str = "", page: int = 1000, *, decode_as: Any = Any
    ) -> AsyncIterator[Tuple[str, Any]]:
        """Iterates over keys and values, those of `page` keys a request, or of as many as fit into
        a reply; a key that is removed meanwhile is left out."""
        async for keys in self._pages(prefix, page):
            parts = Parts(keys)
            for part in parts:
                try:
                    found = await self.mget(part, decode_as=decode_as)
                except TooLarge:
                    if not parts.halve(part):
                        raise
                else:
                    for item in found.items():
                        yield item

    async def values(
        self, prefix: str = "", page: int = 1000, *, decode_as: Any = Any
    ) -> AsyncIterator[Any]:
        """Iterates over the values; see `items`."""
        async for _, value in self.items(prefix, page, decode_as=decode_as):
            yield value

    async def _pages(self, prefix: str, page: int) -> AsyncIterator[List[str]]:
        cursor: Optional[str] = None
        while True:
            keys, cursor = await self.scan(prefix, cursor, page)
            yield keys
            if cursor is None:
                return

    @overload
    async def pop(self, key: str) -> Any: ...
    @overload
    async def pop(self, key: str, default: Any) -> Any: ...
    async def pop(self, key: str, default: Any = ...) -> Any:
        """Removes `key` and returns its value; when it is missing, returns `default` or raises
        `KeyError`."""
        value = await self.getdel(key, _MISSING if default is ... else default)
        if value is _MISSING:
            raise KeyError(key)
        return value

    async def setdefault(
        self, key: str, default: object = None, *, ttl: Optional[float] = None
    ) -> Any:
        """Stores `default` at `key` if it is missing; returns the value that is then there."""
        async with self.batch() as batch:
            batch.set(key, default, ttl=ttl, if_="absent")
            value = batch.get(key)
        return value.result

    async def update(
        self,
        items: Union[Mapping[str, object], Iterable[Tuple[str, object]]],
        *,
        ttl: Optional[float] = None,
    ) -> None:
        """Stores every value at its key, all at once; see `mset`."""
        await self.mset(dict(items), ttl=ttl)

    async def get_or_set(
        self,
        key: str,
        make: Callable[[], Union[Awaitable[object], object]],
        *,
        ttl: Optional[float] = None,
    ) -> Any:
        """Returns the value at `key`; when it is missing, stores the result of `make` first, which
        may be a coroutine function, unless another client is faster."""
        value = await self.get(key, _MISSING)
        if value is not _MISSING:
            return value
        made = make()
        return await self.setdefault(
            key, await made if inspect.isawaitable(made) else made, ttl=ttl
        )

    def pipeline(self) -> AsyncPipeline:
        """Commands sent without waiting for each reply. In an `async with` block, sent at its
        end."""
        return AsyncPipeline(self._executor.execute_all)

    def batch(self) -> AsyncPipeline:
        """Commands that run all or nothing, with no other client's in between. In an `async with`
        block, sent at its end."""
        return AsyncPipeline(self._run_batch)

    def lock(self, name: str, ttl: float = 30.0, *, renew: bool = False) -> AsyncLock:
        """A lock over all clients of the server; see `AsyncLock`."""
        return AsyncLock(self, name, ttl, renew=renew)

    def limiter(self, name: str, limit: int, per: float) -> AsyncRateLimiter:
        """A rate limiter over all clients of the server; see `AsyncRateLimiter`."""
        return AsyncRateLimiter(self, name, limit, per)

    def cached(
        self,
        ttl: float,
        *,
        name: str = "",
        key: Optional[Callable[..., Any]] = None,
        decode_as: Any = Any,
        lock_timeout: float = 10.0,
    ) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], caching.AsyncCachedFunction[P, T]]:
        """Keeps the results of an `async def` function on the server; see `kvjson.cached`."""
        return caching.cached(
            self, ttl, name=name, key=key, decode_as=decode_as, lock_timeout=lock_timeout
        )

    async def close(self) -> None:
        """Closes the connections; the next command opens one again."""
        self._executor.close()

    async def _send(self, request: Request[T]) -> T:
        try:
            return request.decode(await self._executor.execute(request.command))
        except KvError as error:
            raise shortened(error) from error.__cause__

    async def _run_batch(self, sent: Sequence[Command[Any]]) -> List[object]:
        (outcome,) = await self._executor.execute_all([as_batch(sent)])
        return from_batch(outcome)

    def __aiter__(self) -> AsyncIterator[str]:
        return self.keys()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], *_: Any) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address}>"
