"""Tests that assert times are called again when they fail, and only they."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable, List, Optional

import pytest

from tests.conftest import TIMING_ROUNDS, pytest_pyfunc_call


def call(test: Callable[..., None], marker: Optional[str] = "timing", **arguments: Any) -> Any:
    """What pytest does with a test of that marker."""
    item: Any = SimpleNamespace(
        obj=test,
        funcargs={**arguments, "unasked": None},
        nodeid="a test",
        config=SimpleNamespace(stash=pytest.Stash()),
        get_closest_marker=lambda name: name if name == marker else None,
    )
    return pytest_pyfunc_call(item)


def passing_at(number: int, calls: List[int]) -> None:
    calls.append(1)
    assert len(calls) == number


def test_a_timing_test_that_passes_in_the_last_round_passes() -> None:
    calls: List[int] = []
    assert call(passing_at, number=TIMING_ROUNDS, calls=calls) is True
    assert len(calls) == TIMING_ROUNDS


def test_a_timing_test_that_fails_in_every_round_fails() -> None:
    calls: List[int] = []
    with pytest.raises(AssertionError):
        call(passing_at, number=TIMING_ROUNDS + 1, calls=calls)
    assert len(calls) == TIMING_ROUNDS


def test_a_timing_test_that_raises_another_exception_fails_at_once() -> None:
    calls: List[int] = []

    def broken() -> None:
        calls.append(1)
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - this very one
        call(broken)
    assert len(calls) == 1


def test_a_test_without_the_marker_is_left_to_pytest() -> None:
    calls: List[int] = []
    assert call(passing_at, marker=None, number=1, calls=calls) is None
    assert calls == []
