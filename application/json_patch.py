"""Changes to a JSON text: merge patches (RFC 7396) and JSON patches (RFC 6902).

Rule: a document is decoded one level at a time, along the paths that are named. `open` is charged
before for each level, and for each step of an operation by what it takes. What no path leads to
keeps its text. A patch that cannot be applied as a whole leaves no effect.
"""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Sequence, Tuple, Union

import msgspec
from msgspec import UNSET, Raw, Struct

from application.json_text import UNREADABLE
from application.json_values import Open, same
from domain.errors import BadRequest


class PatchConflict(BadRequest):
    """A `test` failed, or a place that the patch names is not in the document."""

    code = "PATCH_CONFLICT"


Node = Union[Raw, Dict[str, Any], List[Any]]
"""A value: its text, or an object or array of nodes once it was opened."""

_decode_object = msgspec.json.Decoder(Dict[str, Raw]).decode
_decode_array = msgspec.json.Decoder(List[Raw]).decode
_encode = msgspec.json.Encoder().encode


def merge_patched(text: bytes, patch: bytes, open: Open) -> bytes:
    """The text that a merge patch makes of another."""
    try:
        return _encode(_merged(Raw(text), Raw(patch), open))
    except RecursionError as error:
        raise BadRequest(_TOO_DEEP) from error


def _merged(target: Node, patch: Raw, open: Open) -> Node:
    changes = _opened(patch, open)
    if not isinstance(changes, dict):
        return patch
    members = _opened(target, open)
    if not isinstance(members, dict):
        members = {}
    for name, change in changes.items():
        if bytes(change) == b"null":
            members.pop(name, None)
        else:
            members[name] = _merged(members.get(name, _NULL), change, open)
    return members


def _opened(node: Node, open: Open) -> Node:
    """The value with its members or elements as nodes; any other is itself."""
    if not isinstance(node, Raw):
        return node
    text = bytes(node)
    decode: Any = _DECODERS.get(text[:1])
    if decode is None:
        return node
    open(len(text))
    opened: Node = decode(text)
    return opened


_NULL = Raw(b"null")
_TOO_DEEP = "the patch or its result nests too deep"
_DECODERS = {b"{": _decode_object, b"[": _decode_array}


class Operation(Struct):
    """One operation of a JSON patch."""

    op: str
    path: str
    from_: Union[str, msgspec.UnsetType] = msgspec.field(default=UNSET, name="from")
    value: Union[Raw, msgspec.UnsetType] = UNSET


_decode_operations = msgspec.json.Decoder(List[Operation]).decode


def operations(patch: bytes) -> List[Operation]:
    """The operations of a JSON patch; raises `BadRequest` for a text that is none."""
    try:
        found = _decode_operations(patch)
    except UNREADABLE as error:
        raise BadRequest(f"the JSON patch cannot be read: {error!s:.200}") from error
    for each in found:
        needed = _NEEDED.get(each.op)
        if needed is None:
            raise BadRequest(f"a JSON patch has no operation {each.op[:40]!r}")
        if needed and getattr(each, needed) is UNSET:
            raise BadRequest(f"the operation {each.op!r} needs `{needed.rstrip('_')}`")
    return found


def json_patched(text: bytes, patch: Sequence[Operation], open: Open) -> bytes:
    """The text that the operations of a JSON patch make of another; raises `PatchConflict`."""
    document = _Document(text, open)
    try:
        for operation in patch:
            _OPERATIONS[operation.op](document, operation)
        return _encode(document.root[_ROOT])
    except RecursionError as error:
        raise BadRequest(_TOO_DEEP) from error


