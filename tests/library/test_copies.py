"""Errors and results leave the process that made them, as between workers, without a loss."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Callable, Dict, Type

import pytest
from kvjson import AsyncClient, Client, KvError, Limits, NotOfType, Page

from domain import errors
from entrypoints import library

Copied = Callable[[Any], Any]


def pickled(protocol: int) -> Copied:
    return lambda original: pickle.loads(pickle.dumps(original, protocol))


COPIES: Dict[str, Copied] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {number}": pickled(number) for number in range(pickle.HIGHEST_PROTOCOL + 1)},
}
copies = pytest.mark.parametrize("copied", COPIES.values(), ids=list(COPIES))


EXPORTED = [*vars(errors).values(), *vars(library).values()]
KINDS = {each for each in EXPORTED if isinstance(each, type) and issubclass(each, KvError)}


@copies
@pytest.mark.parametrize("kind", sorted(KINDS, key=str), ids=lambda kind: kind.__name__)
def test_an_error_is_copied_with_all_it_says(kind: Type[KvError], copied: Copied) -> None:
    error = kind("what was wrong")
    error.index = 3
    other = copied(error)
    assert type(other) is kind
    assert (str(other), other.args, other.index) == (str(error), error.args, 3)
    assert (other.code, other.blame) == (error.code, error.blame)


@copies
def test_the_value_of_another_type_is_copied_with_its_error(copied: Copied) -> None:
    with Client.local() as client:
        client.set("k", {"name": b"\x00", "n": [1, 2.5, None]})
        with pytest.raises(NotOfType) as refusal:
            client.getdel("k", decode_as=int)
    other = copied(refusal.value)
    assert other.value == {"name": b"\x00", "n": [1, 2.5, None]}
    assert str(other) == str(refusal.value)


@copies
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_is_not_copied_and_says_what_to_do_instead(kind: Any, copied: Copied) -> None:
    says = f"^cannot pickle or copy '{kind.__name__}': each process makes its own$"
    for client in (kind(), kind.local()):
        with pytest.raises(TypeError, match=says):
            copied(client)
    with pytest.raises(TypeError, match=says):
        pickle.dumps(kind().lock("a lock has its client"))


@copies
@pytest.mark.parametrize("result", [Page(["a", "b"], "cursor"), Limits(max_clients=5)])
def test_a_result_is_copied_as_its_type(result: object, copied: Copied) -> None:
    other = copied(result)
    assert type(other) is type(result)
    assert other == result
