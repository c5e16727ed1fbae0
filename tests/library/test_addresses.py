"""How a program says which server it means, and how it is told that this cannot be."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from kvjson import AsyncClient, Client, KvError, Unreachable

from entrypoints.client_settings import client_settings
from tests.support import Server


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("kv://example.org", {"host": "example.org", "port": 7379, "tls": False, "password": ""}),
        ("kv://example.org:5000", {"host": "example.org", "port": 5000}),
        ("kv://example.org:5000/", {"host": "example.org", "port": 5000}),
        ("kv://:secret@example.org", {"host": "example.org", "port": 7379, "password": "secret"}),
        ("kv://:p%40ss%2Fw:rd%3F@h:1", {"host": "h", "port": 1, "password": "p@ss/w:rd?"}),
        ("kvs://[::1]:5000", {"host": "::1", "port": 5000, "tls": True}),
        ("KVS://h", {"host": "h", "port": 7379, "tls": True}),
        ("example.org:5000", {"host": "example.org", "port": 5000, "tls": False}),
        ("[::1]:5000", {"host": "::1", "port": 5000}),
        ("example.org", {"host": "example.org", "port": 1234, "tls": False}),
        ("::1", {"host": "::1", "port": 1234, "tls": False}),
    ],
)
def test_an_address_says_host_port_password_and_tls(url: str, meant: Any) -> None:
    port = 1234 if meant["port"] == 1234 else None
    understood = client_settings(url, port, {})
    assert {name: understood[name] for name in meant} == meant


def test_what_is_said_in_words_wins_over_the_address() -> None:
    understood = client_settings("kv://:old@h", None, {"password": "new", "tls": True})
    assert (understood["password"], understood["tls"]) == ("new", True)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    [
        "http://:open-sesame@h",
        "redis://:open-sesame@h:6379/0",
        "kv://:open-sesame@",
        "kv://:open-sesame@h/0",
        "kv://:open-sesame@h?db=0",
        "kv://:open-sesame@h#0",
        "kv://user:open-sesame@h",
        "kv://:open-sesame@h:port",
        "kv://:open-sesame@h:99999",
        "kv://:open-sesame@h:-1",
        "kv://:open-sesame@[::1",
        "kv://:open/sesame@h",
        "kv://:open#sesame@h",
        "kv://:open?sesame@h",
        "kv://:open[sesame@h",
        "kv://",
        "h:port",
        "[::1",
        "://",
    ],
)
def test_a_bad_address_is_refused_without_the_password_in_the_message(kind: Any, url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        kind(url)
    told = "".join(traceback.format_exception_only(type(refusal.value), refusal.value))
    assert "open" not in told
    assert "sesame" not in told


@pytest.mark.parametrize("password", ["open\uff1asesame", "open\u2100sesame", "open\uff20sesame"])
def test_a_password_that_cannot_be_in_an_address_is_not_in_the_message(password: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        Client(f"kv://:{password}@h")
    assert "sesame" not in str(refusal.value)


def test_a_password_without_its_at_sign_is_not_in_the_message() -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        Client("kv://h:sesame")
    assert "sesame" not in str(refusal.value)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_option_that_there_is_none_of_is_a_type_error_that_names_it(kind: Any) -> None:
    with pytest.raises(TypeError, match="time_out"):
        kind(time_out=5, password="sesame")
    with pytest.raises(TypeError, match="pasword") as refusal:
        kind("kv://h", pasword="sesame")
    assert "sesame" not in str(refusal.value)


def test_the_kind_of_network_is_no_option_for_asyncio() -> None:
    with pytest.raises(TypeError, match="network"):
        AsyncClient(network="gevent")


def test_a_kind_of_network_that_there_is_none_of_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="fibers"):
        Client(network="fibers")  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["timeout", "connect_timeout"])
def test_an_option_that_is_no_number_is_told_at_once(option: str) -> None:
    options: Any = {option: None}
    with pytest.raises(ValueError, match=option):
        Client(**options)


def test_an_address_reaches_the_server(server: Server) -> None:
    for client in (
        Client(f"kv://127.0.0.1:{server.port}"),
        Client(f"kv://localhost:{server.port}"),
        Client("127.0.0.1", server.port),
        Client(port=server.port),
        Client(host="localhost", port=server.port, password=""),
    ):
        with client:
            assert client.ping() == "PONG"


def test_a_host_that_there_is_none_of_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="localhost:7379"):
        Client("localhost:7379", attempts=1).ping()


def test_a_host_that_can_be_none_is_unreachable() -> None:
    with pytest.raises(KvError):
        Client("a..b", attempts=1).ping()


def test_building_a_client_connects_to_nothing() -> None:
    Client("kv://nowhere.invalid:1")
    AsyncClient("kvs://nowhere.invalid:1", tls_ca="/no/such/file")
