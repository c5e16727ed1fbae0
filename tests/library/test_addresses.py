"""Addresses and options of a client, and the errors for bad ones."""

from __future__ import annotations

import re
import socket
import traceback
from typing import Any, Tuple
from urllib.parse import unquote

import pytest
from kvjson import AsyncClient, Client, Unreachable

from entrypoints.address import (
    MAX_PATH_BYTES,
    ListenAddress,
    parse_host,
    parse_place,
    parts_of,
)
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


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("kv+unix:///run/kv.sock", {"unix_path": "/run/kv.sock", "tls": False}),
        ("kv+unix://:secret@/run/kv.sock", {"unix_path": "/run/kv.sock", "password": "secret"}),
        ("KV+UNIX:///a%20b/%D0%BA.sock", {"unix_path": "/a b/к.sock"}),
        ("kv://h", {"host": "h", "port": None, "unix_path": None, "tls": False}),
        ("kv://[fe80::1%eth0]:5000", {"host": "fe80::1%eth0", "port": 5000}),
        ("kvs://[fe80::1%25eth0]", {"host": "fe80::1%eth0", "port": None, "tls": True}),
        ("kv://[fe80::1%25]", {"host": "fe80::1%25"}),
        ("kv://bücher.example", {"host": "bücher.example"}),
    ],
)
def test_an_address_says_a_unix_socket_or_a_zone(url: str, meant: Any) -> None:
    understood = parts_of(url)
    assert {name: understood[name] for name in meant} == meant


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("h", ("h", None)),
        ("h:1", ("h", 1)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("::1", ("::1", None)),
        ("fe80::1%eth0", ("fe80::1%eth0", None)),
        ("fd00::1:a", ("fd00::1:a", None)),
        ("1:2:3:4:5:6:7:8", ("1:2:3:4:5:6:7:8", None)),
        ("[::1]", ("::1", None)),
        ("[fe80::1%25eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_a_place_is_a_host_and_perhaps_a_port(text: str, place: Tuple[str, Any]) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["::1:0", "::1:7379", "fe80::1:80", "fd00::a:1"])
@pytest.mark.parametrize("parse", [parse_place, ListenAddress.parse, Client])
def test_a_bare_ipv6_address_that_may_end_in_a_port_is_refused_with_both_meanings(
    parse: Any, text: str
) -> None:
    host, _, port = text.rpartition(":")
    with pytest.raises(ValueError, match=re.escape(f"[{host}]:{port} or [{text}]")):
        parse(text)


def test_a_bare_ipv6_address_beside_a_port_is_that_address() -> None:
    assert parse_host("fd00::a:1") == "fd00::a:1"
    assert repr(Client("fd00::a:1", 5000)) == "<Client kv://[fd00::a:1]:5000>"


class TestListenAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("127.0.0.1:5000", ListenAddress("tcp", "127.0.0.1", 5000)),
            ("127.0.0.1:0", ListenAddress("tcp", "127.0.0.1", 0)),
            ("localhost", ListenAddress("tcp", "localhost", 7379)),
            ("[::1]:7379", ListenAddress("tcp", "::1", 7379)),
            ("[fe80::1%eth0]:7379", ListenAddress("tcp", "fe80::1%eth0", 7379)),
            ("::", ListenAddress("tcp", "::", 7379)),
            ("unix:/run/kv.sock", ListenAddress("unix", path="/run/kv.sock", mode=0o600)),
            ("unix:/run/kv.sock?mode=660", ListenAddress("unix", path="/run/kv.sock", mode=0o660)),
            ("unix:/a b,c", ListenAddress("unix", path="/a b,c")),
        ],
    )
    def test_a_listen_address_is_a_host_and_a_port_or_a_unix_socket(
        self, text: str, address: Any
    ) -> None:
        assert ListenAddress.parse(text) == address
        assert ListenAddress.parse(str(address)) == address

    @pytest.mark.parametrize(
        "text",
        [
            "",
            ":7379",
            "7379",
            "h:",
            "h:65536",
            "h:-1",
            "\udcff:1",
            "a" * 64 + ":1",
            "[::1",
            "kv://h",
            "unix:",
            "unix:run/kv.sock",
            "unix:/run/",
            "unix:/run/kv.sock?mode=9",
            "unix:/run/kv.sock?mood=600",
            "unix:/" + MAX_PATH_BYTES * "a",
        ],
    )
    def test_a_malformed_listen_address_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            ListenAddress.parse(text)

    @pytest.mark.parametrize(
        ("text", "tls", "url"),
        [
            ("127.0.0.1:5000", False, "kv://127.0.0.1:5000"),
            ("[::1]:5000", True, "kvs://[::1]:5000"),
            ("unix:/a b/kv.sock", True, "kv+unix:///a%20b/kv.sock"),
        ],
    )
    def test_a_listen_address_becomes_a_url_for_clients(
        self, text: str, tls: bool, url: str
    ) -> None:
        address = ListenAddress.parse(text)
        assert address.url(tls) == url
        understood = parts_of(url)
        if address.kind == "unix":
            assert understood["unix_path"] == address.path
        else:
            assert (understood["host"], understood["port"]) == (address.host, address.port)

    def test_localhost_is_an_address_of_each_family_that_the_system_has(self) -> None:
        found = ListenAddress.parse("localhost:5000").resolved()
        assert ListenAddress("tcp", "127.0.0.1", 5000) in found
        assert len(found) == len(set(found))
        assert {address.host for address in found} <= {"127.0.0.1", "::1"}

    def test_a_name_that_cannot_be_resolved_is_left_for_the_system_to_refuse(self) -> None:
        address = ListenAddress.parse("nowhere.invalid:5000")
        assert address.resolved() == [address]

    @pytest.mark.parametrize(
        ("text", "local"),
        [
            ("127.0.0.1", True),
            ("127.9.9.9", True),
            ("[::1]", True),
            ("unix:/run/kv.sock", True),
            ("0.0.0.0", False),
            ("[::]", False),
            ("192.0.2.1", False),
            ("[fe80::1%eth0]", False),
        ],
    )
    def test_loopback_and_unix_sockets_are_local(self, text: str, local: bool) -> None:
        assert ListenAddress.parse(text).is_local == local


