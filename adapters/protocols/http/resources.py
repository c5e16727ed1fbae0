"""Keys as resources: how requests on them become commands, and results responses.

Rule: a body of JSON is the text of the value, as it is; any other body is bytes, which become a
value by the rule for bytes, as they do in all protocols.
"""

from __future__ import annotations

import re
from typing import Any, Union

import msgspec
from msgspec import UNSET, Raw, UnsetType

from adapters.protocols.http.exchanges import Operation
from adapters.protocols.http.messages import (
    JSON,
    NOT_FOUND,
    PRIVATE,
    Head,
    Response,
    in_json,
    unquoted,
)
from application.byte_values import to_bytes
from application.commands import Keys, Scan
from application.commands.documents import (
    ANY,
    DeleteEntry,
    GetEntry,
    JsonPatch,
    MergePatch,
    PatchEntry,
    PutEntry,
    TagCondition,
    Written,
    tag_of,
)
from application.json_patch import operations
from application.json_text import UNREADABLE
from application.json_wording import wrong_with
from domain.errors import BadJson, BadRequest
from domain.store import Entry

KEYS = "/v1/keys"
BYTES = "application/octet-stream"
MERGE_PATCH, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"


def _key(head: Head) -> str:
    """The key that a path names; never the empty one, whose path browsers make of that of the key
    `.`."""
    key = unquoted(head.path[len(KEYS) + 1 :])
    if not key:
        raise BadRequest("no path names the empty key; send a command to /v1/commands")
    return key


def _condition(head: Head) -> TagCondition:
    return TagCondition(head.tags(b"if-match"), head.tags(b"if-none-match"))


def _get(head: Head, body: bytes) -> GetEntry:
    head.parameters(())
    return GetEntry(_key(head), TagCondition(match=head.tags(b"if-match")))


def _got(head: Head, entry: Union[Entry, UnsetType]) -> Response:
    if isinstance(entry, UnsetType):
        return NOT_FOUND
    tag = tag_of(entry.text)
    headers = [*PRIVATE, ("Vary", "Accept"), _etag(tag)]
    if entry.ttl is not None:
        headers.append(("X-Kv-Ttl", f"{entry.ttl:.3f}"))
    known = head.tags(b"if-none-match")
    if known and (tag in known or ANY in known):
        return Response(304, headers)
    if head.prefers(BYTES, default=JSON):
        return Response(200, [("Content-Type", BYTES), *headers], to_bytes(entry.text))
    return Response(200, [("Content-Type", JSON), *headers], entry.text)


def _put(head: Head, body: bytes) -> PutEntry:
    query = head.parameters(("ttl", "keep_ttl"))
    keep_ttl = query.get("keep_ttl", "false")
    if keep_ttl not in ("true", "false"):
        raise BadRequest("`keep_ttl` is true or false")
    is_json = head.media_type == JSON
    value = json_text(body) if is_json else body
    ttl = _number(query, "ttl", float) if "ttl" in query else UNSET
    return PutEntry(_key(head), value, is_json, ttl, keep_ttl == "true", _condition(head))


def _patch(head: Head, body: bytes) -> PatchEntry:
    head.parameters(())
    key, condition, patch = _key(head), _condition(head), json_text(body)
    if head.media_type == MERGE_PATCH:
        return MergePatch(key, condition, patch=patch)
    return JsonPatch(key, condition, patch=operations(patch))


def _written(head: Head, written: Union[Written, UnsetType]) -> Response:
    if isinstance(written, UnsetType):
        return NOT_FOUND
    return Response(201 if written.is_new else 204, [_etag(written.tag), *PRIVATE])


def _delete(head: Head, body: bytes) -> DeleteEntry:
    head.parameters(())
    return DeleteEntry(_key(head), _condition(head))


def _deleted(head: Head, was_there: bool) -> Response:
    return Response(204, PRIVATE) if was_there else NOT_FOUND


def _scan(head: Head, body: bytes) -> Scan:
    query = head.parameters(("prefix", "cursor", "limit"))
    limit = _number(query, "limit", int) if "limit" in query else 100
    return Scan(prefix=query.get("prefix", ""), cursor=query.get("cursor"), limit=limit)


def _scanned(head: Head, page: Keys) -> Response:
    return in_json(200, page)


GET = Operation(_get, _got)
PUT = Operation(_put, _written)
PATCH = Operation(_patch, _written)
DELETE = Operation(_delete, _deleted)
SCAN = Operation(_scan, _scanned)


def json_text(body: bytes) -> bytes:
    """The text of the JSON value that a body is, without the space around it; raises `BadJson`."""
    try:
        body.decode()
        return bytes(_decode_raw(body.strip(b" \t\r\n")))
    except UNREADABLE as error:
        raise BadJson(f"the body is no JSON: {wrong_with(body, error)}") from error


_decode_raw = msgspec.json.Decoder(Raw).decode


def _number(query: Any, name: str, kind: Any) -> Any:
    text = query[name]
    try:
        return kind(text if _DIGITS.fullmatch(text) else "")
    except ValueError as error:
        raise BadRequest(f"`{name}` is a number, not {text[:40]!r}") from error


_DIGITS = re.compile(r"[-+.eE0-9]+")
"""What Python takes beside these, such as `1_0`, is no number here."""


def _etag(tag: str) -> Any:
    return "ETag", f'"{tag}"'
