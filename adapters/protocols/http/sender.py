"""Writes the responses of one connection.

Rule: a response to a request that was not read to its end is the last of the connection, and says
so.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import h11

from adapters.protocols.http.exchanges import Reply
from adapters.protocols.http.messages import COMMON, PRIVATE, Chunk, Headers, Response
from adapters.protocols.http.routes import NDJSON

_NO_BODY = (204, 304)
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_OWES = (h11.SEND_RESPONSE, h11.SEND_BODY)


class Sender:
    """Responses in the order of their requests."""

    def __init__(self, http: h11.Connection) -> None:
        self._http = http
        self.expect(COMMON, False)
        self.is_over = False
        """Whether no further request is answered."""

    def expect(self, headers: Headers, is_head: bool) -> None:
        """Prepares for one response, with some more headers; `is_head` tells whether it is to
        HEAD."""
        self._headers = headers
        self._is_head = is_head
        self.is_begun = False
        """Whether a part of the response was sent."""

    @property
    def owes_response(self) -> bool:
        """Whether a request has arrived whose response was not sent to its end."""
        return self._http.our_state in _OWES

    @property
    def can_respond(self) -> bool:
        """Whether a whole response may be sent now, though no request may have arrived."""
        return self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE)

    def send_continue(self) -> bytes:
        """Asks for the body of the request."""
        return self._write(
            h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
        )

    def send(self, reply: Reply, closes: bool = False) -> bytes:
        """The bytes of a reply, after which the connection is over if it `closes`."""
        if reply is None:
            return b""
        return self._chunk(reply) if isinstance(reply, Chunk) else self._whole(reply, closes)

    def _chunk(self, chunk: Chunk) -> bytes:
        sent = b""
        if not self.is_begun:
            self.is_begun = True
            sent = self._head(200, [("Content-Type", NDJSON), *PRIVATE, *self._headers])
        if chunk.data:
            sent += self._write(h11.Data(data=chunk.data))
        return sent + self._end() if chunk.is_last else sent

    def _whole(self, response: Response, closes: bool) -> bytes:
        headers = [*response.headers, *self._headers]
        has_body = response.status not in _NO_BODY
        if has_body:
            headers.append(("Content-Length", str(len(response.body))))
        if closes or self._http.their_state is not h11.DONE:
            headers.append(("Connection", "close"))
        sent = self._head(response.status, headers)
        if has_body and response.body and not self._is_head:
            sent += self._write(h11.Data(data=response.body))
        return sent + self._end()

    def _head(self, status: int, headers: Headers) -> bytes:
        reason = _REASONS[status]
        return self._write(h11.Response(status_code=status, headers=list(headers), reason=reason))

    def _end(self) -> bytes:
        """The end of a response, after which the next request may be read, if there can be one."""
        sent = self._write(h11.EndOfMessage())
        self.expect(COMMON, False)
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self.is_over = True
        return sent

    def _write(self, event: Any) -> bytes:
        return self._http.send(event) or b""
