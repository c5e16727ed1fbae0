"""The bounds that a server keeps, each and every one.

Rule: whatever a client can make a server spend - bytes, time, connections - has a bound here. The
command line, INFO and the documentation are made from this one record.
"""

from __future__ import annotations

import math
from typing import Any, Collection

from msgspec import Struct

from domain.errors import BadRequest, TooLarge

MAX_KEEPALIVE = 32_767
"""Seconds; the longest that systems take."""


class Limits(Struct, frozen=True):
    """Sizes are in bytes of UTF-8, times in seconds; a time of 0 means no limit.

    Raises `ValueError`, which names the limit, for one that is out of its range.
    """

    max_request_bytes: int = 4 * 1024 * 1024
    """One request is decoded in one step, in which others wait."""
    max_reply_bytes: int = 64 * 1024 * 1024
    max_key_bytes: int = 64 * 1024
    max_keys_per_request: int = 20_000
    """They are stored in one step."""
    max_batch_cost: int = 5_000
    """Of the commands of a batch together: 1 is the work of about one SET."""
    max_opened_bytes: int = 1024 * 1024
    """Of stored and sent JSON that one request decodes to compare it or to count with it."""
    max_input_bytes: int = 256 * 1024 * 1024
    """Buffered for all clients together: unanswered requests and unsent replies."""
    max_push_bytes: int = 32 * 1024 * 1024
    """Of messages that a subscriber has not taken, with its subscriptions. Over it, it is cut."""
    max_clients: int = 10_000
    request_timeout: float = 30.0
    """From the first byte of a request to its last, and from connecting to a right AUTH."""
    send_timeout: float = 30.0
    """While a client takes nothing of its replies."""
    idle_timeout: float = 0.0
    """While a client neither sends nor takes anything."""
    tcp_keepalive: float = 300.0
    """Until the system probes whether a silent peer is still there; whole seconds."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _check(name, getattr(self, name))
        if self.tcp_keepalive and not 1 <= self.tcp_keepalive <= MAX_KEEPALIVE:
            raise ValueError(f"tcp_keepalive is 0 or 1 to {MAX_KEEPALIVE:,} s")
        if self.max_reply_bytes < 2 * self.max_request_bytes:
            # One value and the client's id always fit, so no effect goes without its reply.
            raise ValueError("max_reply_bytes cannot be less than twice max_request_bytes")
        if self.max_input_bytes < self.max_request_bytes:
            raise ValueError("max_input_bytes cannot be less than max_request_bytes")

    def check_keys(self, keys: Collection[str]) -> None:
        """Raises `TooLarge` for too many keys, and `BadRequest` for one that is too long."""
        if len(keys) > self.max_keys_per_request:
            most = f"at most {self.max_keys_per_request} (max_keys_per_request)"
            raise TooLarge(f"the request names {len(keys)} keys; {most}")
        longest = 4 * max(map(len, keys), default=0)  # bytes, at most
        if longest > self.max_key_bytes and any(
            len(key.encode("utf-8", "surrogatepass")) > self.max_key_bytes for key in keys
        ):
            raise BadRequest(f"a key is over {self.max_key_bytes} bytes (max_key_bytes)")


def _check(name: str, value: Any) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise ValueError(f"{name} is a number, not {value!r:.100}")
    if isinstance(value, float):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is a number of seconds from 0 up, not {value:g}")
    elif value < (1 if name in _AT_LEAST_1 else 0):
        raise ValueError(f"{name} is at least {1 if name in _AT_LEAST_1 else 0}, not {value}")


_AT_LEAST_1 = frozenset(
    name for name in Limits.__struct_fields__ if name.startswith("max_") and name != "max_clients"
)
"""Bounds without which nothing works; a server with none of its clients admitted does."""

DEFAULTS = Limits()
