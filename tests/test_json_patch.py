"""Merge patches and JSON patches: the cases of their RFCs, and what is left as it was."""

from __future__ import annotations

import json
from typing import Any, List

import pytest

from application.budget import Budget
from application.json_patch import PatchConflict, json_patched, merge_patched, operations
from application.limits import Limits
from domain.errors import BadRequest, TooLarge


def unbounded(n_bytes: int) -> None:
    """A budget without end."""


MERGES = [  # RFC 7396, appendix A
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(
    ("document", "patch"),
    [
        ([1] * 100_000, [{"op": "add", "path": "/0", "value": 1}] * 1000),
        ([1] * 100_000, [{"op": "move", "path": "/-", "from": "/0"}] * 1000),
        ([1] * 100_000, [{"op": "remove", "path": "/0"}] * 1000),
        ({}, [{"op": "add", "path": "/a", "value": 1}] * 20_000),
        ({}, [{"op": "add", "path": "/a" * 100_000, "value": 1}]),
    ],
)
def test_a_patch_that_would_keep_others_waiting_is_refused(document: Any, patch: Any) -> None:
    budget = Budget(Limits()).parts()
    with pytest.raises(TooLarge, match="max_opened_bytes"):
        json_patched(
            json.dumps(document).encode(), operations(json.dumps(patch).encode()), budget.open
        )


@pytest.mark.parametrize(("text", "patch", "expected"), MERGES)
def test_a_merge_patch_has_the_result_of_the_rfc(text: str, patch: str, expected: str) -> None:
    assert merge_patched(text.encode(), patch.encode(), unbounded).decode() == expected


def op(op: str, path: str, **members: Any) -> Any:
    return {"op": op, "path": path, **members}


PATCHES = [
    ('{"foo":"bar"}', [op("add", "/baz", value="qux")], '{"foo":"bar","baz":"qux"}'),
    ('{"foo":["a","c"]}', [op("add", "/foo/1", value="b")], '{"foo":["a","b","c"]}'),
    ('{"foo":["a"]}', [op("add", "/foo/-", value=["b"])], '{"foo":["a",["b"]]}'),
    ('{"a":1,"b":2}', [op("remove", "/a")], '{"b":2}'),
    ("[1,2,3]", [op("remove", "/1")], "[1,3]"),
    ('{"a":1}', [op("replace", "/a", value=None)], '{"a":null}'),
    ('{"a":1}', [op("replace", "", value=[1])], "[1]"),
    ('{"a":1}', [op("add", "", value="x"), op("test", "", value="x")], '"x"'),
    (
        '{"foo":{"bar":1,"waldo":2},"qux":{}}',
        [op("move", "/qux/thud", **{"from": "/foo/waldo"})],
        '{"foo":{"bar":1},"qux":{"thud":2}}',
    ),
    ("[1,2,3,4]", [op("move", "/3", **{"from": "/1"})], "[1,3,4,2]"),
    ('{"a":{"b":1}}', [op("copy", "/c", **{"from": "/a"}), op("remove", "/a/b")],
     '{"a":{},"c":{"b":1}}'),
    ('{"~":1,"/":2,"":3}', [op("remove", "/~0"), op("remove", "/~1"), op("remove", "/")], "{}"),
    ('{"a":[1,{"b":1.0}]}', [op("test", "/a", value=[1.0, {"b": 1}])], '{"a":[1,{"b":1.0}]}'),
    ('{"a":1}', [op("move", "/a", **{"from": "/a"})], '{"a":1}'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "patch", "expected"), PATCHES)
def test_a_json_patch_has_the_result_of_the_rfc(text: str, patch: List[Any], expected: str) -> None:
    found = operations(json.dumps(patch).encode())
    assert json_patched(text.encode(), found, unbounded).decode() == expected


CONFLICTS = [
    ('{"a":1}', [op("test", "/a", value=2)]),
    ('{"a":1}', [op("test", "/a", value=True)]),
    ('{"a":1}', [op("remove", "/b")]),
    ('{"a":1}', [op("replace", "/b", value=1)]),
    ('{"a":1}', [op("add", "/a/b", value=1)]),
    ('{"a":1}', [op("add", "/b/c", value=1)]),
    ("[1]", [op("add", "/2", value=1)]),
    ("[1]", [op("add", "/01", value=1)]),
    ("[1]", [op("remove", "/1")]),
    ("[1]", [op("remove", "/-")]),
    ("[1]", [op("test", "/-1", value=1)]),
    ('{"a":1}', [op("copy", "/b", **{"from": "/c"})]),
    ('{"a":1}', [op("move", "/b", **{"from": "/c"})]),
]


@pytest.mark.parametrize(("text", "patch"), CONFLICTS)
def test_a_json_patch_that_does_not_fit_the_document_is_a_conflict(
    text: str, patch: List[Any]
) -> None:
    with pytest.raises(PatchConflict):
        json_patched(text.encode(), operations(json.dumps(patch).encode()), unbounded)


ILLEGAL = [
    "{}",
    "[1]",
    '[{"op":"add","path":"/a"}]',
    '[{"op":"move","path":"/a"}]',
    '[{"op":"jump","path":"/a"}]',
    '[{"path":"/a"}]',
    '[{"op":"remove","path":1}]',
    '[{"op":"remove","path":"a"}]',
    '[{"op":"remove","path":"/~2"}]',
    '[{"op":"remove","path":""}]',
    '[{"op":"move","path":"/a/b","from":"/a"}]',
]


@pytest.mark.parametrize("patch", ILLEGAL)
def test_an_illegal_json_patch_is_no_conflict(patch: str) -> None:
    with pytest.raises(BadRequest) as caught:
        json_patched(b'{"a":{}}', operations(patch.encode()), unbounded)
    assert not isinstance(caught.value, PatchConflict)


def test_what_no_path_leads_to_keeps_its_text() -> None:
    text = b'{"a":{"n":1e2,"big":123456789012345678901234567890},"s":"\\u00e9","b":1.50}'
    patched = json_patched(text, operations(b'[{"op":"remove","path":"/b"}]'), unbounded)
    assert patched == text.replace(b',"b":1.50', b"")
    assert merge_patched(text, b'{"b":null}', unbounded) == patched


def test_a_patch_that_doubles_the_document_is_stopped_by_the_budget() -> None:
    opened = 0

    def open(n_bytes: int) -> None:
        nonlocal opened
        opened += n_bytes
        if opened > 1_000_000:
            raise TooLarge("too much")

    doubling = b",".join([b'{"op":"copy","from":"","path":"/-"}'] * 60)
    with pytest.raises(TooLarge):
        json_patched(b"[1]", operations(b"[%b]" % doubling), open)
    assert opened < 4_000_000


def test_a_patch_that_nests_too_deep_for_python_is_refused() -> None:
    patch = [op("add", "/0" * at + "/-", value=[]) for at in range(1100)]
    with pytest.raises(BadRequest):
        json_patched(b"[]", operations(json.dumps(patch).encode()), unbounded)
    with pytest.raises(BadRequest):
        merge_patched(b"{}", b'{"a":' * 3000 + b"1" + b"}" * 3000, unbounded)
