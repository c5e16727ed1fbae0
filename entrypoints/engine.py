"""The store over a Valkey or Redis server, put together.

Rule: redis-py is imported when a store is made, by no other program.
"""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence

from adapters.client.address import Address
from adapters.client.json_lines.requests import request_lines
from adapters.client.lender import Lender
from adapters.client.network import Network, TlsConfig
from adapters.protocols.json_lines.requests import command_on
from application.commands import Command
from application.executor import LocalExecutor
from application.in_process import InProcess
from application.limits import Limits
from application.ports import Pipelined
from domain.errors import KvError, Misconfigured, Unreachable
from entrypoints.engine_address import EngineAddress, EngineOptions
from entrypoints.socket_apis import gevent_api

if TYPE_CHECKING:
    from adapters.storage.redis.store import RedisStore


_LEAST_SECONDS = 1e-9
"""A sleep of 0 would have gevent look at no socket."""


def new_store(address: EngineAddress, network: Network, options: EngineOptions) -> RedisStore:
    """The store of the keys in an engine; no connection is opened yet. Raises `Misconfigured`
    without redis-py."""
    try:
        from adapters.storage.redis.cluster import ClusterEngine
        from adapters.storage.redis.engine import Connection, Node, Place, SingleEngine, Wait
        from adapters.storage.redis.reply_socket import ReplySocket
        from adapters.storage.redis.slots import Server
        from adapters.storage.redis.store import RedisStore
    except ImportError as error:
        why = f"an engine needs redis-py: pip install redis ({error})"
        raise Misconfigured(why) from error

    yield_turn = partial(network.sleep, _LEAST_SECONDS)

    def connect(host: str, port: int) -> ReplySocket:
        where = Address(host, port, tls_server_name=options.server_name)
        sock = network.connect(where, options.connect_timeout or None)
        return ReplySocket(sock, options.max_reply_bytes, yield_turn)

    def all_in_use() -> KvError:
        why = f"all {options.connections} connections to the engine are in use (store_connections)"
        return Unreachable(why)

    def new_node(host: str, port: int) -> Node:
        place = Place(host, port, address.db, address.username, address.password)
        new_connection = partial(Connection, connect, place, options.timeout or None)
        most, patience = options.connections, options.connect_timeout
        lender = Lender(new_connection, network, most, patience, all_in_use)
        replicas = options.wait_replicas
        return Node(lender, Wait(replicas, int(500 * options.timeout)) if replicas else None)

    first = Server(address.host, address.port)
    if not address.is_cluster:
        return RedisStore(SingleEngine(new_node(*first)), address.prefix, yield_turn)
    engine = ClusterEngine(new_node, [first, *(Server(*other) for other in address.others)])
    return RedisStore(engine, address.prefix, yield_turn, options.allow_partial)


def store_for_greenlets(
    address: EngineAddress, prefix: Optional[str], tls: TlsConfig, options: EngineOptions
) -> RedisStore:
    """A server's store, whose waiting lets other greenlets run."""
    network = Network(gevent_api(), tls if address.tls else None)
    address = address._replace(prefix=address.prefix if prefix is None else prefix)
    return new_store(address, network, options)


def new_executor(
    address: EngineAddress,
    network: Network,
    host: str,
    port: int,
    password: str,
    options: EngineOptions,
    from_text: Callable[[bytes], Any],
) -> Pipelined:
    """An executor on an engine, with no server between, whose results have what `from_text` makes
    of JSON texts. What the settings of the client say of where it is, and of the password, counts.
    """
    address = address._replace(host=host, port=port, password=password or None)
    store = new_store(address, network, options)
    limits = Limits()
    executor = LocalExecutor(store, limits)
    return InProcess(executor, limits, store.close, from_text, _as_received)


def _as_received(commands: Sequence[Command[Any]]) -> List[object]:
    """What a server reads when a client sends commands: an argument that JSON, or the command, does
    not allow for is refused as it is there."""
    return [command_on(line) for line in BytesIO(request_lines(commands))]
