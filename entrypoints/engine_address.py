"""The addresses of Valkey and Redis servers.

    redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=PREFIX]
    rediss://...                                                        with TLS

Rule: an address is parsed in full or refused with `ValueError`, and no message quotes one, which
may hold a password. redis-py is not needed to understand an address.
"""

from __future__ import annotations

import re
from typing import Any, Dict, NamedTuple, Optional
from urllib.parse import unquote

from entrypoints import address
from entrypoints.address import bracketed, parse_place

SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}
"""Whether an address with this scheme means TLS."""

DEFAULT_PORT = 6379

DEFAULT_PREFIX = "kv:"

_FORMS = (
    "an engine is redis://[[user]:password@]host[:port][/database][?prefix=kv:], or rediss://... "
    "for TLS; valkey:// and valkeys:// mean the same"
)
_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<user>[^:@/?#\[\]]*)(?::(?P<password>[^@/?#\[\]]*))?@)?"
    r"(?P<place>[^@/?#]+)(?:/(?P<db>[0-9]{0,4}))?(?:\?prefix=(?P<prefix>[^&#]*))?",
    re.IGNORECASE,
)


class EngineAddress(NamedTuple):
    """Where an engine is, how to log in, and what the names of the keys there begin with."""

    host: str
    port: int
    tls: bool = False
    db: int = 0
    username: Optional[str] = None
    password: Optional[str] = None
    prefix: str = DEFAULT_PREFIX

    @classmethod
    def parse(cls, url: str) -> EngineAddress:
        """The engine that an address names; raises `ValueError`."""
        found = _URL.fullmatch(url)
        if not found or found.group("scheme").lower() not in SCHEMES:
            raise ValueError(_FORMS)
        try:
            place = parse_place(found.group("place"))
            user, password, prefix = (
                None if part is None else unquote(part, errors="strict")
                for part in found.group("user", "password", "prefix")
            )
        except ValueError:
            raise ValueError(_FORMS) from None
        return cls(
            place.host,
            DEFAULT_PORT if place.port is None else place.port,
            SCHEMES[found.group("scheme").lower()],
            int(found.group("db") or 0),
            user or None,
            password or None,
            DEFAULT_PREFIX if prefix is None else prefix,
        )

    def __str__(self) -> str:
        """The address without the password."""
        return f"redis{'s' * self.tls}://{bracketed(self.host)}:{self.port}/{self.db}"


def is_engine(url: str) -> bool:
    """Whether the scheme of an address is one of an engine."""
    scheme, mark, _ = url.partition("://")
    return bool(mark) and scheme.lower() in SCHEMES


def parts_of(url: str) -> Dict[str, Any]:
    """What `address.parts_of` returns, for an engine too, whose address is `engine` then."""
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
