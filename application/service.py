"""What all conversations of a server share, and how long a request may be for the shorter ways.

Rule: a request of up to `harmless_bytes` can name neither too long a key nor too many keys; a short
one has no need for turns of its own, either, and of a quick one even the values take no time. One
of up to `long_bytes` is read at once where there is time.
"""

from __future__ import annotations

from typing import Optional

from application.limits import Limits
from application.long_requests import LongRequests
from application.password import Password
from application.pause import Pause
from application.ports import Executor, Protocols
from application.stats import ServerStats

LONG_BYTES, LONG_KEYS = 256 * 1024, 4000
"""Bytes of a request or of its reply, and keys of a request, above which it has turns of its own,
as one that touches the whole keyspace always has."""

QUICK_BYTES = 4096
"""Bytes that arrive, with those before them of the same request, up to which reading a value takes
no more than 0.3 ms, whatever it is."""


class Service:
    """What all conversations of a server share."""

    def __init__(
        self,
        executor: Executor,
        protocols: Protocols,
        limits: Limits,
        stats: ServerStats,
        long_requests: LongRequests,
        pause: Pause,
        password: Optional[Password] = None,
    ) -> None:
        self.executor = executor
        self.protocols = protocols
        self.limits = limits
        self.stats = stats
        self.long_requests = long_requests
        self.pause = pause
        self.password = password
        harmless = min(limits.max_key_bytes, len('"",') * limits.max_keys_per_request)
        self.harmless_bytes = min(harmless, limits.max_request_bytes)
        self.short_bytes = min(self.harmless_bytes, len('"",') * LONG_KEYS)
        self.quick_bytes = min(self.harmless_bytes, QUICK_BYTES)
        self.long_bytes = min(limits.max_request_bytes, LONG_BYTES)
