"""The scripts of lock recipes, carried out without Lua."""

from __future__ import annotations

import hashlib

import pytest
from dependency_injector import providers

from adapters.client.loopback import LoopbackLink
from adapters.protocols.resp.scripts import MAX_LOADED
from application.ports import Conversation
from tests.fuzz.resp import COMPARE_AND_SET, DELETE
from tests.support import Clock, answer, server_container
from tests.test_resp import request, said

NO_LUA = b"-ERR there is no Lua here: of scripts, only those of some lock recipes are known\r\n"


def conversation(clock: Clock) -> Conversation:
    container = server_container()
    container.clock.override(providers.Object(clock))
    talk: Conversation = container.plain_conversation(LoopbackLink())
    return talk


def test_compare_and_delete_is_known_by_any_spelling_of_its_text() -> None:
    talk = conversation(Clock())

    def run(*arguments: bytes) -> bytes:
        return answer(talk, [request(*arguments)])

    name = hashlib.sha1(DELETE).hexdigest().encode()
    run(b"SET", b"k", b"token")
    assert run(b"EVALSHA", name, b"1", b"k", b"token").startswith(b"-NOSCRIPT ")
    assert run(b"EVAL", DELETE, b"1", b"k", b"other") == b":0\r\n"
    assert run(b"EVALSHA", name.upper(), b"1", b"k", b"token") == b":1\r\n"
    assert run(b"GET", b"k") == b"$-1\r\n"
    assert run(b"SCRIPT", b"EXISTS", name, b"0" * 40) == b"*2\r\n:1\r\n:0\r\n"
    assert run(b"SCRIPT", b"FLUSH") == b"+OK\r\n"
    assert run(b"SCRIPT", b"LOAD", DELETE.lower()) != b"$40\r\n%b\r\n" % name
    assert run(b"SCRIPT", b"EXISTS", name) == b"*1\r\n:0\r\n"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request(b"EVAL", b"return 1", b"0"), NO_LUA),
        (request(b"SCRIPT", b"LOAD", b"return 1"), NO_LUA),
        (request(b"EVAL", DELETE + b" " * 5000, b"0"), NO_LUA),
        (request(b"EVAL", b"--[[\n" + DELETE + b"\n--]]", b"1", b"k", b"token"), NO_LUA),
        (request(b"EVAL", b"--[==[\n" + DELETE + b"\n--]==]", b"1", b"k", b"token"), NO_LUA),
        (request(b"EVAL", DELETE, b"x"), b"-ERR value is not an integer or out of range\r\n"),
        (request(b"EVAL", DELETE, b"-1"), b"-ERR Number of keys can't be negative\r\n"),
        (
            request(b"EVAL", DELETE, b"2", b"k"),
            b"-ERR Number of keys can't be greater than number of args\r\n",
        ),
        (
            request(b"EVAL", DELETE, b"1", b"k"),
            b"-ERR this script has one key, and other arguments than these\r\n",
        ),
        (
            request(b"EVAL", COMPARE_AND_SET, b"1", b"k", b"v", b"token", b"KEEPTTL", b"10"),
            b"-ERR syntax error\r\n",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused(sent: bytes, expected: bytes) -> None:
    assert said(sent) == expected


def test_a_script_is_executed_in_a_transaction() -> None:
    transaction = [
        *(
            request(b"SET", b"k", b"t"),
            request(b"MULTI"),
            request(b"EVAL", DELETE, b"1", b"k", b"t"),
        ),
        *(request(b"GET", b"k"), request(b"EXEC")),
    ]
    assert said(b"".join(transaction)).endswith(b"*2\r\n:1\r\n$-1\r\n")


def test_a_script_is_found_once_its_eval_is_executed() -> None:
    name = hashlib.sha1(DELETE).hexdigest().encode()
    found, run = request(b"SCRIPT", b"EXISTS", name), request(b"EVAL", DELETE, b"1", b"k", b"v")
    by_name = request(b"EVALSHA", name, b"1", b"k", b"v")
    refused = [request(b"MULTI"), run, request(b"DISCARD")]
    assert said(b"".join([*refused, found])).endswith(b"*1\r\n:0\r\n")
    assert said(request(b"SCRIPT", b"LOAD", DELETE) + by_name + found).endswith(
        b":0\r\n*1\r\n:1\r\n"
    )
    replies = said(run + by_name + request(b"INFO", b"commandstats"))
    assert replies.startswith(b":0\r\n" * 2)
    assert b"cmdstat_eval:calls=1\r\ncmdstat_evalsha:calls=1\r\n" in replies


def test_before_the_password_no_script_is_kept() -> None:
    container = server_container(password="secret")
    talk = container.plain_conversation(LoopbackLink())
    answer(talk, [request(b"EVAL", DELETE, b"1", b"k", b"v")])
    assert not container.resp().scripts


def test_a_long_value_is_stored_by_a_script() -> None:
    data = b"x" * 200_000
    replies = said(
        request(b"SET", b"k", b"v"),
        request(b"EVAL", COMPARE_AND_SET, b"1", b"k", data, b"v"),
        request(b"EVAL", COMPARE_AND_SET, b"1", b"k", data, b"v"),
        request(b"STRLEN", b"k"),
    )
    assert replies == b"+OK\r\n+OK\r\n:0\r\n:200000\r\n"


def test_spellings_of_scripts_that_are_kept_are_bounded() -> None:
    container = server_container()
    talk = container.plain_conversation(LoopbackLink())
    for number in range(MAX_LOADED + 5):
        answer(talk, [request(b"SCRIPT", b"LOAD", DELETE + b"-- %d" % number)])
    assert len(container.resp().scripts) == MAX_LOADED
