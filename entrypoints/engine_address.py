"""The addresses of Valkey and Redis servers, and of clusters of them, and how they are used.

    redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=PREFIX]
    redis-cluster://[[USER]:PASSWORD@]HOST[:PORT],HOST[:PORT]...[?prefix=PREFIX]
    rediss://..., rediss-cluster://...                                  with TLS
    valkey://... and so on                                              the same

Rule: an address is parsed in full or refused with `ValueError`, and no message quotes one, which
may hold a password. redis-py is not needed to understand an address.
"""

from __future__ import annotations

import re
from math import inf
from typing import Any, Dict, NamedTuple, Optional, Tuple
from urllib.parse import unquote

from entrypoints import address
from entrypoints.address import bracketed, parse_place_in_url


class _Scheme(NamedTuple):
    tls: bool
    is_cluster: bool


_SCHEMES = {
    f"{name}{'s' * tls}{'-cluster' * is_cluster}": _Scheme(tls, is_cluster)
    for name in ("redis", "valkey")
    for tls in (False, True)
    for is_cluster in (False, True)
}

DEFAULT_PORT = 6379

DEFAULT_PREFIX = "kv:"

_FORMS = (
    "an engine is redis://[[user]:password@]host[:port][/database][?prefix=kv:], rediss://... for "
    "TLS, or redis-cluster://host[:port],host[:port]; valkey:// and so on mean the same"
)
_URL = re.compile(
    r"(?P<scheme>[a-z-]+)://(?:(?P<user>[^:@/?#\[\]]*)(?::(?P<password>[^@/?#\[\]]*))?@)?"
    r"(?P<place>[^@/?#]+)(?:/(?P<db>[0-9]{0,4}))?(?:\?prefix=(?P<prefix>[^&#]*))?",
    re.IGNORECASE,
)


class EngineAddress(NamedTuple):
    """Where an engine is, how to log in, and what the names of the keys there begin with; of a
    cluster one server, and others to ask when that does not answer."""

    host: str
    port: int
    tls: bool = False
    db: int = 0
    username: Optional[str] = None
    password: Optional[str] = None
    prefix: str = DEFAULT_PREFIX
    is_cluster: bool = False
    others: Tuple[Tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, url: str) -> EngineAddress:
        """The engine that an address names; raises `ValueError`."""
        address.refuse_other_schemes(url, _SCHEMES)
        found = _URL.fullmatch(url)
        scheme = _SCHEMES.get(found.group("scheme").lower()) if found else None
        if not found or scheme is None or (scheme.is_cluster and found.group("db")):
            raise ValueError(_FORMS)
        try:
            first, *others = map(_place, found.group("place").split(","))
        except ValueError as error:
            raise ValueError(f"{error}; {_FORMS}") from None
        try:
            user, password, prefix = (
                None if part is None else unquote(part, errors="strict")
                for part in found.group("user", "password", "prefix")
            )
        except ValueError:
            raise ValueError(_FORMS) from None
        if others and not scheme.is_cluster:
            raise ValueError(_FORMS)
        return cls(
            *first,
            scheme.tls,
            int(found.group("db") or 0),
            user or None,
            password or None,
            DEFAULT_PREFIX if prefix is None else prefix,
            scheme.is_cluster,
            tuple(others),
        )

    def __str__(self) -> str:
        """The address without the password."""
        scheme = f"redis{'s' * self.tls}{'-cluster' * self.is_cluster}"
        places = ((self.host, self.port), *self.others)
        where = ",".join(f"{bracketed(host)}:{port}" for host, port in places)
        return f"{scheme}://{where}" + ("" if self.is_cluster else f"/{self.db}")


class EngineOptions(NamedTuple):
    """How an engine is used. Times are in seconds, 0 for as long as it takes."""

    connections: int
    """The most to each server."""
    connect_timeout: float
    timeout: float
    """For a reply."""
    server_name: Optional[str] = None
    """What its certificate is for: the host's name."""
    allow_partial: bool = False
    """Whether a cluster may carry out a part of what has keys in several slots."""
    wait_replicas: int = 0
    """How many have a write before it is replied to."""
    max_reply_bytes: float = inf
    """What is read at once, at the most."""


def _place(text: str) -> Tuple[str, int]:
    host, port = parse_place_in_url(text)
    return host, DEFAULT_PORT if port is None else port


def is_engine(url: str) -> bool:
    """Whether the scheme of an address is one of an engine."""
    scheme, mark, _ = url.partition("://")
    return bool(mark) and scheme.lower() in _SCHEMES


def parts_of(url: str) -> Dict[str, Any]:
    """What `address.parts_of` returns, for an engine too, whose address is `engine` then."""
    address.refuse_other_schemes(url, (*address.SCHEMES, address.UNIX_SCHEME, *_SCHEMES))
    if not is_engine(url):
        return address.parts_of(url)
    engine = EngineAddress.parse(url)
    parts: Dict[str, Any] = {
        "host": engine.host,
        "port": engine.port,
        "unix_path": None,
        "tls": engine.tls,
        "engine": engine,
    }
    if engine.password:
        parts["password"] = engine.password
    return parts
