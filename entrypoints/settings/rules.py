"""How settings go together: addresses and their parts, and what means nothing alone.

Rule: every part of an address, host, port and TLS, comes from the highest source that says it. Two
that differ in one source are refused, and so is a setting that has no effect, both named as they
were given. TLS that any source asks for is used, or refused; only `--no-tls` turns it off.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Sequence

import click

from entrypoints.address import DEFAULT_PORT, ListenAddress
from entrypoints.settings.sources import Given


class Needs(NamedTuple):
    """A setting that has no effect without another whose value `suffices`; `words` describe it."""

    name: str
    needed: str
    words: str
    suffices: Callable[[Any], bool] = bool


class Excludes(NamedTuple):
    """Two settings that contradict each other, and why."""

    name: str
    other: str
    why: str


def refuse_contradictions(rules: Iterable[Excludes], settings: Mapping[str, Given]) -> None:
    """Raise `click.UsageError` for two settings that contradict each other."""
    for name, other, why in rules:
        one, two = settings[name], settings[other]
        if one.value and two.value:
            raise click.UsageError(f"{one.origin} and {two.origin} exclude each other: {why}")


def refuse_without_effect(
    rules: Iterable[Needs], settings: Mapping[str, Given], result: Mapping[str, Any]
) -> None:
    """Raise `click.UsageError` for a setting whose `needed` one is missing in the `result`, unless
    a higher source turned that off."""
    for rule in rules:
        one = settings[rule.name]
        turned_off = settings[rule.needed].rank > one.rank
        if one.rank and one.value and not rule.suffices(result[rule.needed]) and not turned_off:
            raise click.UsageError(f"{one.origin} has no effect without {rule.words}")


def client_address(settings: Mapping[str, Given]) -> Dict[str, Any]:
    """The client's `host`, `port`, `unix_path`, `tls` and `engine`, put together from `--url` and
    the parts of it. `settings` has no part from a lower source than the address, but for TLS."""
    url, tls = settings["url"], settings["tls"]
    places = [settings[name] for name in ("host", "port")]
    if not url.rank:
        host, port = (place.value for place in places)
        parts = {"host": host, "port": port, "unix_path": None, "tls": bool(tls.value)}
        return {**parts, "engine": None}
    parts = {name: url.value.get(name) for name in ("host", "port", "unix_path", "tls", "engine")}
    for name in ("host", "port"):
        part = settings[name]
        if part.rank == url.rank and (parts["unix_path"] or part.value != parts[name]):
            raise _contradiction(url, part)
        if part.rank > url.rank:
            parts[name], parts["unix_path"] = part.value, None
    parts["port"] = DEFAULT_PORT if parts["port"] is None else parts["port"]
    parts["tls"] = _client_tls(url, tls)
    if parts["tls"] and parts["unix_path"]:
        raise click.UsageError(f"{tls.origin} asks for TLS, which a Unix socket does not have")
    return parts


def _client_tls(url: Given, tls: Given) -> bool:
    if tls.rank > url.rank:
        return bool(tls.value)
    if tls.rank and tls.value and not url.value["tls"]:
        raise click.UsageError(
            f"{tls.origin} asks for TLS and {url.origin} is an address without; "
            "say kvs://, or --no-tls"
        )
    if tls.rank == url.rank and not tls.value and url.value["tls"]:
        raise click.UsageError(
            f"{url.origin} is an address with TLS, which {tls.origin} turns off; leave one out"
        )
    return bool(url.value["tls"])


def listen_addresses(settings: Mapping[str, Given]) -> List[ListenAddress]:
    """Where the server listens, put together from `--listen`, `--host` and `--port`."""
    listen, host, port = (settings[name] for name in ("listen", "host", "port"))
    if not listen.rank:
        return [ListenAddress("tcp", host.value, port.value)]
    addresses: Sequence[ListenAddress] = listen.value
    for name in ("host", "port"):
        part = settings[name]
        if part.rank == listen.rank:
            raise _contradiction(listen, part)
        if part.rank > listen.rank:
            if len(addresses) != 1 or addresses[0].kind != "tcp":
                raise click.UsageError(
                    f"{part.origin} cannot change {', '.join(map(str, addresses))}, which "
                    f"{listen.origin} says; say --listen"
                )
            addresses = [addresses[0]._replace(**{name: part.value})]
    for number, address in enumerate(addresses):
        if address in addresses[:number] and address.port != 0:
            raise click.UsageError(f"{listen.origin} names {address} twice")
    return list(addresses)


def _contradiction(whole: Given, part: Given) -> click.UsageError:
    return click.UsageError(
        f"{whole.origin} and {part.origin} both say where the server is; leave one out"
    )
