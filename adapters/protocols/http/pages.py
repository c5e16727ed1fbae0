"""The console's files, as the responses that they are.

Rule: a page loads nothing from elsewhere, runs no script that is not a file here, and is shown in
no frame. What the command line of the console knows of commands is made from their table.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any, Dict, List, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Raw, UnsetType

from adapters.protocols.http.messages import JSON, Response
from application.commands import COMMANDS, name_of

_FOLDER = Path(__file__).parent / "console"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def pages() -> Dict[str, Response]:
    """The responses by path."""
    found = {
        f"/console/{path.name}": _page(_TYPES[path.suffix], path.read_bytes())
        for path in _FOLDER.iterdir()
        if path.suffix in _TYPES
    }
    found["/"] = found.pop("/console/index.html")
    found["/console/commands.json"] = _page(JSON, msgspec.json.encode(_commands()))
    return found


def _page(content_type: str, body: bytes) -> Response:
    tag = base64.urlsafe_b64encode(hashlib.blake2b(body, digest_size=12).digest()).decode()
    headers = [
        ("Content-Type", content_type),
        ("Cache-Control", "no-cache"),
        ("ETag", f'"{tag}"'),
        ("Content-Security-Policy", _POLICY),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ]
    return Response(200, headers, body)


def _commands() -> Dict[str, Any]:
    return {
        name_of(kind): {
            "help": " ".join((kind.__doc__ or "").split("\n\n")[0].split()),
            "readonly": kind.readonly,
            "members": [
                {"name": each.encode_name, "kind": _kind(each.type), "needed": each.required}
                for each in msgspec.structs.fields(kind)
                if each.encode_name != "id"
            ],
        }
        for kind in COMMANDS
    }


def _kind(type_: Any) -> str:
    """How a member is typed at a command line."""
    if type_ in _KINDS:
        return _KINDS[type_]
    if get_origin(type_) is Literal:
        return "text"
    parts = [each for each in get_args(type_) if each not in (UnsetType, type(None))]
    kinds = set(map(_kind, parts)) if get_origin(type_) is Union else set()
    return kinds.pop() if len(kinds) == 1 else "json"


_KINDS: Dict[Any, str] = {
    str: "text",
    bool: "flag",
    int: "number",
    float: "number",
    Raw: "json",
    List[str]: "keys",
    Dict[str, Raw]: "items",
}
