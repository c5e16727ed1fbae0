"""A plugin of pytest for suites that have Redis's port in them: such connections go to the server
under test, whose port is in the environment.

Rule: only the ports that the suites expect a Redis at are touched; the system picks the real one.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Callable

_PORT = int(os.environ["KV_SUITE_PORT"])
_EXPECTED = (6379, 6360)


def _redirected(connect: Callable[..., Any]) -> Callable[..., Any]:
    def redirected(sock: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and address[1] in _EXPECTED:
            address = (address[0], _PORT, *address[2:])
        return connect(sock, address)

    return redirected


socket.socket.connect = _redirected(socket.socket.connect)  # type: ignore[method-assign]
socket.socket.connect_ex = _redirected(socket.socket.connect_ex)  # type: ignore[method-assign]
