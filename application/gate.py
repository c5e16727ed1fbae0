"""The gate before a password: what a client may do until it has said the right one.

Rule: before the correct password a conversation executes AUTH alone, within small bounds of input
and output, and attempts are delayed as the password's rule demands.
"""

from __future__ import annotations

import logging
from math import inf
from typing import Tuple

from application.commands import Auth
from application.password import Password
from domain.errors import InvalidPassword, LoginRequired

log = logging.getLogger(__name__)

LOGIN_FIRST = "AUTH with the password comes first"

MAX_UNAUTHENTICATED_INPUT, MAX_UNAUTHENTICATED_OUTPUT = 16 * 1024, 1024
"""Bytes each way before the right password."""

MAX_PASSWORD_BYTES = 2048
"""As JSON, where each byte may take six, it is within the bounds."""


class Gate:
    """The gate between an unauthenticated client and the commands. `client` is its address and
    port."""

    bounds = (
        f"unauthenticated limit ({MAX_UNAUTHENTICATED_INPUT // 1024} KiB of input, "
        f"{MAX_UNAUTHENTICATED_OUTPUT // 1024} KiB of output)"
    )

    def __init__(self, password: Password, client: str) -> None:
        self._password = password
        self._client = client
        self._input_room = MAX_UNAUTHENTICATED_INPUT
        self._output_room = MAX_UNAUTHENTICATED_OUTPUT - _FINAL_REPLY
        self._is_due = self._is_open = False

    def admit(self, data: bytes) -> Tuple[bytes, bytes]:
        """Splits input into the part that may be read and the part beyond the bound."""
        if self._is_open:
            return data, b""
        within, beyond = data[: self._input_room], data[self._input_room :]
        self._input_room -= len(within)
        return within, beyond

    def may_say(self, reply: bytes) -> bool:
        """Whether a reply is within the bound, with room for a last one."""
        self._output_room -= len(reply)
        return self._output_room >= 0

    def delay(self, request: object) -> float:
        """Seconds until a request may be made, and then once more the same question; 0 for now,
        infinity when too many attempts wait. Raises the `KvError` that refuses the request."""
        if not isinstance(request, Auth):
            if self._is_open:
                return 0.0
            raise LoginRequired(LOGIN_FIRST)
        address = self._client.rpartition(":")[0]
        delay = 0.0 if self._is_due else self._password.wait(address)
        self._is_due = bool(delay)
        if delay is None:
            return inf
        if not delay:
            if not self._password.matches(request.password, address):
                log.warning("a wrong password", extra={"client": self._client})
                raise InvalidPassword("invalid password")
            self._is_open = True
        return delay


_FINAL_REPLY = 128
"""Bytes kept for it."""
