"""The password: comparison, and the limits on guessing it."""

from __future__ import annotations

from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.password import (
    FIRST_DELAY,
    FREE_ATTEMPTS,
    FREE_ATTEMPTS_OVERALL,
    MAX_BACKLOG,
    MAX_DELAY,
    MAX_TRACKED,
    OVERALL_DELAY,
    RESET_AFTER,
    TRUSTED_FOR,
    Password,
)
from tests.support import Clock

SECRET = "open sesame"
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def password(clock: Clock) -> Password:
    return Password(SECRET, clock)


def delay_of(password: Password, clock: Clock, attempt: str, address: str = HERE) -> float:
    """Make an attempt in its turn and return how long it waited."""
    wait = password.wait(address)
    assert wait is not None
    clock.now += wait
    assert password.matches(attempt, address) == (attempt == SECRET)
    return round(wait, 6)


def guess(password: Password, clock: Clock, times: int, address: str = HERE) -> List[float]:
    """How long each of so many wrong attempts waits, one after the other."""
    return [delay_of(password, clock, "wrong", address) for _ in range(times)]


def host(number: int) -> str:
    """One of many addresses that are counted apart."""
    return f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def exhaust_overall(password: Password, first: int = 100_000) -> None:
    """Fail from hosts that did not fail before, until no such host can make an attempt at once."""
    for number in range(first, first + FREE_ATTEMPTS_OVERALL):
        assert password.wait(host(number)) == 0.0


def fill_backlog(password: Password, first: int = 200_000) -> None:
    """Fail from more hosts, until attempts from such hosts are refused."""
    while password.wait(host(first)) is not None:
        first += 1


class TestComparison:
    def test_only_the_password_itself_matches(self, password: Password) -> None:
        assert password.matches(SECRET, HERE)
        for wrong in (
            "",
            "Open sesame",
            "open sesam",
            "open sesame ",
            " open sesame",
            f"{SECRET}\0",
        ):
            assert not password.matches(wrong, HERE)
        assert password.matches(SECRET, HERE)

    any_text = st.text(st.characters(exclude_categories=()), max_size=20)

    @given(secret=any_text, attempt=any_text)
    def test_any_text_can_be_a_secret_or_an_attempt_lone_surrogates_too(
        self, secret: str, attempt: str
    ) -> None:
        password = Password(secret, Clock())
        assert password.matches(attempt, HERE) == (attempt == secret)
        assert password.matches(secret, HERE)

    def test_two_halves_of_a_surrogate_pair_are_not_the_character(self) -> None:
        assert not Password("\ud83d\ude00", Clock()).matches("\U0001f600", HERE)

    def test_the_secret_itself_is_not_kept(self, password: Password) -> None:
        assert SECRET not in repr(vars(password))


class TestOneHost:
    def test_after_the_free_failures_delays_double_up_to_the_maximum(
        self, password: Password, clock: Clock
    ) -> None:
        doubled = [FIRST_DELAY * 2**n for n in range(5)] + [MAX_DELAY, MAX_DELAY]
        assert guess(password, clock, FREE_ATTEMPTS + 7) == [0.0] * FREE_ATTEMPTS + doubled

    def test_the_correct_password_waits_as_a_wrong_one_does_and_resets_the_delay(
        self, password: Password, clock: Clock
    ) -> None:
        guess(password, clock, FREE_ATTEMPTS)
        assert delay_of(password, clock, SECRET) == FIRST_DELAY
        assert delay_of(password, clock, SECRET) == 0.0

    def test_a_client_that_is_always_correct_never_waits(
        self, password: Password, clock: Clock
    ) -> None:
        times = 3 * FREE_ATTEMPTS_OVERALL
        assert [delay_of(password, clock, SECRET) for _ in range(times)] == [0.0] * times

    def test_attempts_at_once_wait_as_long_as_one_after_the_other(self, password: Password) -> None:
        waits = [password.wait(HERE) for _ in range(FREE_ATTEMPTS + 4)]
        assert waits[:FREE_ATTEMPTS] == [0.0] * FREE_ATTEMPTS
        assert waits[FREE_ATTEMPTS:] == [pytest.approx(FIRST_DELAY * n) for n in (1, 3, 7, 15)]

    def test_over_the_maximum_backlog_attempts_are_refused_for_a_while(
        self, password: Password, clock: Clock
    ) -> None:
        waits = [password.wait(HERE) for _ in range(100)]
        longest = max(wait for wait in waits if wait is not None)
        assert MAX_BACKLOG - MAX_DELAY < longest <= MAX_BACKLOG
        assert password.wait(HERE) is None
        assert password.wait(ELSEWHERE) == 0.0
        clock.now += longest
        assert delay_of(password, clock, SECRET) == MAX_DELAY

    def test_failures_from_one_host_do_not_delay_another(
        self, password: Password, clock: Clock
    ) -> None:
        guess(password, clock, 10)
        assert delay_of(password, clock, SECRET, ELSEWHERE) == 0.0

    def test_failures_are_forgotten_after_a_time_without_an_attempt(
        self, password: Password, clock: Clock
    ) -> None:
        guess(password, clock, FREE_ATTEMPTS)
        clock.now += RESET_AFTER + 1
        assert guess(password, clock, FREE_ATTEMPTS) == [0.0] * FREE_ATTEMPTS
        assert delay_of(password, clock, SECRET) == FIRST_DELAY

    def test_guessing_for_hours_waits_the_maximum_and_no_longer(
        self, password: Password, clock: Clock
    ) -> None:
        assert guess(password, clock, 2000)[-1000:] == [MAX_DELAY] * 1000

    def test_the_hosts_that_failed_last_are_tracked(
        self, password: Password, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("application.password.OVERALL_DELAY", 1e-9)
        guess(password, clock, FREE_ATTEMPTS, HERE)
        guess(password, clock, FREE_ATTEMPTS, ELSEWHERE)
        for number in range(MAX_TRACKED - 2):
            clock.now += RESET_AFTER / MAX_TRACKED / 2
            assert password.wait(host(number)) == 0.0
        assert password.wait(ELSEWHERE) == pytest.approx(FIRST_DELAY)
        password.wait(host(MAX_TRACKED))
        assert password.wait(HERE) == 0.0


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("[2001:db8::1]", "[2001:db8::ffff:ffff:ffff:ffff]", True),
        ("[2001:db8::1]", "2001:DB8:0:0:1::", True),
        ("[2001:db8::1]", "[2001:db8:0:1::1]", False),
        ("[fe80::1%eth0]", "[fe80::2%eth1]", True),
        ("[::ffff:192.0.2.1]", "192.0.2.1", True),
        ("[::ffff:c000:201]", "192.0.2.1", True),
        ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.2]", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix", "unix", True),
        ("", "", True),
        ("unix", "", False),
    ],
)
def test_an_ipv6_prefix_of_64_bits_is_one_host_and_a_mapped_address_is_ipv4(
    password: Password, clock: Clock, address: str, other: str, same: bool
) -> None:
    guess(password, clock, FREE_ATTEMPTS, address)
    assert password.wait(other) == (pytest.approx(FIRST_DELAY) if same else 0.0)


