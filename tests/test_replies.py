"""Reply lines, in one piece and in many."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from adapters.protocols import portions
from adapters.protocols.json_lines import replies
from application.commands import Id
from domain.errors import TooLarge

PLENTY = 1 << 20

keys = st.text(max_size=5) | st.text(alphabet='",\\k', max_size=5)
texts = st.dictionaries(
    keys, st.sampled_from([b"0", b'"\\n"', b"[" + b"1," * 40 + b"1]"]), max_size=30
)
ids = st.one_of(st.just(UNSET), st.integers(0, 10**6), st.text(max_size=5))


def in_pieces(id: Id, result: Dict[str, bytes], bound: int) -> bytes:
    """The whole reply; raises what making it raises."""
    steps = replies.success_in_pieces(id, result, bound)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return b"".join(end.value)


@given(id=ids, result=texts)
def test_an_object_has_each_text_under_its_key(id: Id, result: Dict[str, bytes]) -> None:
    reply = json.loads(replies.success(id, result, PLENTY))
    assert reply.pop("result") == {key: json.loads(text) for key, text in result.items()}
    assert reply == {"ok": True} if id is UNSET else {"id": id, "ok": True}


@given(id=ids, result=texts)
def test_pieces_make_up_the_same_reply(id: Id, result: Dict[str, bytes]) -> None:
    with pytest.MonkeyPatch.context() as small:
        small.setattr(replies, "PIECE_KEYS", 3)
        assert in_pieces(id, result, PLENTY) == replies.success(id, result, PLENTY)


results = st.one_of(
    texts, st.sampled_from([b"0", b'"ab"', b"1" * 30]), st.just(UNSET), st.integers()
)


@given(id=ids, pairs=st.lists(st.tuples(ids, results), max_size=8))
def test_pieces_make_up_the_same_reply_to_a_batch(id: Id, pairs: List[Tuple[Id, object]]) -> None:
    own, outcomes = [own for own, _ in pairs], [outcome for _, outcome in pairs]
    with pytest.MonkeyPatch.context() as small:
        small.setattr(replies, "PIECE_KEYS", 3)
        small.setattr(replies, "PIECE_BYTES", 20)
        small.setattr(portions, "PIECE_BYTES", 20)
        together = b"".join(replies.batch_in_pieces(id, outcomes, own))
    assert together == replies.success(id, outcomes, PLENTY, own)


@pytest.mark.parametrize("make", [replies.success, in_pieces])
@given(id=ids, result=texts)
def test_a_reply_may_be_as_long_as_its_bound_and_no_longer(
    make: Any, id: Id, result: Dict[str, bytes]
) -> None:
    length = len(make(id, result, PLENTY))
    assert make(id, result, length)
    with pytest.raises(TooLarge):
        make(id, result, length - 1)
