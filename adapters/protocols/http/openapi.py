"""Describes the table of routes as an OpenAPI 3.1 document.

Rule: what the description says of a route is made from its line in the table.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List

from adapters.protocols.http.messages import JSON, PROBLEM

_ANY_BODY = (JSON, "application/octet-stream")
_ERROR = {
    "description": "It was refused.",
    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "index": {"type": "integer"},
    },
}


def described(routes: Iterable[Any], version: str) -> Dict[str, Any]:
    """The document; `routes` are those of the table."""
    paths: Dict[str, Dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "kvjson", "version": version},
        "security": [{}, {"bearer": []}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _operation(route: Any) -> Dict[str, Any]:
    statuses: Dict[str, Any] = {
        str(status): {"description": text} for status, text in route.statuses.items()
    }
    operation: Dict[str, Any] = {
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": {**statuses, "default": _ERROR},
    }
    if route.has_body:
        types = route.takes or _ANY_BODY
        operation["requestBody"] = {"required": True, "content": {each: {} for each in types}}
    return operation


def _parameters(route: Any) -> List[Dict[str, Any]]:
    in_path = [("key", "path", "string")] if "{key}" in route.path else []
    in_query = [(name, "query", kind) for name, kind in route.query.items()]
    in_headers = [(name, "header", "string") for name in route.conditions]
    return [
        {"name": name, "in": place, "required": place == "path", "schema": {"type": kind}}
        for name, place, kind in (*in_path, *in_query, *in_headers)
    ]