class _Document:
    """A document that is opened along the paths that are taken. Its root is the member of an object
    around it, so that a path to it is one like any other."""

    def __init__(self, text: bytes, open: Open) -> None:
        self.root: Dict[str, Any] = {_ROOT: Raw(text)}
        self._open = open

    def get(self, path: str) -> Any:
        container, name = self._place(path)
        return _member(container, name, path)

    def add(self, path: str, value: Node) -> None:
        container, name = self._place(path)
        if isinstance(container, dict):
            container[name] = value
        elif name == "-":
            container.append(value)
        else:
            index = _index(name, len(container) + 1, path)
            self._move_behind(index, container)
            container.insert(index, value)

    def remove(self, path: str) -> Any:
        container, name = self._place(path)
        if container is self.root:
            raise BadRequest("a JSON patch cannot remove the whole document")
        node = _member(container, name, path)
        if isinstance(container, dict):
            del container[name]
        else:
            self._move_behind(int(name), container)
            del container[int(name)]
        return node

    def replace(self, path: str, value: Node) -> None:
        container, name = self._place(path)
        _member(container, name, path)
        container[name if isinstance(container, dict) else int(name)] = value

    def test(self, path: str, value: Raw) -> None:
        if not same(self.text(path), bytes(value), self._open):
            raise PatchConflict(f"the value at {path[:100]!r} is another than the `test` expects")

    def text(self, path: str) -> bytes:
        """The text of what is at a path; charged, since operations may repeat and double it."""
        text = _encode(self.get(path))
        self._open(len(text))
        return text

    def _move_behind(self, index: int, array: List[Any]) -> None:
        """Charges for the elements behind an index, which an insertion or a removal moves."""
        self._open((len(array) - index) // _MOVED)

    def _place(self, path: str) -> Tuple[Any, str]:
        """The object or array that a path leads into, opened, and the last token of the path."""
        self._open(_STEP * (2 + path.count("/")))
        container: Any = self.root
        name = _ROOT
        for token in _tokens(path):
            child = _opened(_member(container, name, path), self._open)
            if isinstance(child, Raw):
                raise PatchConflict(f"there is no object or array at {path[:100]!r} to look into")
            container[name if isinstance(container, dict) else int(name)] = child
            container, name = child, token
        return container, name


_ROOT = ""

_STEP, _MOVED = 32, 32
"""What an operation counts for, and each token of its path, in bytes of JSON that are decoded in
the time; and how many elements are moved in that of one."""


def _member(container: Any, name: str, path: str) -> Any:
    if isinstance(container, list):
        return container[_index(name, len(container), path)]
    if name not in container:
        raise PatchConflict(f"there is nothing at {path[:100]!r}")
    return container[name]


def _index(token: str, length: int, path: str) -> int:
    if not _is_index(token):
        raise PatchConflict(f"{token[:40]!r} in {path[:100]!r} is no index of an array")
    if int(token) >= length:
        raise PatchConflict(f"there is nothing at {path[:100]!r}")
    return int(token)


_is_index = re.compile(r"0|[1-9][0-9]{0,17}").fullmatch


def _tokens(path: str) -> List[str]:
    """The reference tokens of a JSON pointer (RFC 6901); raises `BadRequest`."""
    if path and not path.startswith("/"):
        raise BadRequest(f"a JSON pointer begins with `/`, not {path[:100]!r}")
    if _bad_escape(path):
        raise BadRequest(f"the JSON pointer {path[:100]!r} has a `~` that is no escape")
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


_bad_escape = re.compile(r"~(?![01])").search


def _move(document: _Document, operation: Any) -> None:
    if operation.path.startswith(operation.from_ + "/"):
        raise BadRequest("a JSON patch cannot move a value into itself")
    document.get(operation.from_)
    if operation.path != operation.from_:
        document.add(operation.path, document.remove(operation.from_))


_OPERATIONS: Dict[str, Callable[[_Document, Any], object]] = {
    "add": lambda document, each: document.add(each.path, each.value),
    "remove": lambda document, each: document.remove(each.path),
    "replace": lambda document, each: document.replace(each.path, each.value),
    "move": _move,
    "copy": lambda document, each: document.add(each.path, Raw(document.text(each.from_))),
    "test": lambda document, each: document.test(each.path, each.value),
}
_NEEDED = {
    "add": "value",
    "remove": "",
    "replace": "value",
    "move": "from_",
    "copy": "from_",
    "test": "value",
}
"""The operations, each with the member that it needs beside its path."""