def test_a_keyword_argument_adds_tls_to_an_address() -> None:
    understood = client_settings("kv://:old@h", None, {"tls": True})
    assert (understood["password"], understood["tls"]) == ("old", True)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    [
        "http://:open-sesame@h",
        "redis://:open-sesame@h:6379/zero",
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
        "kv+unix://:open-sesame@h/run/kv.sock",
        "kv+unix://:open-sesame@",
        "kvs+unix://:open-sesame@/run/kv.sock",
        "kv+unix://:open-sesame@/run/kv.sock?x",
        "kv://",
        "kv://h:0",
        "kv://h:7379:7379",
        "kv://h h",
        "kv://h\n",
        "kv://h%41",
        "kv://[::1]]",
        "kv://[1.2.3.4]",
        "kv://::1",
        "kv+unix://run/kv.sock",
        "kv+unix:///run/kv.sock/",
        "kv+unix:///run/%00",
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


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kv://h:7379/3", "no path follows host and port, nor a database: kv:// is database 0"),
        ("kvs://:secret@[::1]/3", "no path follows host and port, nor a database: kvs:// is"),
        ("kv:///run/kv.sock", "kv+unix://[:password@]/path"),
        ("kv://::1", "an IPv6 address stands in brackets, [::1]:7379; an address is kv://"),
        ("kv://h:x", "an IPv6 address stands in brackets, [::1]:7379; an address is kv://"),
        ("redis://::1", "an IPv6 address stands in brackets, [::1]:7379; an engine is redis://"),
    ],
)
def test_a_bad_address_is_refused_with_what_is_right_once(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as refusal:
        Client(url)
    assert str(refusal.value).count("in brackets") <= 1


@pytest.mark.parametrize("password", ["open\uff1asesame", "op\u00e9n", "open sesame", "%E2%98%83"])
def test_a_password_may_have_any_character_but_those_that_end_it(password: str) -> None:
    assert parts_of(f"kv://:{password}@h")["password"] == unquote(password)


def test_a_password_that_is_not_utf_8_is_refused_without_being_quoted() -> None:
    with pytest.raises(ValueError, match="UTF-8") as refusal:
        parts_of("kv://:sesame%ff@h")
    assert "sesame" not in str(refusal.value)


def test_a_password_without_its_at_sign_is_not_in_the_message() -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        Client("kv://h:sesame")
    assert "sesame" not in str(refusal.value)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_unknown_option_is_a_type_error_that_names_it(kind: Any) -> None:
    with pytest.raises(TypeError, match="time_out"):
        kind(time_out=5, password="sesame")
    with pytest.raises(TypeError, match="pasword") as refusal:
        kind("kv://h", pasword="sesame")
    assert "sesame" not in str(refusal.value)


def test_the_kind_of_network_is_no_option_for_asyncio() -> None:
    with pytest.raises(TypeError, match="network"):
        AsyncClient(network="gevent")


def test_an_unknown_network_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="fibers"):
        Client(network="fibers")  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["timeout", "connect_timeout"])
def test_an_option_that_is_no_number_is_refused_at_once(option: str) -> None:
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


def test_a_port_without_a_server_is_unreachable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(Unreachable, match=address):
            Client(address, attempts=1).ping()


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "\udcff"])
def test_a_host_that_can_be_none_is_refused(host: str) -> None:
    for name in (host, f"{host}:1"):
        with pytest.raises(ValueError, match="no host has such a name"):
            Client(name)
    with pytest.raises(ValueError, match="no host has such a name"):
        AsyncClient(host, 1)


def test_building_a_client_connects_to_nothing() -> None:
    Client("kv://nowhere.invalid:1")
    AsyncClient("kvs://nowhere.invalid:1")
