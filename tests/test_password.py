"""The password, and the patience with those who guess it."""

from __future__ import annotations

from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.password import ADDRESSES, DELAY, FORGIVEN, FREE, LONGEST, Password
from tests.support import Clock

SECRET = "open sesame"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def password(clock: Clock) -> Password:
    return Password(SECRET, clock)


def fail(password: Password, times: int, address: str = HERE) -> None:
    for _ in range(times):
        assert not password.matches("wrong", address)


def guess(password: Password, clock: Clock, times: int) -> List[float]:
    """How long each of so many wrong attempts had to wait, one after the other."""
    waits = []
    for _ in range(times):
        waits.append(round(password.wait(HERE), 6))
        clock.now += waits[-1]
        fail(password, 1)
    return waits


def test_the_right_one_matches_and_no_other(password: Password) -> None:
    assert password.matches(SECRET, HERE)
    for wrong in ("", "Open sesame", "open sesam", "open sesame ", " open sesame", "open sesame\0"):
        assert not password.matches(wrong, HERE)
    assert password.matches(SECRET, HERE)


any_text = st.text(st.characters(exclude_categories=()), max_size=20)


@given(secret=any_text, attempt=any_text)
def test_any_text_can_be_a_secret_or_an_attempt_half_surrogate_pairs_too(
    secret: str, attempt: str
) -> None:
    password = Password(secret, Clock())
    assert password.matches(attempt, HERE) == (attempt == secret)
    assert password.matches(secret, HERE)


def test_two_halves_of_a_surrogate_pair_are_not_the_character() -> None:
    assert not Password("\ud83d\ude00", Clock()).matches("\U0001f600", HERE)


def test_the_secret_itself_is_not_kept(password: Password) -> None:
    assert SECRET not in repr(vars(password))


def test_a_few_failures_cost_nothing_and_the_next_ones_twice_as_long_each_up_to_the_longest(
    password: Password, clock: Clock
) -> None:
    assert guess(password, clock, 11) == [0, 0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_the_right_one_waits_as_the_wrong_ones_do(password: Password) -> None:
    fail(password, FREE)
    assert password.wait(HERE) == pytest.approx(DELAY)
    assert password.matches(SECRET, HERE)
    assert password.wait(HERE) > DELAY


def test_attempts_that_are_made_at_once_have_their_turns_one_after_the_other(
    password: Password, clock: Clock
) -> None:
    fail(password, FREE)
    assert [round(password.wait(HERE), 6) for _ in range(4)] == [0.1, 0.2, 0.3, 0.4]
    clock.now += 0.3
    assert password.wait(HERE) == pytest.approx(0.2)


def test_a_turn_that_nobody_waits_for_is_not_saved_up(password: Password, clock: Clock) -> None:
    fail(password, FREE)
    clock.now += 100
    assert [round(password.wait(HERE), 6) for _ in range(2)] == [0.1, 0.2]


def test_failures_at_one_address_cost_nothing_at_another(password: Password, clock: Clock) -> None:
    guess(password, clock, 10)
    assert [password.wait(ELSEWHERE) for _ in range(10)] == [0.0] * 10
    fail(password, FREE - 1, ELSEWHERE)
    assert password.wait(ELSEWHERE) == 0.0


def test_an_address_is_forgiven_after_a_time_without_an_attempt(
    password: Password, clock: Clock
) -> None:
    fail(password, FREE)
    clock.now += FORGIVEN
    assert password.wait(HERE) > 0
    clock.now += FORGIVEN
    assert password.wait(HERE) > 0, "the attempt before was a new one"
    clock.now += FORGIVEN + 1
    assert guess(password, clock, FREE + 1) == [0.0] * FREE + [DELAY]


def test_failures_long_before_do_not_count_with_new_ones(password: Password, clock: Clock) -> None:
    fail(password, FREE - 1)
    clock.now += FORGIVEN + 1
    fail(password, FREE - 1)
    assert password.wait(HERE) == 0.0
    fail(password, 1)
    assert password.wait(HERE) > 0


def test_of_very_many_addresses_those_that_tried_last_are_remembered(password: Password) -> None:
    fail(password, FREE, "early")
    fail(password, FREE, "early and late")
    for number in range(ADDRESSES - 2):
        fail(password, FREE, f"address {number}")
    assert password.wait("early and late") > 0
    fail(password, 1, "one too many")
    fail(password, 1, "two too many")
    assert password.wait("early") == 0.0
    assert password.wait("address 0") == 0.0
    for address in ("early and late", "address 1", f"address {ADDRESSES - 3}"):
        assert password.wait(address) > 0


def test_asking_for_a_turn_does_not_make_an_address_one_to_remember(password: Password) -> None:
    fail(password, FREE)
    for number in range(ADDRESSES + 1):
        password.wait(f"address {number}")
    assert password.wait(HERE) > 0


def test_whoever_guesses_for_hours_waits_the_longest_and_no_longer(
    password: Password, clock: Clock
) -> None:
    assert guess(password, clock, 2000)[-1000:] == [LONGEST] * 1000
