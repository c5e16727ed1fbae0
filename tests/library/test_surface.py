"""The methods of all kinds of clients: one for each command, with the same arguments and words."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from typing import Any, List, Optional, get_type_hints

import kvjson
import pytest
from kvjson import AsyncClient, AsyncPipeline, Client, Pipeline

from domain.errors import BY_CODE
from entrypoints import library
from entrypoints.client_settings import DEFAULTS
from entrypoints.library import requests
from entrypoints.library.buffers import CommandBuffer
from tests.library import methods
from tests.library.kinds import CALLS, METHODS
from tests.support import ROOT, TIMEOUT

KINDS: List[Any] = [Client, AsyncClient, CommandBuffer, Pipeline, AsyncPipeline]


def test_each_command_has_one_request_that_makes_it() -> None:
    assert set(CALLS) == set(METHODS) == set(requests.REQUESTS)
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
def test_a_methods_docstring_says_whether_it_is_repeated(name: str) -> None:
    doc = " ".join((getattr(requests, name).__doc__ or "").split())
    end = "Repeated when the connection is lost." if METHODS[name].readonly else "Never repeated."
    assert doc.endswith(end)


def test_methods_of_asyncio_are_coroutines_and_those_of_others_are_not() -> None:
    for name in METHODS:
        assert inspect.iscoroutinefunction(getattr(AsyncClient, name))
        assert not inspect.iscoroutinefunction(getattr(Client, name))


def test_the_asyncio_client_has_every_public_method_of_the_client() -> None:
    plain = {name for name in vars(Client) if not name.startswith("_")}
    awaited = {name for name in vars(AsyncClient) if not name.startswith("_")}
    assert plain == awaited
    assert inspect.signature(AsyncClient.keys) == inspect.signature(Client.keys).replace(
        return_annotation="AsyncIterator[str]"
    )


def test_every_error_that_a_server_may_tell_can_be_caught_by_name() -> None:
    for kind in (*BY_CODE.values(), kvjson.KvError, kvjson.Unreachable):
        assert getattr(kvjson, kind.__name__) is kind


def test_the_methods_are_those_that_the_list_of_requests_makes() -> None:
    assert methods.PATH.read_text(encoding="utf-8") == methods.written(), (
        "run python -m tests.library.methods"
    )


@pytest.mark.parametrize("name", library.__all__)
def test_every_public_name_has_the_module_kvjson(name: str) -> None:
    public = getattr(kvjson, name)
    assert public.__module__ == "kvjson"
    assert pickle.loads(pickle.dumps(public)) is public
    assert public.__doc__


def test_annotations_of_public_records_can_be_evaluated() -> None:
    assert get_type_hints(kvjson.Page) == {"keys": List[str], "cursor": Optional[str]}
    assert get_type_hints(kvjson.ClientOptions)["timeout"] is float
    assert set(get_type_hints(kvjson.ClientOptions)) == set(DEFAULTS)


def test_every_option_of_a_client_is_documented_with_its_default() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    for name in DEFAULTS:
        assert f"| `{name}` |" in page


def test_importing_the_library_loads_no_command_line_and_no_event_loop() -> None:
    program = "import sys, kvjson; kvjson.Client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "kvjson" in loaded
    assert not loaded & {"click", "gevent", "prompt_toolkit", "rich"}


def test_a_client_shows_where_its_server_is_and_never_the_password() -> None:
    for kind in (Client, AsyncClient):
        name = kind.__name__
        assert repr(kind("kv://:sesame@example.org")) == f"<{name} kv://example.org:7379>"
        assert repr(kind("kvs://[::1]:5000", password="sesame")) == f"<{name} kvs://[::1]:5000>"
        assert repr(kind("kv+unix://:sesame@/run/a%20b")) == f"<{name} kv+unix:///run/a%20b>"
        assert repr(kind.local()) == f"<{name} local>"


def test_the_repr_of_a_pending_result_shows_its_state() -> None:
    pipeline = Client.local().pipeline()
    n, missing = pipeline.incr("n"), pipeline.get("missing")
    assert repr(pipeline) == "<Pipeline: 2 to send>"
    assert repr(n) == "<PendingResult of incr: not sent>"
    pipeline.run()
    assert repr(n) == "<PendingResult of incr: 1>"
    assert repr(missing) == "<PendingResult of get: None>"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("name", METHODS)
def test_help_on_a_clients_method_shows_all_of_its_arguments(kind: Any, name: str) -> None:
    method = getattr(kind(), name)
    inspect.signature(method).bind(*CALLS[name])
    assert "Request" not in str(inspect.signature(method))
    assert "UNSET" not in str(inspect.signature(method))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_help_shows_what_a_method_returns(kind: Any, name: str) -> None:
    made = str(inspect.signature(getattr(requests, name)).return_annotation)
    result = made[len("Request[") : -1]
    returned = inspect.signature(getattr(kind, name)).return_annotation
    buffered = issubclass(kind, CommandBuffer)
    assert returned == (f"PendingResult[{result}]" if buffered else result)
