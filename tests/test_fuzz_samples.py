"""The codec's invariants put to what fuzzing found, what it starts from and what Hypothesis mixes.

Rule: atheris is not needed here, so that what was found once is checked on every Python.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any, List

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tests.fuzz.invariants import CHECKS, CUT, check_client, check_server
from tests.fuzz.mutations import TOKEN, mutated
from tests.fuzz.seeds import GET, SET, seeds, tokens

SAMPLES = Path(__file__).parent / "fuzz" / "samples"
KEPT = [
    pytest.param(path.parent.name, path.read_bytes(), id=f"{path.parent.name}-{path.name}")
    for path in sorted(SAMPLES.glob("*/*"))
]
FIRST = [
    pytest.param(side, data, id=f"{side}-{number}")
    for side, inputs in seeds().items()
    for number, data in enumerate(inputs)
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10
)
replies = st.lists(st.sampled_from([CUT, b"\n", b'{"ok":', *tokens()]) | st.binary(max_size=9))


@pytest.mark.parametrize(("side", "data"), KEPT)
def test_samples_found_by_fuzzing_break_no_invariant(side: str, data: bytes) -> None:
    CHECKS[side](data)


@pytest.mark.parametrize(("side", "data"), FIRST)
def test_fuzzing_seeds_break_no_invariant(side: str, data: bytes) -> None:
    CHECKS[side](data)


@pytest.mark.parametrize(
    ("side", "part", "broken"),
    [
        (
            "server",
            "adapters.protocols.json_lines.codec.TRUE",
            defaultdict(lambda: b'{"ok":true,"result":NaN}\n'),
        ),
        (
            "server",
            "adapters.protocols.json_lines.codec.AROUND",
            {UNSET: (b'{"ok":true,"result":\n', b"}\n")},
        ),
        (
            "server",
            "application.conversation.Conversation._end",
            lambda conversation, error: None,
        ),
        ("server", "adapters.protocols.json_lines.lines.Lines.step_back", lambda lines, cut: None),
        ("server", "application.commands.values.validated", lambda text, where="": b"0"),
        ("server", "application.commands.values.validated", lambda text, where="": 1 / 0),
        ("client", "adapters.client.json_lines.replies._outcome", lambda reply: object()),
        ("client", "adapters.client.json_lines.lines.Lines._buffer", lambda lines, rest: None),
    ],
)
def test_the_invariants_notice_a_part_that_is_broken(
    monkeypatch: pytest.MonkeyPatch, side: str, part: str, broken: Any
) -> None:
    monkeypatch.setattr(part, broken)
    with pytest.raises((AssertionError, ValueError)):
        list(map(CHECKS[side], seeds()[side]))


@given(value=values, raw=st.booleans(), size=st.integers(1, 50))
def test_any_value_in_any_pieces_comes_back_equal(value: Any, raw: bool, size: int) -> None:
    data = SET % json.dumps(value, ensure_ascii=not raw).encode() + GET
    check_server(CUT.join(data[at : at + size] for at in range(0, len(data), size)))


@given(asked=st.integers(0, 3), received=replies)
def test_a_client_turns_any_received_bytes_into_results_or_unavailable(
    asked: int, received: List[bytes]
) -> None:
    check_client(GET * asked + b"\n" + b"".join(received))


@given(data=st.binary(), seed=st.integers())
def test_a_mutation_can_be_repeated_and_loses_nothing_it_does_not_mean_to(
    data: bytes, seed: int
) -> None:
    assert b"".join(TOKEN.findall(data)) == data
    once, again = (mutated(data, Random(seed), [GET], [b"x"]) for _ in range(2))
    assert once == again
