"""`kv import --from redis://...`: the strings of a Redis, with their ttls.

Rule: what was left out is told, by its number and why; nothing is changed in the Redis.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from typing import Any, Dict, Iterator, Optional

import click
import msgspec
from msgspec import Raw

from adapters.client.address import Address
from adapters.client.network import Network, TlsConfig
from adapters.client.redis_source import Connect, Login, RedisKeys, connected
from application.byte_values import to_text
from entrypoints.client.target import Target
from entrypoints.client.tools.bulk import Import, Line
from entrypoints.client.tools.progress import progress
from entrypoints.client.tools.stopping import stopping
from entrypoints.engine_address import EngineAddress
from entrypoints.socket_apis import threads_api
from entrypoints.wording import counted

PASSWORD = "REDISCLI_AUTH"


def redis_address(url: str) -> EngineAddress:
    """The server that an address names; raises `ValueError`, which does not quote it."""
    address = EngineAddress.parse(url)
    if address.password is not None:
        raise ValueError(f"a password in an address is seen by other users: set {PASSWORD}")
    if address.is_cluster or "?" in url:
        raise ValueError("all keys of one server are copied: redis://[user@]host[:port][/database]")
    return address


class Lines:
    """The strings of a Redis as lines of an export; `names` has the keys of the last of them, by
    the number of the line."""

    def __init__(self, keys: RedisKeys) -> None:
        self._keys = keys
        self.names: Dict[int, str] = {}

    def __iter__(self) -> Iterator[bytes]:
        number = 0
        for items in self._keys.pages():
            for key, data, ttl in items:
                number += 1
                self.names[number] = key
                yield msgspec.json.encode(Line(key, Raw(to_text(data)), ttl)) + b"\n"


def import_from(target: Target, source: EngineAddress, tls_ca: Optional[str], strict: bool) -> None:
    """Copies what is in a Redis to the target; exits with 1 when something was left out."""
    names: Dict[int, str] = {}

    def report(number: int, why: str) -> None:
        click.echo(f"key {names[number]!r:.100}: {why}", file=sys.stderr)  # see `transfer`
        if strict:
            raise click.Abort

    job = Import(target.executor, report)
    with stopping(lambda: f"stopped: {job.tally_when_stopped('key')}"):
        address = Address(source.host, source.port)
        login = Login(source.username, os.environ.get(PASSWORD), source.db)
        connect = _connect_tls(tls_ca) if source.tls else Network(threads_api(0.0)).connect
        times = target.connect_timeout or None, target.timeout or None
        with connected(connect, address, login, *times) as keys:
            lines = Lines(keys)
            names = lines.names
            with progress("importing", keys.count()) as advance:
                stored = 0
                for _ in job.run(lines):
                    advance(job.stored - stored, job.stored - stored)
                    stored = job.stored
                    names.clear()
    for why, count in keys.left_out.items():
        click.echo(f"left out: {counted(count)} {why}", err=True)
    click.echo(job.tally("key"), err=True)
    if job.refused or keys.left_out:
        raise click.exceptions.Exit(1)


def _connect_tls(authorities: Optional[str]) -> Connect:
    """Connects in TLS; a Redis without it may never answer."""
    network = Network(threads_api(0.0), TlsConfig(authorities))

    def connect(address: Address, timeout: Optional[float]) -> Any:
        try:
            return network.connect(address, timeout)
        except ssl.SSLCertVerificationError:
            raise
        except (socket.timeout, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or "timed out"
            why = reason.replace("_", " ").lower()
            raise OSError(
                f"no connection in TLS ({why}); without TLS the address is redis://"
            ) from error

    return connect
