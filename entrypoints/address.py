"""Addresses: where a client finds a server, and where a server listens.

    kv://[:PASSWORD@]HOST[:PORT]       over TCP; kvs:// with TLS
    kv+unix://[:PASSWORD@]/PATH        over a Unix socket

    HOST[:PORT]                        to listen on TCP
    unix:/PATH[?mode=660]              to listen on a Unix socket, whose file has these permissions

Rule: an address is parsed in full or refused with `ValueError`, and no message quotes an address
that may hold a password. An IPv6 address stands in brackets; its zone follows a `%`, which may be
written `%25`. This module imports no command line.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import quote, unquote

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 7379

SCHEMES = {"kv": False, "kvs": True}
"""Whether an address with this scheme means TLS."""

UNIX_SCHEME = "kv+unix"

DEFAULT_MODE = 0o600
"""Permissions of a Unix socket's file: only the same user may connect."""

MAX_PATH_BYTES = 107
"""The longest path of a Unix socket on Linux; the system cuts or refuses longer ones."""

_FORMS = (
    f"an address is kv://[:password@]host[:port], kvs://... for TLS, "
    f"or {UNIX_SCHEME}://[:password@]/path"
)
_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<user>[^:@/?#\[\]]*)(?::(?P<password>[^@/?#\[\]]*))?@)?"
    r"(?P<rest>[^@?#]*)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?P<host>\[[^\[\]/?#@]+\]|[^\[\]/?#@:]+)(?::(?P<port>[0-9]{1,5}))?")
_UNIX = re.compile(r"unix:(?P<path>[^?#]+)(?:\?mode=(?P<mode>[0-7]{3,4}))?")
_NOT_IN_A_HOST = re.compile(r"[\x00-\x20\x7f%\\]")


class Place(NamedTuple):
    """A host and a port; None where the address leaves it out."""

    host: str
    port: Optional[int]


def parse_place(text: str, lowest_port: int = 1) -> Place:
    """What `HOST[:PORT]` names, the brackets of an IPv6 address removed and its zone decoded. A
    bare IPv6 address needs none where its end cannot be meant as a port."""
    bare = _ipv6(text)
    if bare is not None:
        host, _, port = text.rpartition(":")
        if port.isdecimal() and _ipv6(host) is not None:
            raise ValueError(f"it is [{host}]:{port} or [{text}]; say which, by the brackets")
        return Place(bare, None)
    found = _PLACE.fullmatch(text)
    if not found:
        raise ValueError("it is no HOST:PORT; an IPv6 address stands in brackets, [::1]:7379")
    host, port = found.group("host"), found.group("port")
    if host.startswith("["):
        literal = _ipv6(host[1:-1])
        if literal is None:
            raise ValueError("the brackets hold no IPv6 address")
        host = literal
    elif _NOT_IN_A_HOST.search(host):
        raise ValueError("a host has no blanks and no % in it")
    elif not _is_a_name(host):
        raise ValueError("no host has such a name")
    if port is not None and not lowest_port <= int(port) <= 65535:
        raise ValueError(f"a port is from {lowest_port} to 65535")
    return Place(host, None if port is None else int(port))


