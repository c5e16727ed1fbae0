"""A long line with more keys or commands than a request may have is refused before decoding."""

from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest

from adapters.protocols.json_lines import codec
from adapters.protocols.json_lines.elements import LONG_LINE, check_elements
from application.limits import Limits
from domain.errors import TooLarge
from tests.support import answer, new_session
from tests.test_json_lines import replies

LIMITS = Limits(max_keys_per_request=1000, max_batch_cost=100)
PING = {"type": "PING"}


def line(**members: Any) -> bytes:
    """A request that is long enough to be looked at."""
    return json.dumps({**members, "id": "m" * LONG_LINE}).encode()


def keys(count: int) -> List[str]:
    return [str(number) for number in range(count)]


def items(count: int) -> Dict[str, Any]:
    return {key: [1, 2, {"a": "b,c", "d": [1, 2]}] for key in keys(count)}


TOO_MANY = {
    "MGET": line(type="MGET", keys=keys(1001)),
    "MDELETE": line(type="MDELETE", keys=keys(1001)),
    "MSET": line(type="MSET", items=items(1001)),
    "MSET whose first object is the long one": line(type="MSET", items=items(1001))[:-1]
    + b',"items":{}}',
    "MGET with a name in escapes": line(type="MGET", keys=keys(1001)).replace(
        b"keys", b"k\\u0065ys"
    ),
    "BATCH": line(type="BATCH", commands=[PING] * 101),
    "BATCH of a few that name many": line(
        type="BATCH",
        commands=[{"type": "MGET", "keys": keys(500)}, {"type": "MSET", "items": items(501)}],
    ),
}
FEW = {
    "MGET": line(type="MGET", keys=keys(1000)),
    "MGET of keys with commas": line(type="MGET", keys=["," * 100 + key for key in keys(500)]),
    "MSET of documents": line(type="MSET", items=items(1000)),
    "SET of a long array": line(type="SET", key="k", value=list(range(10_000))),
    "SET of a document with such members": line(
        type="SET",
        key="k",
        value={"keys": keys(2000), "items": items(2000), "commands": [PING] * 9},
    ),
    "BATCH": line(type="BATCH", commands=[PING] * 100),
    "BATCH of documents": line(
        type="BATCH", commands=[{"type": "SET", "key": "k", "value": list(range(2000))}]
    ),
    "no command": line(keys=5),
    "no JSON": b"," * (2 * LONG_LINE),
    "no object": b"[%b1]" % (b"1," * LONG_LINE),
}


@pytest.mark.parametrize("name", TOO_MANY)
def test_a_line_with_too_many_elements_is_refused(name: str) -> None:
    with pytest.raises(TooLarge, match=r"\((max_keys_per_request|max_batch_cost)\)"):
        check_elements(TOO_MANY[name], LIMITS)


@pytest.mark.parametrize("name", FEW)
def test_a_line_that_has_few_or_is_none_passes(name: str) -> None:
    check_elements(FEW[name], LIMITS)


@pytest.mark.parametrize("name", TOO_MANY)
def test_a_line_with_too_many_elements_is_refused_undecoded_with_its_id(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(max_keys_per_request=1000, max_batch_cost=100, max_key_bytes=1000)
    session = new_session(limits)
    answer(session, [b'{"type":"PING"}\n'])
    monkeypatch.setattr(codec, "decode", lambda line: 1 / 0)
    (reply,) = map(json.loads, answer(session, [TOO_MANY[name] + b"\n"]).splitlines())
    assert (reply["id"], reply["error"]["code"]) == ("m" * LONG_LINE, "TOO_LARGE")


def test_the_conversation_goes_on_after_too_many_elements() -> None:
    session = new_session(Limits(max_keys_per_request=1000, max_key_bytes=1000))
    assert replies(answer(session, [TOO_MANY["MGET"] + b"\n", b'{"type":"PING"}\n'])) == [
        "TOO_LARGE",
        {"ok": True, "result": "PONG"},
    ]
