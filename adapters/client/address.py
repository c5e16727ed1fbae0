"""Where a server listens: a host and a port, or the path of a Unix socket.

Rule: a TLS server is checked against `server_name`, whatever address it was reached at.
"""

from __future__ import annotations

import socket
from typing import Any, Optional

from msgspec import Struct

UNSENT_BYTES = 64 * 1024
"""How much the system takes that it has not sent yet. With more, a slow network shows no progress
for as long as a buffer of megabytes takes to drain by a third."""


class Address(Struct, frozen=True):
    """`host` is a name, an IPv4 address, or an IPv6 address without brackets, with or without a
    zone; it does not count where there is a `unix_path`."""

    host: str
    port: int
    unix_path: Optional[str] = None
    tls_server_name: Optional[str] = None

    def __str__(self) -> str:
        if self.unix_path is not None:
            return f"unix:{self.unix_path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def server_name(self) -> str:
        """The name that a TLS server's certificate has to hold."""
        if self.tls_server_name:
            return self.tls_server_name
        return "localhost" if self.unix_path is not None else self.host.partition("%")[0]

    def tune(self, sock: Any) -> None:
        """Set the options of a TCP socket that is connected to it."""
        if self.unix_path is None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            unsent = getattr(socket, "TCP_NOTSENT_LOWAT", None)  # Linux and macOS have it
            if unsent is not None:
                sock.setsockopt(socket.IPPROTO_TCP, unsent, UNSENT_BYTES)
