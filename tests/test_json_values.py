"""When two JSON values are the same, how they are added, and what finding out may cost."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any, List, Tuple, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.budget import Budget
from application.json_values import added, same
from application.limits import DEFAULTS, Limits
from domain.errors import NotANumber, OutOfRange, TooLarge

OPEN = Budget(DEFAULTS).open


def refuse(n_bytes: int) -> None:
    """A budget for which nothing may be opened."""
    raise TooLarge(f"{n_bytes} bytes")


NUMBERS = ["0", "-0", "-0.0", "1", "1.0", "1e0", "10E-1", "2", "1.5", "1e300", "9007199254740993"]
values = st.recursive(
    st.sampled_from(["true", "false", "null", '""', '"a"', '"\\u0061"', '"\\n"', *NUMBERS]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(st.tuples(st.sampled_from(['"a"', '"b"', '"\\u0061"']), inner), max_size=3).map(
            lambda items: "{" + ",".join(f"{name}:{value}" for name, value in items) + "}"
        )
    ),
    max_leaves=6,
)


def model(text: str) -> object:
    """What a text says, in a form in which just the same JSON values are equal."""
    return _tagged(json.loads(text, parse_float=_double, parse_int=Fraction))


def _double(digits: str) -> Fraction:
    return Fraction(Decimal(float(digits)))


def _tagged(value: Any) -> object:
    if isinstance(value, dict):
        return "object", {name: _tagged(member) for name, member in value.items()}
    if isinstance(value, list):
        return "array", [_tagged(element) for element in value]
    return type(value).__name__, value


@given(one=values, other=values)
def test_two_texts_are_the_same_value_just_when_a_model_says_so(one: str, other: str) -> None:
    assert same(one.encode(), other.encode(), OPEN) == (model(one) == model(other))


@given(text=values, data=st.data())
def test_a_value_is_the_same_as_itself_written_in_another_way(
    text: str, data: st.DataObject
) -> None:
    again = json.dumps(json.loads(text), sort_keys=True, indent=data.draw(st.sampled_from([0, 1])))
    assert same(text.encode(), again.encode(), OPEN) == (model(text) == model(again))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (b"[" + b"[]," * 5_000_000 + b"1]", b'"text"', False),
        (b"[" + b"[]," * 5_000_000 + b"1]", b"[" + b"[]," * 5_000_000 + b"1]", True),
        (b"true", b"1", False),
        (b"null", b"false", False),
        (b'"%b"' % (b"a" * 10_000_000), b'"%b"' % (b"b" * 10_000_000), False),
        (b"{}", b"[]", False),
    ],
    ids=["array or string", "equal bytes", "true or 1", "null or false", "strings", "{} or []"],
)
def test_kind_and_bytes_decide_without_opening_a_text(
    one: bytes, other: bytes, equal: bool
) -> None:
    assert same(one, other, refuse) is equal
    assert same(other, one, refuse) is equal


def test_texts_that_have_to_be_opened_are_charged_for_before() -> None:
    charged: List[int] = []
    assert same(b"[1]", b"[1.0]", charged.append)
    assert same(b'"\\u0061"', b'"a"', charged.append)
    assert charged == [8, 11]
    large = b"[%b1]" % (b"1," * 300_000)
    with pytest.raises(TooLarge, match="1,200,"):
        same(large, large[:-1] + b" ]", OPEN)


whole: st.SearchStrategy[Union[int, float]] = st.integers(-(2**63), 2**63 - 1) | st.floats(
    -(2.0**62), 2.0**62
).map(round).map(float)


@given(terms=st.tuples(whole, whole))
def test_a_sum_of_whole_numbers_is_exact_within_64_bits(
    terms: Tuple[Union[int, float], Union[int, float]],
) -> None:
    before, by = terms
    exact = int(before) + int(by)
    if not -(2**63) <= exact < 2**63:
        return
    total = added(json.dumps(before).encode(), by, OPEN)
    if isinstance(before, float) and isinstance(by, float):
        assert total == before + by or total == exact
    else:
        assert total == exact


def test_adding_1_point_0_counts_as_adding_1() -> None:
    total = added(b"9007199254740993", 1.0, OPEN)
    assert (total, type(total)) == (9007199254740994, int)
    total = added(b"5", 1.0, OPEN)
    assert (total, type(total)) == (6.0, float)
    for before, by in ((b"9223372036854775807", 1.0), (b"-9223372036854775808", -1.0)):
        with pytest.raises(OutOfRange):
            added(before, by, OPEN)
    assert added(b"5", 1e300, OPEN) == 1e300


@pytest.mark.parametrize("text", [b"[1]", b"{}", b'"1"', b"true", b"null"])
def test_a_value_that_is_no_number_is_refused_without_decoding(text: bytes) -> None:
    with pytest.raises(NotANumber):
        added(text, 1, refuse)


def test_a_number_of_many_digits_is_charged_for() -> None:
    open = Budget(Limits(max_opened_bytes=100)).open
    with pytest.raises(TooLarge, match="max_opened_bytes"):
        added(b"0." + b"1" * 100, 1, open)
    with pytest.raises(OutOfRange):
        added(b"1" * 100, 1, open)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_string_is_the_same_with_an_escape_for_each_character(string: str) -> None:
    units = string.encode("utf-16-be").hex()
    escapes = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    escaped = f'"{escapes}"'.encode()
    assert same(escaped, json.dumps(string, ensure_ascii=False).encode(), OPEN)
    assert not same(escaped, json.dumps(string + "x", ensure_ascii=False).encode(), OPEN)


def test_a_string_that_cannot_be_as_short_as_another_is_not_opened() -> None:
    assert not same(b'"%b"' % (rb"\u0061" * 3), b'"aa"', refuse)
    with pytest.raises(TooLarge):
        same(b'"%b"' % (rb"\u0061" * 3), b'"aab"', refuse)
