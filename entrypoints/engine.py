"""The store over a Valkey or Redis server, put together from its address.

    redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]      over TCP; rediss:// with TLS

Rule: redis-py is imported when a store is opened, by no other program. No message quotes an
address, which may hold a password.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Optional
from urllib.parse import unquote

from adapters.client.address import Address
from adapters.client.network import Network, SocketApi, TlsConfig
from domain.errors import Unavailable
from entrypoints.address import bracketed, parse_place

if TYPE_CHECKING:
    from adapters.storage.redis.store import RedisStore

SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
"""Whether an address with this scheme means TLS."""

DEFAULT_ENGINE_PORT = 6379

DEFAULT_PREFIX = "kv:"

_FORMS = (
    "an engine is redis://[[user]:password@]host[:port][/database], or rediss://... for TLS; "
    "valkey:// and valkeys:// mean the same"
)
_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<user>[^:@/?#\[\]]*)(?::(?P<password>[^@/?#\[\]]*))?@)?"
    r"(?P<place>[^@/?#]+)(?:/(?P<db>[0-9]{0,4}))?",
    re.IGNORECASE,
)


class EngineAddress(NamedTuple):
    """Where an engine is, and how to log in."""

    host: str
    port: int
    db: int = 0
    username: Optional[str] = None
    password: Optional[str] = None
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> EngineAddress:
        """The engine that an address names; raises `ValueError`."""
        found = _URL.fullmatch(url)
        tls = SCHEMES.get(found.group("scheme").lower()) if found else None
        if not found or tls is None:
            raise ValueError(_FORMS)
        try:
            place = parse_place(found.group("place"))
            user, password = (unquote(found.group(name) or "") for name in ("user", "password"))
        except ValueError:
            raise ValueError(_FORMS) from None
        return cls(
            place.host,
            DEFAULT_ENGINE_PORT if place.port is None else place.port,
            int(found.group("db") or 0),
            user or None,
            password or None,
            tls,
        )

    def __str__(self) -> str:
        """The address without the password."""
        return f"redis{'s' * self.tls}://{bracketed(self.host)}:{self.port}/{self.db}"


def is_engine(url: str) -> bool:
    """Whether an address is one of an engine, to judge by its scheme."""
    return url.partition("://")[0].lower() in SCHEMES and "://" in url


def open_store(
    address: EngineAddress,
    api: SocketApi,
    prefix: str = DEFAULT_PREFIX,
    size: int = 16,
    connect_timeout: float = 5.0,
    timeout: float = 5.0,
    tls_config: TlsConfig = TlsConfig(),  # noqa: B008 - immutable
) -> RedisStore:
    """The store of the keys with a prefix, over up to `size` connections; none is opened yet.

    Raises `Unavailable` without redis-py.
    """
    try:
        from adapters.storage.redis.engine import Connection, Place, RedisEngine
        from adapters.storage.redis.store import RedisStore
    except ImportError as error:
        raise Unavailable(
            f"an engine needs redis-py: pip install 'kvjson[redis]' ({error})"
        ) from error
    network = Network(api, tls_config if address.tls else None)

    def connect(host: str, port: int, seconds: float) -> Any:
        return network.connect(Address(host, port), seconds)

    place = Place(*address[:-1])
    new_connection = partial(Connection, connect, place, connect_timeout, timeout)
    return RedisStore(RedisEngine(new_connection, network.queue, size, timeout), prefix)