def _is_a_name(host: str) -> bool:
    """Whether the system can be asked for a host."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def parse_host(text: str) -> str:
    """The host that `HOST` names where its port is told elsewhere; as in `parse_place`, but that no
    IPv6 address needs brackets."""
    bare = _ipv6(text)
    if bare is not None:
        return bare
    host, port = parse_place(text)
    if port is not None:
        raise ValueError("it has a port; give it by itself")
    return host


def parse_place_in_url(text: str) -> Place:
    """As `parse_place`, but that every IPv6 address stands in brackets."""
    if not text.startswith("[") and text.count(":") > 1:
        raise ValueError("an IPv6 address stands in brackets, [::1]:7379")
    return parse_place(text)


def _ipv6(text: str) -> Optional[str]:
    """`text` as an IPv6 address with its zone decoded; None if it is none."""
    literal, percent, zone = text.partition("%")
    zone = zone[2:] if zone.startswith("25") and len(zone) > 2 else zone
    try:
        ipaddress.IPv6Address(literal)
    except ValueError:
        return None
    if percent and not re.fullmatch(r"[A-Za-z0-9._~-]+", zone):
        return None
    return literal + percent + zone


def parts_of(url: str) -> Dict[str, Any]:
    """The settings that a client's address stands for: `host`, `port`, `unix_path`, `tls`, and
    `password` if it has one. `port` is None where the address leaves it out; `host` and `port` mean
    nothing beside a `unix_path`."""
    refuse_other_schemes(url, (*SCHEMES, UNIX_SCHEME))
    found = _URL.fullmatch(url)
    if not found or found.group("user"):
        raise ValueError(_FORMS)
    scheme, rest = found.group("scheme").lower(), found.group("rest")
    if scheme == UNIX_SCHEME:
        settings: Dict[str, Any] = {
            "host": DEFAULT_HOST,
            "port": None,
            "unix_path": _socket_path(_decoded(rest)),
            "tls": False,
        }
    else:
        where, _, path = rest.partition("/")
        if where and path:
            raise ValueError(
                f"no path follows host and port, nor a database: {scheme}:// is database 0, and "
                "Redis clients select others"
            )
        try:
            place = parse_place_in_url(where)
        except ValueError as error:
            raise ValueError(f"{error}; {_FORMS}") from None
        settings = {**place._asdict(), "unix_path": None, "tls": SCHEMES[scheme]}
    if found.group("password"):
        settings["password"] = _decoded(found.group("password"))
    return settings


def refuse_other_schemes(url: str, known: Collection[str]) -> None:
    """Raise `ValueError` for an address whose scheme is not among the `known`."""
    found = re.match(r"([a-z0-9+.-]+)://", url, re.IGNORECASE)
    if found and found[1].lower() not in known:
        raise ValueError(f"no scheme is called {found[1]:.40}; known are {', '.join(known)}")


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("an address is percent-encoded UTF-8") from None


def _socket_path(path: str) -> str:
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError("a Unix socket is named by its full path, such as unix:/run/kv.sock")
    if len(path.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES:
        raise ValueError(f"the path of a Unix socket has at most {MAX_PATH_BYTES} bytes")
    return path


class ListenAddress(NamedTuple):
    """Where a server listens: on a host, which may be a name for several addresses, and a port;
    or, if `kind` is "unix", on a socket whose file has the permissions `mode`."""

    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    mode: int = DEFAULT_MODE

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """The address that `HOST[:PORT]` or `unix:/PATH[?mode=660]` names."""
        if text.startswith("unix:"):
            found = _UNIX.fullmatch(text)
            if not found:
                raise ValueError("a Unix socket is unix:/PATH or unix:/PATH?mode=660")
            mode = int(found.group("mode") or oct(DEFAULT_MODE)[2:], 8)
            return cls("unix", path=_socket_path(found.group("path")), mode=mode)
        if text.isdecimal():
            raise ValueError(f"a port alone is no address; say {DEFAULT_HOST}:{text}")
        place = parse_place(text, lowest_port=0)
        return cls("tcp", place.host, DEFAULT_PORT if place.port is None else place.port)

    def __str__(self) -> str:
        """The address as it is written on the command line."""
        if self.kind == "unix":
            suffix = "" if self.mode == DEFAULT_MODE else f"?mode={self.mode:o}"
            return f"unix:{self.path}{suffix}"
        return f"{bracketed(self.host)}:{self.port}"

    def url(self, tls: bool) -> str:
        """The address for clients to connect to."""
        if self.kind == "unix":
            return f"{UNIX_SCHEME}://{quote(self.path)}"
        return f"{'kvs' if tls else 'kv'}://{bracketed(self.host)}:{self.port}"

    @classmethod
    def of(cls, kind: str, where: str, number: int) -> ListenAddress:
        """The address that `as_tuple` returned."""
        if kind == "unix":
            return cls(kind, path=where, mode=number)
        return cls(kind, where, number)

    def as_tuple(self) -> Tuple[str, str, int]:
        """`("tcp", host, port)` or `("unix", path, mode)`, as the transport takes it."""
        if self.kind == "unix":
            return self.kind, self.path, self.mode
        return self.kind, self.host, self.port

    def resolved(self) -> List[ListenAddress]:
        """The addresses that the host's name stands for and this machine has, IPv4 first:
        `localhost` is one of each family. An address itself is left as it is, and so is a name
        that stands for none, which the system refuses when it is bound."""
        if self.kind == "unix":
            return [self]
        try:
            hosts = _LOCALHOST if self.host == "localhost" else _found(self.host, self.port)
        except OSError:
            return [self]
        if len(hosts) == 1:
            return [self._replace(host=hosts[0])]
        own = [host for host in hosts if _is_own(host)]
        return [self._replace(host=host) for host in own or hosts]

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine can connect. A name counts as such until it is
        `resolved`, since binding to one that cannot be resolved fails."""
        if self.kind == "unix":
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return True


_LOCALHOST = ["127.0.0.1", "::1"]
"""RFC 6761, section 6.3; some systems' files of names have but one of them."""


def _found(name: str, port: int) -> List[str]:
    """The addresses that a name stands for, IPv4 first."""
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=flags)
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return list(dict.fromkeys(_with_zone(entry[4]) for entry in found))


def _is_own(host: str) -> bool:
    """Whether this machine has the address; without IPv6, it may still have a name for ::1."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _with_zone(address: Any) -> str:
    host = str(address[0])
    has_zone = "%" in host or len(address) < 4 or not address[3]
    return host if has_zone else f"{host}%{address[3]}"


def bracketed(host: str) -> str:
    """A host as it is written before a port."""
    return f"[{host}]" if ":" in host else host
