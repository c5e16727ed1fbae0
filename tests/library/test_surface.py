"""The methods of all kinds of clients: one for each command, with the same arguments and words."""

from __future__ import annotations

import inspect
from typing import Any, List

import kvjson
import pytest
from kvjson import AsyncClient, AsyncPipeline, Client, Pipeline

from domain.errors import BY_CODE
from entrypoints.library import requests
from entrypoints.library.queues import Queue
from tests.library.kinds import CALLS, METHODS

KINDS: List[Any] = [Client, AsyncClient, Queue, Pipeline, AsyncPipeline]


def test_there_is_one_request_for_each_command_and_it_makes_that_command() -> None:
    assert set(CALLS) == set(METHODS)
    for name, kind in METHODS.items():
        assert type(getattr(requests, name)(*CALLS[name]).command) is kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_method_for_each_command_and_no_other(kind: Any) -> None:
    made = {
        name
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if getattr(member, "__wrapped__", None) in vars(requests).values()
    }
    assert made == set(METHODS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_and_says_what_its_request_does(kind: Any, name: str) -> None:
    request, method = getattr(requests, name), getattr(kind, name)
    said = inspect.signature(method).parameters.values()
    assert [p for p in said if p.name != "self"] == list(
        inspect.signature(request).parameters.values()
    )
    assert method.__name__ == name
    assert method.__doc__ == request.__doc__


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_whether_it_is_repeated_as_it_is(name: str) -> None:
    doc = " ".join((getattr(requests, name).__doc__ or "").split())
    end = "Repeated when the connection is lost." if METHODS[name].readonly else "Never repeated."
    assert doc.endswith(end)


def test_methods_of_asyncio_are_coroutines_and_those_of_others_are_not() -> None:
    for name in METHODS:
        assert inspect.iscoroutinefunction(getattr(AsyncClient, name))
        assert not inspect.iscoroutinefunction(getattr(Client, name))


def test_whatever_else_a_client_can_do_the_one_for_asyncio_can_do_too() -> None:
    plain = {name for name in vars(Client) if not name.startswith("_")} - {"local"}
    awaited = {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert plain == awaited
    assert inspect.signature(AsyncClient.keys) == inspect.signature(Client.keys).replace(
        return_annotation="AsyncIterator[str]"
    )


def test_every_error_that_a_server_may_tell_can_be_caught_by_name() -> None:
    for kind in (*BY_CODE.values(), kvjson.KvError, kvjson.Unreachable):
        assert getattr(kvjson, kind.__name__) is kind


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", METHODS)
def test_help_on_a_clients_method_shows_all_of_its_arguments(kind: Any, name: str) -> None:
    method = getattr(kind(), name)
    inspect.signature(method).bind(*CALLS[name])
    assert "Request" not in str(inspect.signature(method))
