"""The head of a request as routes read it, and what responses are made of.

Rule: whatever a client sends, reading it raises `BadRequest` or nothing. A response of its own has
the headers that keep a browser from taking it for anything else than it is.
"""

from __future__ import annotations

import base64
import binascii
import http
from typing import (
    Any,
    Collection,
    Dict,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Type,
)
from urllib.parse import parse_qsl, unquote

import msgspec

from application.commands.documents import ConditionFailed
from application.json_patch import PatchConflict
from application.ports import Closing
from domain.errors import (
    BadRequest,
    Blame,
    CrossSlot,
    KvError,
    NotANumber,
    OutOfMemory,
    OutOfRange,
    TimedOut,
    TooLarge,
    TooManyClients,
    Unauthenticated,
    Unavailable,
)

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
"""The methods that are known, each for some path or for none."""

JSON = "application/json"
PROBLEM = "application/problem+json"

Headers = Sequence[Tuple[str, str]]


class Head:
    """The method, target and headers of a request."""

    __slots__ = ("_headers", "host", "method", "path", "query")

    def __init__(
        self, method: bytes, target: bytes, headers: Iterable[Tuple[bytes, bytes]]
    ) -> None:
        self.method = method.decode("ascii")
        self._headers: Dict[bytes, bytes] = {}
        for name, value in headers:
            before = self._headers.get(name)
            self._headers[name] = value if before is None else before + b", " + value
        self.host = self.header(b"host")
        where = target.decode("latin-1")
        scheme, separator, rest = where.partition("://")
        if separator and not scheme.startswith("/"):
            self.host, slash, path = rest.partition("/")
            where = slash + path or "/"
        self.path, _, self.query = where.partition("?")

    def header(self, name: bytes) -> str:
        """A header, several of one name as a list; empty when it is missing."""
        return self._headers.get(name, b"").decode("latin-1").strip()

    @property
    def media_type(self) -> str:
        """The content type without its parameters."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    @property
    def origin(self) -> str:
        """The origin of the web page that sent the request; empty for none."""
        return self.header(b"origin").lower()

    @property
    def bearer(self) -> Optional[str]:
        """The token of a bearer."""
        scheme, _, token = self.header(b"authorization").partition(" ")
        return _utf_8(token.strip()) if scheme.lower() == "bearer" else None

    @property
    def password(self) -> Optional[str]:
        """The password of the request, as a bearer's token or with any name of a user."""
        scheme, _, token = self.header(b"authorization").partition(" ")
        if scheme.lower() != "basic":
            return self.bearer
        try:
            decoded = base64.b64decode(token.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        return decoded.partition(b":")[2].decode("utf-8", "surrogateescape")

    def tags(self, name: bytes) -> Optional[List[str]]:
        """The tags of a condition; None when there is no such header. Weak ones, which a proxy that
        compresses makes of ours, count for `If-None-Match` alone (RFC 9110, section 13.1)."""
        if name not in self._headers:
            return None
        listed = [each.strip() for each in self.header(name).split(",")]
        if name == b"if-none-match":
            listed = [each[2:] if each.startswith("W/") else each for each in listed]
        return [each.strip('"') for each in listed if not each.startswith("W/")]

    def prefers(self, media_type: str, default: str) -> bool:
        """Whether the request names a media type as one that it takes, and as no worse than the
        default (RFC 9110, section 12.5.1)."""
        weights = dict(map(_weighted, self.header(b"accept").lower().split(",")))
        weight = weights.get(media_type, 0.0)
        return weight > 0 and weight >= weights.get(default, 0.0)

    def parameters(self, known: Collection[str]) -> Dict[str, str]:
        """The members of the query, each of which has to be known, once at the most."""
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, errors="strict", max_num_fields=9)
        except ValueError as error:
            raise BadRequest("the query has bad UTF-8, or too many members") from error
        for name, _ in pairs:
            if name not in known:
                names = ", ".join(sorted(known)) or "none"
                raise BadRequest(f"the query has no member {name[:40]!r}; known are: {names}")
        found = dict(pairs)
        if len(found) < len(pairs):
            raise BadRequest("the query names a member twice")
        return found


def unquoted(text: str) -> str:
    """A part of a path, or of a query, as the text that it stands for."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest("a key is UTF-8, percent-encoded, and this one is not") from error


def _weighted(media_range: str) -> Tuple[str, float]:
    """A media type with its weight; 1 where there is none that can be read."""
    media_type, *parameters = (part.strip() for part in media_range.split(";"))
    weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return media_type, float(weight)
    except ValueError:
        return media_type, 1.0


def _utf_8(header: str) -> str:
    return header.encode("latin-1").decode("utf-8", "surrogateescape")


class Response(NamedTuple):
    """A whole response."""

    status: int
    headers: Headers = ()
    body: bytes = b""


class Chunk(NamedTuple):
    """A part of a response that is sent as it is made; the first begins it."""

    data: bytes
    is_last: bool = False


class FinalResponse(Closing):
    """No error: what ends the conversation is a response that needs no command. So what is said
    before the password is bounded, and a body that was not read is no harm."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered")
        self.response = response


COMMON: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
PRIVATE: Headers = [("Cache-Control", "no-store")]

json_of = msgspec.json.Encoder().encode


def in_json(status: int, result: Any, headers: Headers = PRIVATE) -> Response:
    """A response whose body is JSON."""
    return json_response(status, json_of(result), headers)


def json_response(status: int, text: bytes, headers: Headers = PRIVATE) -> Response:
    """The same of a text that is JSON."""
    return Response(status, [("Content-Type", JSON), *headers], text)


def problem(
    status: int, detail: str, code: str = "", headers: Headers = (), index: Optional[int] = None
) -> Response:
    """An error as RFC 9457 has it, with our code for it, or HTTP's own name of the status."""
    known = http.HTTPStatus(status)
    members: Dict[str, Any] = {
        "title": known.phrase,
        "status": status,
        "detail": detail,
        "code": code or known.name,
    }
    if index is not None:
        members["index"] = index
    return Response(status, [("Content-Type", PROBLEM), *PRIVATE, *headers], json_of(members))


def refusal(error: KvError) -> Response:
    """The response to a request that was refused."""
    usual = 400 if error.blame is Blame.CLIENT else 500
    status = next((_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES), usual)
    return problem(status, str(error), error.code, _HEADERS.get(status, ()), error.index)


NOT_FOUND = problem(404, "there is no such key", "NOT_FOUND")

_HEADERS: Dict[int, Headers] = {
    401: [("WWW-Authenticate", 'Bearer realm="kvjson", Basic realm="kvjson"')],
    503: [("Retry-After", "1")],
}
_STATUSES: Dict[Type[Any], int] = {
    PatchConflict: 409,
    ConditionFailed: 412,
    Unauthenticated: 401,
    TimedOut: 408,
    TooLarge: 413,
    NotANumber: 422,
    OutOfRange: 422,
    TooManyClients: 503,
    Unavailable: 503,
    OutOfMemory: 507,
    CrossSlot: 422,
}
"""Those of the errors of which HTTP says more than who is to blame."""
