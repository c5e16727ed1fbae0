"""The bounds that a server keeps, each and every one.

Rule: whatever a client can make a server spend - bytes, time, connections - has a bound here. The
command line, INFO and the documentation are made from this one record.
"""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Sizes are in bytes of UTF-8, times in seconds; a time of 0 is for ever."""

    max_request_bytes: int = 16 * 1024 * 1024
    max_reply_bytes: int = 64 * 1024 * 1024
    max_key_bytes: int = 64 * 1024
    max_keys_per_request: int = 100_000
    max_input_bytes: int = 256 * 1024 * 1024
    """Of requests that have arrived in part, over all connections."""
    max_clients: int = 10_000
    request_timeout: float = 30.0
    """From the first byte of a request to its last, and from connecting to a right AUTH."""
    send_timeout: float = 30.0
    """While a client takes nothing of its replies."""
    idle_timeout: float = 0.0
    """While a client neither sends nor takes anything."""
    tcp_keepalive: float = 300.0
    """Until the system probes whether a silent peer is still there."""

    def __post_init__(self) -> None:
        if self.max_reply_bytes < 2 * self.max_request_bytes:
            # One value and the asker's mark always fit, so nothing is done and then not told.
            raise ValueError("max_reply_bytes cannot be less than twice max_request_bytes")
        if self.max_input_bytes < self.max_request_bytes:
            raise ValueError("max_input_bytes cannot be less than max_request_bytes")


DEFAULTS = Limits()