def test_a_correct_password_resets_the_whole_prefix(password: Password, clock: Clock) -> None:
    guess(password, clock, FREE_ATTEMPTS, "[2001:db8::1]")
    delay_of(password, clock, SECRET, "[2001:db8::2]")
    assert password.wait("[2001:db8::3]") == 0.0


class TestAllHosts:
    def test_many_hosts_do_not_multiply_the_guesses(self, password: Password, clock: Clock) -> None:
        seconds, guesses = 100, 0
        start = clock.now
        for number in range(100_000):
            wait = password.wait(host(number))
            if wait is None:
                clock.now += 1.0
                if clock.now > start + seconds:
                    break
            else:
                guesses += 1
        most = FREE_ATTEMPTS_OVERALL + (seconds + MAX_BACKLOG + 2) / OVERALL_DELAY
        assert seconds / OVERALL_DELAY < guesses <= most

    def test_attempts_over_the_free_ones_are_spaced_evenly_up_to_the_maximum_backlog(
        self, password: Password
    ) -> None:
        exhaust_overall(password)
        waits = [password.wait(host(number)) for number in range(1000)]
        served = [wait for wait in waits if wait is not None]
        assert served == waits[: len(served)]
        assert served == pytest.approx([OVERALL_DELAY * n for n in range(1, len(served) + 1)])
        assert MAX_BACKLOG - OVERALL_DELAY < served[-1] <= MAX_BACKLOG

    def test_a_refused_attempt_takes_no_turn(self, password: Password, clock: Clock) -> None:
        exhaust_overall(password)
        fill_backlog(password)
        for _ in range(1000):
            assert password.wait(HERE) is None
        clock.now += MAX_BACKLOG + OVERALL_DELAY
        assert password.wait(HERE) == 0.0

    def test_a_new_host_waits_even_with_the_correct_password(
        self, password: Password, clock: Clock
    ) -> None:
        exhaust_overall(password)
        assert delay_of(password, clock, SECRET) == OVERALL_DELAY

    def test_a_host_that_gave_the_password_before_cannot_be_locked_out_from_elsewhere(
        self, password: Password, clock: Clock
    ) -> None:
        delay_of(password, clock, SECRET)
        clock.now += TRUSTED_FOR
        exhaust_overall(password)
        fill_backlog(password)
        assert password.wait(ELSEWHERE) is None
        assert delay_of(password, clock, SECRET) == 0.0

    def test_a_trusted_host_that_fails_is_delayed_by_its_own_failures(
        self, password: Password, clock: Clock
    ) -> None:
        delay_of(password, clock, SECRET)
        assert guess(password, clock, FREE_ATTEMPTS + 1) == [0.0] * FREE_ATTEMPTS + [FIRST_DELAY]

    def test_trust_ends(self, password: Password, clock: Clock) -> None:
        delay_of(password, clock, SECRET)
        clock.now += TRUSTED_FOR + 1
        exhaust_overall(password)
        assert delay_of(password, clock, SECRET) == OVERALL_DELAY

    def test_correct_attempts_cost_nothing_overall(self, password: Password, clock: Clock) -> None:
        for number in range(3 * FREE_ATTEMPTS_OVERALL):
            assert delay_of(password, clock, SECRET, host(number)) == 0.0
        exhaust_overall(password)

    def test_a_pause_restores_the_free_attempts_and_no_more(
        self, password: Password, clock: Clock
    ) -> None:
        exhaust_overall(password)
        clock.now += 100 * FREE_ATTEMPTS_OVERALL * OVERALL_DELAY
        exhaust_overall(password, first=200_000)
        assert password.wait(HERE) == pytest.approx(OVERALL_DELAY)

    def test_trusted_hosts_are_tracked_up_to_a_maximum(
        self, password: Password, clock: Clock
    ) -> None:
        for number in range(MAX_TRACKED + 1):
            assert delay_of(password, clock, SECRET, host(number)) == 0.0
        exhaust_overall(password)
        fill_backlog(password)
        assert password.wait(host(0)) is None
        assert password.wait(host(1)) == 0.0
