"""The table of routes: which requests there are, and what answers them.

Rule: the table is all there is; the description of the interface is made from it. A request without
the password is told no more than that, but for one of a public route. Nothing that
changes anything is a GET, but for a command in the path, which needs a bearer's token: no page of
another site can send one.
"""

from __future__ import annotations

from typing import Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Union

from adapters.protocols.http import metrics, resources, rest
from adapters.protocols.http.access import ALL_METHODS, Access
from adapters.protocols.http.exchanges import Exchange, Lines, Operation, Single
from adapters.protocols.http.messages import JSON, METHODS, Head, Response, in_json, problem
from adapters.protocols.http.openapi import described
from adapters.protocols.http.resources import JSON_PATCH, KEYS, MERGE_PATCH
from application.commands import GetTtl, Info
from application.limits import Limits
from application.ports import Codec

NDJSON = "application/x-ndjson"


class Site(NamedTuple):
    """What all HTTP connections of a server share. The codecs are those of bodies in JSON lines,
    and of Redis's commands; `files` are the pages that need no command, by their paths, and no
    password, where the server `has_password`."""

    limits: Limits
    version: str
    access: Access
    new_json_lines: Callable[[], Codec]
    new_resp: Callable[[], Codec]
    files: Mapping[str, Response] = {}
    has_password: bool = False

    def is_open_to(self, head: Head) -> bool:
        """Whether a request may be made without a password."""
        if not self.has_password or head.method == "OPTIONS":
            return True
        return head.method in _READS and (head.path in self.files or head.path in _PUBLIC)


Open = Callable[[Site, Head], Union[Exchange, Response]]


class Route(NamedTuple):
    """A request: `takes` are the content types of its body, any for none; `statuses` what
    they mean; `query` its parameters, with their types in JSON; one that `is_public` needs no
    password."""

    method: str
    path: str
    summary: str
    open: Open
    statuses: Mapping[int, str]
    takes: Tuple[str, ...] = ()
    query: Mapping[str, str] = {}
    conditions: Tuple[str, ...] = ()
    has_body: bool = False
    is_public: bool = False


def _single(operation: Operation) -> Open:
    return lambda site, head: Single(head, operation, site.limits.max_request_bytes)


def _rest(form: rest.Form) -> Open:
    def open(site: Site, head: Head) -> Exchange:
        return rest.Rest(head, site.new_resp(), form, site.limits)

    return open


def _constant(response: Response) -> Open:
    return lambda site, head: response


_PLAIN = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
_READY = Operation(  # a read of a key, which a cluster that is down refuses
    lambda head, body: GetTtl("ready"), lambda head, _: Response(200, _PLAIN, b"ready\n")
)
_METRICS = Operation(lambda head, body: Info(), metrics.exposition)
_CONDITIONS = ("If-Match", "If-None-Match")
_MISSING, _FAILED = "There is no such key.", "A condition does not hold."

TABLE: Tuple[Route, ...] = (
    Route(
        "GET",
        f"{KEYS}/{{key}}",
        "Return the value of a key; its bytes when `Accept` names application/octet-stream.",
        _single(resources.GET),
        {
            200: "The value.",
            304: "The value is one of those named.",
            404: _MISSING,
            412: _FAILED,
        },
        conditions=_CONDITIONS,
    ),
    Route(
        "PUT",
        f"{KEYS}/{{key}}",
        "Store a value: a body of JSON as it is, any other by the rule for bytes.",
        _single(resources.PUT),
        {201: "The key is new.", 204: "The value was replaced.", 412: _FAILED},
        query={"ttl": "number", "keep_ttl": "boolean"},
        conditions=_CONDITIONS,
        has_body=True,
    ),
    Route(
        "PATCH",
        f"{KEYS}/{{key}}",
        "Change the document at a key by a merge patch or a JSON patch; its ttl is kept.",
        _single(resources.PATCH),
        {204: "It was changed.", 404: _MISSING, 409: "The patch does not fit.", 412: _FAILED},
        takes=(MERGE_PATCH, JSON_PATCH),
        conditions=_CONDITIONS,
        has_body=True,
    ),
    Route(
        "DELETE",
        f"{KEYS}/{{key}}",
        "Remove a key.",
        _single(resources.DELETE),
        {204: "It was removed.", 404: _MISSING, 412: _FAILED},
        conditions=_CONDITIONS,
    ),
    Route(
        "GET",
        KEYS,
        "Return some of the keys, and the cursor for the next ones, null at the end.",
        _single(resources.SCAN),
        {200: "A page of keys."},
        query={"prefix": "string", "cursor": "string", "limit": "integer"},
    ),
    Route(
        "POST",
        "/v1/commands",
        "Execute requests in JSON lines; each is answered with a line, as it was executed.",
        lambda site, head: Lines(site.new_json_lines()),
        {200: "The replies."},
        takes=(JSON, NDJSON),
        has_body=True,
    ),
    Route(
        "POST",
        "/",
        "Execute a Redis command, an array of its name and its arguments.",
        _rest(rest.ONE),
        {200: "The result.", 400: "It was refused."},
        takes=(JSON,),
        has_body=True,
    ),
    Route(
        "POST",
        "/pipeline",
        "Execute an array of Redis commands.",
        _rest(rest.MANY),
        {200: "A result or an error for each."},
        takes=(JSON,),
        has_body=True,
    ),
    Route(
        "POST",
        "/multi-exec",
        "Execute an array of Redis commands as a transaction.",
        _rest(rest.TRANSACTION),
        {200: "A result or an error for each.", 400: "The transaction was discarded."},
        takes=(JSON,),
        has_body=True,
    ),
    Route(
        "GET",
        "/healthz",
        "Tell that the server runs; needs no password.",
        _constant(Response(200, _PLAIN, b"ok\n")),
        {200: "It does."},
        is_public=True,
    ),
    Route(
        "GET",
        "/readyz",
        "Tell whether commands are executed.",
        _single(_READY),
        {200: "They are.", 503: "The server loads its keys, is about to stop, or has no engine."},
    ),
    Route(
        "GET",
        "/metrics",
        "Return figures as Prometheus reads them; as OpenMetrics when `Accept` names it.",
        _single(_METRICS),
        {200: "The figures."},
    ),
    Route(
        "GET",
        "/openapi.json",
        "Return the description of this interface.",
        lambda site, head: in_json(200, described(TABLE, site.version)),
        {200: "An OpenAPI document."},
        is_public=True,
    ),
)


