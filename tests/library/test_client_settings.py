"""Options of a client that cannot be meant are refused by name, before anything is connected."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kvjson import AsyncClient, Client

from entrypoints.client_settings import DEFAULTS, client_settings

NUMBERS = [name for name, value in DEFAULTS.items() if type(value) in (int, float)]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "5", None])
def test_a_number_out_of_range_is_refused_by_name(name: str, value: Any) -> None:
    for kind in (Client, AsyncClient):
        options: Any = {name: value}
        with pytest.raises(ValueError, match=name):
            kind(**options)


@pytest.mark.parametrize("name", ["attempts", "max_connections", "max_reply_bytes"])
def test_a_count_is_at_least_one(name: str) -> None:
    options: Any = {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0 is not from 1 to"):
        Client(**options)


@pytest.mark.parametrize("host", ["kv://h", "kv://h:7379", "kv+unix:///h", "h:7379", "[::1]:7379"])
def test_an_address_and_a_port_contradict(host: str) -> None:
    with pytest.raises(ValueError, match="port=7379"):
        Client(host, 7379)


@pytest.mark.parametrize("port", [0, -1, 65536, "7379", 7379.0])
def test_a_port_out_of_range_is_refused(port: Any) -> None:
    with pytest.raises(ValueError, match="port="):
        Client("h", port)


@pytest.mark.parametrize(
    ("host", "says"),
    [
        (5, "host=5 is not a text"),
        (b"h", "host=b'h' is not a text"),
        (("h", 7379), "host=('h', 7379) is not a text"),
        ("h:99999", "a port is from 1 to 65535"),
        ("kv://h:99999", "a port is from 1 to 65535; an address is kv://"),
        ("redis://h:99999", "a port is from 1 to 65535; an engine is redis://"),
        ("http://h", "no scheme is called http; known are kv, kvs, kv+unix, redis, "),
        ("+kv://h", "no scheme is called +kv; known are kv, "),
        ("http://:sesame@h:1/path?x=y", "no scheme is called http; known are kv, "),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_wrong_with_an_address_is_named(kind: Any, host: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}") as refused:
        kind(host)
    assert "sesame" not in str(refused.value)


def test_an_empty_host_is_refused() -> None:
    with pytest.raises(ValueError, match="host is empty"):
        Client("")


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key", "tls_server_name"])
def test_files_for_tls_without_tls_are_refused(name: str) -> None:
    options: Any = {name: "file.pem"}
    with pytest.raises(ValueError, match=f"{name} needs TLS"):
        Client("kv://h", **options)


def test_tls_asked_for_by_any_source_is_used() -> None:
    with pytest.raises(ValueError, match="kvs://"):
        Client("kvs://h", tls=False)
    with pytest.raises(ValueError, match="Unix socket"):
        Client("kv+unix:///run/kv.sock", tls=True)
    with pytest.raises(ValueError, match="tls_key needs tls_cert"):
        Client("kvs://h", tls_key="key.pem")
    assert client_settings("kvs://h", None, {})["tls"] is True
    assert client_settings("h", 1, {"tls": True})["tls"] is True


@pytest.mark.parametrize("url", ["kvs://:right@h", "kv+unix://:right@/run/kv", "redis://:right@h"])
@pytest.mark.parametrize("password", ["other", ""])
def test_a_password_beside_an_address_with_another_is_refused(url: str, password: str) -> None:
    with pytest.raises(ValueError, match="password= contradicts the address") as refused:
        client_settings(url, None, {"password": password})
    assert "right" not in str(refused.value)
    assert client_settings(url, None, {"password": "right"})["password"] == "right"
