"""Tells whether the server in this container answers: exit code 0 if it does.

Any reply line counts, so it needs no password. It tries plain TCP and TLS, first what the
environment says the server speaks; a server that asks for the client's certificate answers too.
Rule: it has nothing but the standard library and knows nothing of the server's settings files.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys


def answers(port: int, tls: bool) -> bool:
    """Whether a server on this machine replies to a PING, or wants a certificate first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), 1.5) as sock:
            stream = context.wrap_socket(sock) if tls else sock
            stream.sendall(b'{"type":"PING"}\n')
            return stream.recv(1) == b"{"
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


if __name__ == "__main__":
    listens_on = int(os.environ.get("KV_PORT", "7379"))
    first = bool(os.environ.get("KV_TLS_CERT"))
    sys.exit(0 if answers(listens_on, first) or answers(listens_on, not first) else 1)
