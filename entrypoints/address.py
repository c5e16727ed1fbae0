"""Where a server is, as one address: `kv://[:password@]host[:port]`, or `kvs://` for TLS."""

from __future__ import annotations

from typing import Any, Dict
from urllib.parse import unquote, urlsplit

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 7379

SCHEMES = {"kv": False, "kvs": True}
"""Whether an address with this scheme means TLS."""


def settings_of(url: str) -> Dict[str, Any]:
    """The settings that an address stands for; raises `ValueError` when it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError:  # its message would quote the password
        raise ValueError("an address is kv://[:password@]host[:port] and no more") from None
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"an address looks like kv://127.0.0.1:{DEFAULT_PORT}")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError("an address is kv://[:password@]host[:port] and no more")
    settings = {
        "host": parts.hostname,
        "port": port,
        "tls": SCHEMES[parts.scheme],
    }
    if parts.password:
        settings["password"] = unquote(parts.password)
    return settings
