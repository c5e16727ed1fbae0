"""The client for programs whose calls wait: threads, and greenlets on gevent.

Rule: it holds no logic of its own but Python's manners; every method is a request from `requests`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Sequence, Type, TypeVar

from adapters.client.json_lines import ClientSession
from adapters.client.loopback import Loopback
from adapters.process import resident_memory
from adapters.protocols.json_lines.lines import Allowance
from adapters.protocols.json_lines.server import ServerSession
from application.commands import Command
from application.executor import LocalExecutor
from application.limits import Limits
from application.ports import Pipelined
from application.report import Figures
from domain.memory import InMemoryStore
from entrypoints.client_container import ClientContainer
from entrypoints.client_settings import DEFAULTS, Settings, settings
from entrypoints.library import requests
from entrypoints.library.queues import Pipeline, as_batch, from_batch
from entrypoints.library.requests import Request, method_of
from entrypoints.version import version

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec, Unpack

    P = ParamSpec("P")

T = TypeVar("T")
_MISSING = object()


def _sent(make: Callable[P, Request[T]]) -> Callable[Concatenate[Client, P], T]:
    """The method that makes this request, sends it and waits for the result."""

    @method_of(make)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        request = make(*args, **kwargs)
        return request.decode(self._executor.execute(request.command))

    return method


class Client:
    """A store on a server, or in this process, with a method for each command.

    Methods raise a `KvError`: what the server refused, `TimedOut`, or `Unavailable` when it cannot
    be reached. Safe to share between threads, and between greenlets.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 7379, **options: Unpack[Settings]):
        """`host` may be a name, `host:port`, or an address, `kv://[:password@]host[:port]`, or
        `kvs://...` for TLS. Nothing is connected before the first command. For the options see
        `Settings`."""
        container = ClientContainer()
        container.config.from_dict(settings(host, port, options))
        self._executor: Pipelined = container.executor()
        self.sleep: Callable[[float], object] = container.network().sleep
        """How to let time pass in this kind of program."""

    @classmethod
    def local(cls) -> Client:
        """A client of a store of its own in this process, without a server; for tests.

        It behaves as a server's client does, and can be shared by threads.
        """
        limits = Limits()
        figures = Figures(version(), limits, time.monotonic, resident_memory)
        executor = LocalExecutor(InMemoryStore(time.monotonic), limits)
        allowance = Allowance(limits.max_input_bytes)
        server = ServerSession(executor, limits, figures, allowance)
        client = cls()
        client._executor = Loopback(ClientSession(DEFAULTS["max_reply_bytes"]), server)
        return client

    get = _sent(requests.get)
    set = _sent(requests.set)
    delete = _sent(requests.delete)
    flush = _sent(requests.flush)
    mget = _sent(requests.mget)
    mset = _sent(requests.mset)
    mdelete = _sent(requests.mdelete)
    exists = _sent(requests.exists)
    getset = _sent(requests.getset)
    getdel = _sent(requests.getdel)
    incr = _sent(requests.incr)
    ttl = _sent(requests.ttl)
    expire = _sent(requests.expire)
    persist = _sent(requests.persist)
    count = _sent(requests.count)
    scan = _sent(requests.scan)
    ping = _sent(requests.ping)
    info = _sent(requests.info)

    def keys(self, prefix: str = "", page: int = 1000) -> Iterator[str]:
        """The keys that begin with `prefix`, asked for `page` at a time; see `scan`."""
        cursor: Optional[str] = None
        while True:
            found, cursor = self.scan(prefix, cursor, page)
            yield from found
            if cursor is None:
                return

    def pipeline(self) -> Pipeline:
        """Commands sent without waiting for each reply. In a `with` block, sent at its end."""
        return Pipeline(self._executor.execute_all)

    def batch(self) -> Pipeline:
        """Commands that run all or nothing, with nothing of others in between. In a `with` block,
        sent at its end."""
        return Pipeline(self._run_batch)

    def close(self) -> None:
        """Close the connections; the next command opens one again."""
        self._executor.close()

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

    def _run_batch(self, sent: Sequence[Command[Any]]) -> List[object]:
        (replies,) = self._executor.execute_all([as_batch(sent)])
        return from_batch(sent, replies)
