"""Which web pages may ask: those of this server, and those that it is configured to allow.

Rule: a name that is not configured is refused, so that a foreign name which is
made to lead here (DNS rebinding) leads to nothing. What a browser says was sent by another page is
refused, whatever it asks for. Programs that are no browsers send none of these headers.
"""

from __future__ import annotations

import ipaddress
from typing import Collection, Optional

from adapters.protocols.http.messages import Head, Headers, Response, problem

ALL_METHODS = "GET, HEAD, PUT, PATCH, DELETE, POST, OPTIONS"
_HEADERS = "Authorization, Content-Type, If-Match, If-None-Match, Upstash-Encoding"
_EXPOSED = "ETag, X-Kv-Ttl"
_FOREIGN = frozenset(("cross-site", "same-site"))


class Access:
    """`hosts` are names of this server beside addresses and `localhost`; `origins` are the other
    servers whose pages may ask."""

    def __init__(self, hosts: Collection[str] = (), origins: Collection[str] = ()) -> None:
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._origins = {origin.lower() for origin in origins}

    def refusal(self, head: Head) -> Optional[Response]:
        """The response to a request that may not be made from where it comes; None when it may."""
        if head.host and not self._is_ours(head.host):
            return problem(421, f"this server is not {head.host[:100]!r} (http_hosts)")
        origin = head.origin
        if origin:
            if origin.partition("://")[2] != head.host.lower() and origin not in self._origins:
                return problem(403, f"no page of {origin[:100]!r} may ask (http_allow_origin)")
        elif head.header(b"sec-fetch-site") in _FOREIGN and not _is_visit(head):
            return problem(403, "no page of another site may ask (http_allow_origin)")
        return None

    def headers(self, head: Head) -> Headers:
        """What tells a browser that the page which asks may read the response."""
        if head.origin not in self._origins:
            return [("Vary", "Origin")] if self._origins else []
        return [
            ("Access-Control-Allow-Origin", head.header(b"origin")),
            ("Access-Control-Expose-Headers", _EXPOSED),
            ("Vary", "Origin"),
        ]

    def preflight(self, head: Head, methods: str) -> Response:
        """The response to OPTIONS, by which a browser asks what a page may do with what has these
        methods."""
        headers = [("Allow", methods)]
        if head.origin in self._origins:
            headers += [
                ("Access-Control-Allow-Methods", methods),
                ("Access-Control-Allow-Headers", _HEADERS),
                ("Access-Control-Max-Age", "600"),
            ]
        return Response(204, headers)

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        if name.startswith("["):
            name, bracket, port = name[1:].partition("]")
            return bool(bracket) and _is_address(name) and _is_port(port)
        name, colon, port = name.partition(":")
        return (name in self._hosts or _is_address(name)) and _is_port(colon + port)


def _is_visit(head: Head) -> bool:
    """Whether a person follows a link to a page of ours, which nothing else can be done with."""
    return (
        head.method in ("GET", "HEAD")
        and head.path == "/"
        and head.header(b"sec-fetch-mode") == "navigate"
        and head.header(b"sec-fetch-dest") == "document"
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return not text or (text[0] == ":" and text[1:].isdigit() and len(text) <= len(":65535"))
