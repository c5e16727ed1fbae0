"""The client for programs whose calls block: threads, and greenlets on gevent.

Rule: its only logic is Python's conventions; every command is a request.
"""

from __future__ import annotations

import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
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

from application.commands import Command
from application.ports import Pipelined
from domain.errors import KvError, TooLarge
from entrypoints.address import ListenAddress
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import ClientOptions, client_settings
from entrypoints.library import caching
from entrypoints.library.buffers import Pipeline, as_batch, from_batch
from entrypoints.library.limiter import RateLimiter
from entrypoints.library.locks import Lock
from entrypoints.library.methods import BlockingMethods
from entrypoints.library.parts import Parts
from entrypoints.library.requests import Request
from entrypoints.library.runtime import BlockingRuntime, GeventRuntime
from entrypoints.library.senders import shortened

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Unpack

    P = ParamSpec("P")

T = TypeVar("T")
D = TypeVar("D")
_MISSING: Any = object()


def _sleep(seconds: float) -> None:
    """Gevent's sleep in a program that it has patched, however late."""
    time.sleep(seconds)


class Client(BlockingMethods):
    """A store on a server, or in this process, with a method for each command.

    Methods raise a `KvError`: what the server refused, `TimedOut`, or `Unavailable` when it cannot
    be reached. Safe to share between threads, and between greenlets.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: Optional[int] = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """Connects to nothing before the first command.

        `host` is a name, `host:port`, or an address, `kv://[:password@]host[:port]`, or
        `kvs://...` for TLS; `port` is 7379 by default. With `redis://...` the keys are in a Valkey
        or Redis server, and no server of ours is needed. `ClientOptions` explains the options.
        """
        settings = client_settings(host, port, options)
        container = ClientContainer()
        container.config.from_dict({**settings, "values": "objects"})
        runtime = GeventRuntime if settings["network"] == "gevent" else BlockingRuntime
        self._use(container.executor(), address_of(settings), runtime, container.network().sleep)

    def _use(
        self,
        executor: Pipelined,
        address: str,
        runtime: Type[BlockingRuntime] = BlockingRuntime,
        sleep: Callable[[float], object] = _sleep,
    ) -> None:
        self._executor = executor
        self._address = address
        self.sleep = sleep
        """Lets time pass in this kind of program."""
        self._runtime = runtime(self, sleep)

    @classmethod
    def local(cls) -> Client:
        """A client of a store of its own in this process, without a server.

        It behaves as a server's client does, and can be shared by threads.
        """
        from entrypoints.local_container import LocalContainer

        client = cls.__new__(cls)
        client._use(LocalContainer().executor(), "local")
        return client

    def keys(self, prefix: str = "", page: int = 1000) -> Iterator[str]:
        """Iterates over the keys that begin with `prefix`, `page` of them a request; see `scan`."""
        for keys in self._pages(prefix, page):
            yield from keys

    def items(
        self, prefix: str = "", page: int = 1000, *, decode_as: Any = Any
    ) -> Iterator[Tuple[str, Any]]:
        """Iterates over keys and values, those of `page` keys a request, or of as many as fit into
        a reply; a key that is removed meanwhile is left out."""
        for keys in self._pages(prefix, page):
            parts = Parts(keys)
            for part in parts:
                try:
                    found = self.mget(part, decode_as=decode_as)
                except TooLarge:
                    if not parts.halve(part):
                        raise
                else:
                    yield from found.items()

    def values(self, prefix: str = "", page: int = 1000, *, decode_as: Any = Any) -> Iterator[Any]:
        """Iterates over the values; see `items`."""
        for _, value in self.items(prefix, page, decode_as=decode_as):
            yield value

    def _pages(self, prefix: str, page: int) -> Iterator[List[str]]:
        cursor: Optional[str] = None
        while True:
            keys, cursor = self.scan(prefix, cursor, page)
            yield keys
            if cursor is None:
                return

    @overload
    def pop(self, key: str) -> Any: ...
    @overload
    def pop(self, key: str, default: Any) -> Any: ...
    def pop(self, key: str, default: Any = ...) -> Any:
        """Removes `key` and returns its value; when it is missing, returns `default` or raises
        `KeyError`."""
        value = self.getdel(key, _MISSING if default is ... else default)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def setdefault(self, key: str, default: object = None, *, ttl: Optional[float] = None) -> Any:
        """Stores `default` at `key` if it is missing; returns the value that is then there."""
        with self.batch() as batch:
            batch.set(key, default, ttl=ttl, if_="absent")
            value = batch.get(key)
        return value.result

    def update(
        self,
        items: Union[Mapping[str, object], Iterable[Tuple[str, object]]],
        *,
        ttl: Optional[float] = None,
    ) -> None:
        """Stores every value at its key, all at once; see `mset`."""
        self.mset(dict(items), ttl=ttl)

    def get_or_set(
        self, key: str, make: Callable[[], object], *, ttl: Optional[float] = None
    ) -> Any:
        """Returns the value at `key`; when it is missing, stores the result of `make` first, unless
        another client is faster. `cached` also lets only one client call the function."""
        value = self.get(key, _MISSING)
        return self.setdefault(key, make(), ttl=ttl) if value is _MISSING else value

    def pipeline(self) -> Pipeline:
        """Commands sent without waiting for each reply. In a `with` block, sent at its end."""
        return Pipeline(self._executor.execute_all)

    def batch(self) -> Pipeline:
        """Commands that run all or nothing, with no other client's in between. In a `with` block,
        sent at its end."""
        return Pipeline(self._run_batch)

    def lock(self, name: str, ttl: float = 30.0, *, renew: bool = False) -> Lock:
        """A lock over all clients of the server; see `Lock`."""
        return Lock(self, name, ttl, renew=renew)

    def limiter(self, name: str, limit: int, per: float) -> RateLimiter:
        """A rate limiter over all clients of the server; see `RateLimiter`."""
        return RateLimiter(self, name, limit, per)

    def cached(
        self,
        ttl: float,
        *,
        name: str = "",
        key: Optional[Callable[..., Any]] = None,
        decode_as: Any = Any,
        lock_timeout: float = 10.0,
    ) -> Callable[[Callable[P, T]], caching.CachedFunction[P, T]]:
        """Keeps the results of a function on the server; see `kvjson.cached`."""
        return caching.cached(
            self, ttl, name=name, key=key, decode_as=decode_as, lock_timeout=lock_timeout
        )

    def close(self) -> None:
        """Closes the connections; the next command opens one again."""
        self._executor.close()

    def _settle(self) -> None:
        self._executor.settle()

    def _send(self, request: Request[T]) -> T:
        try:
            return request.decode(self._executor.execute(request.command))
        except KvError as error:
            raise shortened(error) from error.__cause__

    def _run_batch(self, sent: Sequence[Command[Any]]) -> List[object]:
        (outcome,) = self._executor.execute_all([as_batch(sent)])
        return from_batch(outcome)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        self.close()

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: object) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return self.exists(key)

    def __len__(self) -> int:
        return self.count()

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address}>"

    def _ipython_key_completions_(self) -> List[str]:
        return self.scan(limit=1000).keys


def address_of(settings: Dict[str, Any]) -> str:
    """Where a client's server is, without the password."""
    if settings.get("engine"):
        return str(settings["engine"])
    if settings["unix_path"]:
        return ListenAddress("unix", path=settings["unix_path"]).url(tls=False)
    return ListenAddress("tcp", settings["host"], settings["port"]).url(settings["tls"])
