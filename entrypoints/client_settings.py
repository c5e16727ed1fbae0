"""The settings of a client: their names, defaults and legal values.

Rule: a bad or contradicting value is refused by name before anything is connected.
"""

from __future__ import annotations

from typing import Any, Dict, Literal, Mapping, Optional, TypedDict

from entrypoints.address import DEFAULT_HOST, DEFAULT_PORT, parse_host, parse_place
from entrypoints.engine_address import parts_of
from entrypoints.settings.checks import check_port, check_values
from entrypoints.settings.pem import check_tls_files
from entrypoints.settings.ranges import COUNT, PORT, SECONDS, SIZE, Range


class ClientOptions(TypedDict, total=False):
    """The options of `Client` and `AsyncClient`, all by name.

    Times are in seconds; a time-out of 0 waits for as long as it takes.
    """

    password: str
    """The server's password: none."""
    connect_timeout: float
    """For a connection, a new one or one from the pool: 5."""
    timeout: float
    """For each wait for a piece of a reply: 10."""
    total_timeout: float
    """For the whole call, with connecting and repeating: 0."""
    busy_poll: float
    """To poll for a reply before blocking: 0.00005; 0 disables it."""
    attempts: int
    """How often to try what is safe to repeat, with a random pause in between: 3."""
    max_connections: int
    """The size of the pool, at the most: 10. Each serves one thread, greenlet or task at a time."""
    max_reply_bytes: int
    """The longest reply to accept: 64 MiB and 1 KiB."""
    network: Literal["threads", "gevent"]
    """`"threads"`, also where gevent has patched the standard library, or `"gevent"` where it has
    not: "threads". Not for `AsyncClient`."""
    tls: bool
    """Whether to speak TLS, as `kvs://` does: False."""
    tls_ca: Optional[str]
    """The PEM file of the authorities to trust: those of the system."""
    tls_cert: Optional[str]
    """The PEM file of a certificate to show to the server: none."""
    tls_key: Optional[str]
    """The PEM file of its key: `tls_cert`."""
    tls_server_name: Optional[str]
    """The name that the server's certificate has to be for: the host's."""


DEFAULTS: ClientOptions = {
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
    "tls_server_name": None,
}


_RANGES: Dict[str, Range] = {
    "connect_timeout": SECONDS,
    "timeout": SECONDS,
    "total_timeout": SECONDS,
    "busy_poll": SECONDS,
    "attempts": COUNT,
    "max_connections": COUNT,
    "max_reply_bytes": SIZE,
}


def client_settings(host: str, port: Optional[int], options: Mapping[str, Any]) -> Dict[str, Any]:
    """All settings of a client of the server that `host` and `port` name.

    Raises `TypeError` for an unknown option, and `ValueError` for what makes no sense or
    contradicts.
    """
    check_values(options, ClientOptions, _RANGES)
    where = _where(host, port)
    settings = {**DEFAULTS, **where, **options}
    if "password" in where and settings["password"] != where["password"]:
        raise ValueError("password= contradicts the address, which has another password")
    _check_tls(settings, asked_for=bool(where.get("tls")))
    return settings


def _where(host: str, port: Optional[int]) -> Dict[str, Any]:
    if not isinstance(host, str):
        raise ValueError(f"host={host!r:.100} is not a text such as {DEFAULT_HOST!r}")
    if not host:
        raise ValueError(f"the host is empty; the default is {DEFAULT_HOST}")
    if "://" in host:
        if port is not None:
            raise ValueError(f"port={port!r} beside an address, which says the port")
        parts = parts_of(host)
        return {**parts, "port": DEFAULT_PORT} if parts["port"] is None else parts
    if port is None:
        host, in_host = parse_place(host)
        port = DEFAULT_PORT if in_host is None else in_host
    else:
        try:
            host = parse_host(host)
        except ValueError as error:
            raise ValueError(f"port={port!r} beside {host!r}: {error}") from None
    check_port(port, PORT)
    return {"host": host, "port": port, "unix_path": None}


def _check_tls(settings: Mapping[str, Any], asked_for: bool) -> None:
    if asked_for and not settings["tls"]:
        raise ValueError("tls=False contradicts the address, which is kvs:// or rediss://")
    if settings["tls"] and settings["unix_path"]:
        raise ValueError("tls=True asks for TLS, which a Unix socket does not have")
    for name in ("tls_ca", "tls_cert", "tls_key", "tls_server_name"):
        if settings[name] is not None and not settings["tls"]:
            raise ValueError(f"{name} needs TLS: kvs://, or tls=True")
    check_tls_files(settings, "tls_ca")
