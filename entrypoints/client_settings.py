"""The options of a client, and what they are when nobody says."""

from __future__ import annotations

from typing import Any, Dict, Literal, Mapping, Optional, TypedDict

import msgspec

from entrypoints.address import settings_of


class Settings(TypedDict, total=False):
    """Times are in seconds; a time-out of 0 is for as long as it takes."""

    password: str
    connect_timeout: float
    """For a connection, new or from the pool: 5."""
    timeout: float
    """For each piece of an answer: 10."""
    total_timeout: float
    """For a call with all that belongs to it: 0."""
    busy_poll: float
    """How long to look for an answer again and again before going to sleep until it comes, which
    takes the system longer than many an answer does: 0.00005; 0 for not at all."""
    attempts: int
    """How often to try what can be repeated safely, with a pause before each further time: 3."""
    max_connections: int
    """How many connections threads or greenlets share: 10."""
    max_reply_bytes: int
    """The longest reply to take: 64 MiB and a little."""
    network: Literal["threads", "gevent"]
    """`"threads"`, also where gevent has patched the standard library, or `"gevent"` where it has
    not."""
    tls: bool
    tls_ca: Optional[str]
    """Whom to trust, instead of whom the system does; a PEM file, like the next two."""
    tls_cert: Optional[str]
    tls_key: Optional[str]


DEFAULTS: Settings = {
    "password": "",
    "connect_timeout": 5.0,
    "timeout": 10.0,
    "total_timeout": 0.0,
    "busy_poll": 0.00005,
    "attempts": 3,
    "max_connections": 10,
    "max_reply_bytes": 64 * 1024 * 1024 + 1024,
    "network": "threads",
    "tls": False,
    "tls_ca": None,
    "tls_cert": None,
    "tls_key": None,
}


def settings(host: str, port: int, options: Mapping[str, Any]) -> Dict[str, Any]:
    """All settings of a client; raises `TypeError` for an option that there is none of,
    and `ValueError` for a value that makes no sense."""
    unknown = set(options) - set(DEFAULTS)
    if unknown:
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    if "://" in host:
        where = settings_of(host)
    elif host.startswith("[") or host.count(":") == 1:
        where = settings_of(f"kv://{host}")
    else:
        where = {"host": host, "port": port}
    try:
        msgspec.convert(dict(options), Settings)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    return {**DEFAULTS, **where, **options}
