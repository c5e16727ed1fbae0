"""The password, and the patience with those who guess it."""

from __future__ import annotations

from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.password import ADDRESSES, DELAY, FORGIVEN, FREE, LONGEST, QUEUE, Password
from tests.support import Clock

SECRET = "open sesame"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def password(clock: Clock) -> Password:
    return Password(SECRET, clock)


def waited(password: Password, clock: Clock, attempt: str, address: str = HERE) -> float:
    """How long an attempt waits for its turn; then it is made."""
    wait = password.wait(address)
    assert wait is not None
    clock.now += wait
    assert password.matches(attempt, address) == (attempt == SECRET)
    return round(wait, 6)


def guess(password: Password, clock: Clock, times: int, address: str = HERE) -> List[float]:
    """How long each of so many wrong attempts waits, one after the other."""
    return [waited(password, clock, "wrong", address) for _ in range(times)]


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
    doubled = [DELAY, 2 * DELAY, 4 * DELAY, 8 * DELAY, 16 * DELAY, LONGEST, LONGEST]
    assert guess(password, clock, FREE + 7) == [0.0] * FREE + doubled


def test_the_right_one_waits_as_a_wrong_one_does_and_all_is_forgiven(
    password: Password, clock: Clock
) -> None:
    guess(password, clock, FREE)
    assert waited(password, clock, SECRET) == DELAY
    assert waited(password, clock, SECRET) == 0.0


def test_who_is_always_right_never_waits(password: Password, clock: Clock) -> None:
    assert [waited(password, clock, SECRET) for _ in range(100)] == [0.0] * 100


def test_attempts_at_once_wait_as_long_as_one_after_the_other(password: Password) -> None:
    waits = [password.wait(HERE) for _ in range(FREE + 4)]
    assert waits[:FREE] == [0.0] * FREE
    assert waits[FREE:] == [pytest.approx(DELAY * total) for total in (1, 3, 7, 15)]


def test_when_many_wait_already_more_are_turned_away_for_a_while(
    password: Password, clock: Clock
) -> None:
    waits = [password.wait(HERE) for _ in range(100)]
    longest = max(wait for wait in waits if wait is not None)
    assert QUEUE - LONGEST < longest <= QUEUE
    assert password.wait(HERE) is None
    assert password.wait(ELSEWHERE) == 0.0
    clock.now += longest
    assert waited(password, clock, SECRET) == LONGEST


def test_failures_at_one_address_cost_nothing_at_another(password: Password, clock: Clock) -> None:
    guess(password, clock, 10)
    assert waited(password, clock, SECRET, ELSEWHERE) == 0.0


def test_an_address_is_forgiven_after_a_time_without_an_attempt(
    password: Password, clock: Clock
) -> None:
    guess(password, clock, FREE)
    clock.now += FORGIVEN + 1
    assert guess(password, clock, FREE) == [0.0] * FREE
    assert waited(password, clock, SECRET) == DELAY


def test_of_very_many_addresses_those_that_tried_last_are_remembered(
    password: Password, clock: Clock
) -> None:
    guess(password, clock, FREE, "early")
    guess(password, clock, FREE, "early and late")
    for number in range(ADDRESSES - 2):
        password.wait(f"address {number}")
    assert password.wait("early and late") == pytest.approx(DELAY)
    password.wait("one more")
    assert password.wait("early") == 0.0


def test_whoever_guesses_for_hours_waits_the_longest_and_no_longer(
    password: Password, clock: Clock
) -> None:
    assert guess(password, clock, 2000)[-1000:] == [LONGEST] * 1000