def _by_path() -> Dict[str, Dict[str, Route]]:
    found: Dict[str, Dict[str, Route]] = {}
    for route in TABLE:
        found.setdefault(route.path, {})[route.method] = route
    for routes in found.values():
        if "GET" in routes:
            routes["HEAD"] = routes["GET"]
    return found


_READS = ("GET", "HEAD")
_PUBLIC = frozenset(route.path for route in TABLE if route.is_public)
_ROUTES = _by_path()
_OF_A_KEY = _ROUTES[f"{KEYS}/{{key}}"]
_KEY = KEYS + "/"


def opened(site: Site, head: Head) -> Union[Exchange, Response]:
    """What answers a request, or the response when that needs no command."""
    path, method = head.path, head.method
    if method not in METHODS:
        allowed = [("Allow", ALL_METHODS)]
        return problem(501, f"there is no method {method[:20]!r}", headers=allowed)
    if method in _READS and path in site.files:
        return _page(site.files[path], head)
    routes = _OF_A_KEY if path.startswith(_KEY) else _ROUTES.get(path)
    if method == "OPTIONS":
        return site.access.preflight(head, _methods_at(site, path, routes or {}))
    if routes is None:
        if head.bearer is not None and method in ("GET", "POST") and not path.startswith("/v1/"):
            return _rest(rest.IN_PATH)(site, head)
        return problem(404, f"there is nothing at {path[:100]!r}", "NOT_FOUND")
    route = routes.get(method)
    if route is None:
        allowed = [("Allow", _methods_at(site, path, routes))]
        return problem(405, f"{path[:100]!r} has no {method[:20]}", headers=allowed)
    if route.takes and head.media_type not in route.takes:
        takes = ", ".join(route.takes)
        name = "Accept-Patch" if method == "PATCH" else "Accept-Post"
        return problem(415, f"the content type is one of: {takes}", headers=[(name, takes)])
    refused = _refused_body(head) if route.has_body else None
    return refused or route.open(site, head)


def _methods_at(site: Site, path: str, routes: Dict[str, Route]) -> str:
    """The methods of what is at a path; all of them where that is not known."""
    reads = _READS if path in site.files else ()
    known = [*reads, *routes]
    return ", ".join([*known, "OPTIONS"]) if known else ALL_METHODS


def _refused_body(head: Head) -> Optional[Response]:
    """The response to a request whose body stands for other bytes than its own, by RFC 9110,
    sections 8.4 and 14.5: stored as it is, it would be another value."""
    coding = head.header(b"content-encoding")
    if coding.lower() not in ("", "identity"):
        takes = [("Accept-Encoding", "identity")]
        return problem(415, f"a body has no content coding, not {coding[:40]!r}", headers=takes)
    if head.header(b"content-range"):
        return problem(400, "a body is the whole value, with no Content-Range")
    return None


def _page(page: Response, head: Head) -> Response:
    tag = dict(page.headers)["ETag"]
    if tag.strip('"') in (head.tags(b"if-none-match") or ()):
        return Response(304, page.headers)
    return page
