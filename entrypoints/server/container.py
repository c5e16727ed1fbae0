"""The server's parts, and which of them go together."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Type

from dependency_injector import containers, providers

from adapters.client.network import TlsConfig
from adapters.gevent_tcp.connection import Connection
from adapters.gevent_tcp.greenlet_connection import GreenletConnection
from adapters.gevent_tcp.housekeeper import GeventHousekeeper
from adapters.gevent_tcp.listeners import Address
from adapters.gevent_tcp.server import GeventServer
from adapters.gevent_tcp.tls import Certificates, TlsConversation
from adapters.process import end_at_once, resident_memory
from adapters.protocols.first_bytes import FirstBytes, Protocol
from adapters.protocols.http.access import Access
from adapters.protocols.http.codec import HttpCodec, begins_http
from adapters.protocols.http.pages import pages
from adapters.protocols.http.routes import Site
from adapters.protocols.json_lines.codec import JsonLinesCodec, begins_json_lines
from adapters.protocols.resp.codec import RespCodec, begins_resp
from adapters.protocols.resp.session import Shared
from adapters.storage.journal.background import GeventBackground, JournalKeeper
from adapters.storage.journal.clocks import Clocks
from adapters.storage.journal.disk import Directory
from adapters.storage.journal.journal import Journal
from application import conversation as conversations
from application.durability import DurableConversation, DurableTogether
from application.executor import LocalExecutor
from application.ledger import Ledger
from application.limits import Limits
from application.long_requests import LongRequests
from application.password import Password
from application.pause import Pause
from application.ports import Codec, Conversation, Executor
from application.service import Service
from application.stats import ServerStats
from application.together import Together
from domain.bounded import BoundedStore
from domain.evicting import EvictingStore
from domain.memory import InMemoryStore
from domain.store import Maintained, Store, Traits
from entrypoints.engine_address import EngineAddress, EngineOptions
from entrypoints.providers import when
from entrypoints.version import version

NO_ENGINE = {
    "store": None,
    "store_prefix": None,
    "store_tls_ca": None,
    "store_tls_cert": None,
    "store_tls_key": None,
}


def _policy(engine: Optional[EngineAddress], max_memory: int, policy: str) -> str:
    return "engine" if engine else policy if max_memory else "unbounded"


def _engine_store(*settings: Any) -> Store:
    from entrypoints.engine import store_for_greenlets  # what only a few servers need

    return store_for_greenlets(*settings)


def _maintenance(store: Store) -> Callable[[], bool]:
    """The work that a store has in the background, if any; tells whether there is more."""
    return store.run_maintenance if isinstance(store, Maintained) else lambda: False


def _addresses(listen: Optional[Sequence[Address]], host: str, port: int) -> Sequence[Address]:
    return listen or [("tcp", host, port)]


def _settings(
    config: providers.Configuration, names: Iterable[str]
) -> Dict[str, providers.ConfigurationOption]:
    return {name: getattr(config, name) for name in names}


def _protocol(
    begins: Callable[[bytes], Optional[bool]], codec: Callable[..., Codec], *arguments: Any
) -> providers.Provider[Protocol]:
    """A protocol of the port; its codec is made anew for each connection."""
    new_codec = providers.Factory(codec, *arguments)
    return providers.Factory(Protocol, providers.Object(begins), new_codec.provider)


def _served(names: Optional[Sequence[str]], **protocols: Protocol) -> List[Protocol]:
    """The protocols, of which those among `names` are served, None for all."""
    return [
        protocol._replace(is_served=names is None or name in names)
        for name, protocol in protocols.items()
    ]


def _connection_for(traits: Traits) -> Type[Connection]:
    """A store that blocks takes a greenlet for each turn, so that others run meanwhile."""
    return GreenletConnection if traits.blocks else Connection


class ServerContainer(containers.DeclarativeContainer):
    """Building it opens nothing; `server().bind()` does. Any part can be overridden."""

    config = providers.Configuration(
        strict=True,
        default={
            "listen": None,
            "data_dir": None,
            "fsync": "always",
            "protocols": None,
            "http_hosts": (),
            "http_allow_origin": (),
            **NO_ENGINE,
        },
    )

    clock = providers.Object(time.monotonic)
    store: providers.Provider[Store] = providers.Selector(
        providers.Callable(_policy, config.store, config.max_memory.as_int(), config.memory_policy),
        unbounded=providers.Singleton(InMemoryStore, clock),
        refuse=providers.Singleton(BoundedStore, clock, config.max_memory.as_int()),
        evict=providers.Singleton(EvictingStore, clock, config.max_memory.as_int()),
        engine=providers.Singleton(
            _engine_store,
            config.store,
            config.store_prefix,
            providers.Factory(
                TlsConfig, config.store_tls_ca, config.store_tls_cert, config.store_tls_key
            ),
            providers.Factory(
                EngineOptions,
                connections=config.store_connections.as_int(),
                connect_timeout=config.store_timeout.as_float(),
                timeout=config.store_timeout.as_float(),
                allow_partial=config.store_allow_partial,
                wait_replicas=config.store_wait_replicas.as_int(),
                max_reply_bytes=config.max_reply_bytes.as_int(),
            ),
        ),
    )
    data_directory = providers.Singleton(Directory, config.data_dir)
    journal_failed = providers.Object(end_at_once)
    journal = providers.Singleton(
        Journal,
        data_directory,
        config.fsync,
        store,
        providers.Singleton(GeventBackground),
        providers.Factory(Clocks, clock, providers.Object(time.time)),
        journal_failed,
    )
    journal_keeper = providers.Singleton(JournalKeeper, journal)
    limits = providers.Singleton(Limits, **_settings(config, Limits.__struct_fields__))
    describe_engine = when(config.store, store.provided.describe)
    ledger = providers.Singleton(Ledger, limits.provided.max_input_bytes)
    stats = providers.Singleton(
        ServerStats,
        providers.Callable(version),
        limits,
        clock,
        resident_memory=providers.Object(resident_memory),
        journal=when(config.data_dir, journal.provided.figures),
        engine=describe_engine,
        ledger=ledger,
    )
    executor: providers.Provider[Executor] = providers.Singleton(
        LocalExecutor, store, limits, stats.provided.report
    )
    long_requests = providers.Singleton(LongRequests)
    pause = providers.Singleton(Pause, clock)
    resp = providers.Singleton(
        Shared,
        limits,
        providers.Callable(version),
        providers.Object(time.time),
        pause,
        providers.Callable(bool, config.password),
        providers.Callable(bool, config.data_dir),
        providers.Callable(bool, config.store),
    )
    http = providers.Singleton(
        Site,
        limits,
        providers.Callable(version),
        providers.Singleton(Access, config.http_hosts, config.http_allow_origin),
        providers.Factory(JsonLinesCodec, limits).provider,
        providers.Factory(RespCodec, resp, is_trusted=True).provider,
        providers.Singleton(pages),
        providers.Callable(bool, config.password),
    )
    protocols = providers.Singleton(
        FirstBytes,
        providers.Callable(
            _served,
            config.protocols,
            json=_protocol(begins_json_lines, JsonLinesCodec, limits),
            http=_protocol(begins_http, HttpCodec, http),
            resp=_protocol(begins_resp, RespCodec, resp),
        ),
    )
    password = when(config.password, providers.Singleton(Password, config.password, clock))
    service = providers.Singleton(
        Service, executor, protocols, limits, stats, long_requests, pause, password
    )
    plain_conversation: providers.Provider[Conversation] = when(
        config.data_dir,
        providers.Factory(DurableConversation, journal, service),
        providers.Factory(conversations.Conversation, service),
    )
    together: providers.Provider[Together[Any]] = when(
        config.data_dir,
        providers.Singleton(DurableTogether, journal, service),
        providers.Singleton(Together, service),
    )
    certificates = providers.Singleton(
        Certificates, config.tls_cert, config.tls_key, config.tls_client_ca
    )
    conversation: providers.Provider[Conversation] = when(
        config.tls_cert,
        providers.Factory(TlsConversation, certificates, plain_conversation.provider),
        plain_conversation,
    )
    connection = providers.Callable(_connection_for, store.provided.traits)
    server = providers.Singleton(
        GeventServer,
        addresses=providers.Callable(_addresses, config.listen, config.host, config.port.as_int()),
        new_conversation=conversation.provider,
        new_unix_conversation=plain_conversation.provider,
        limits=limits,
        ledger=ledger,
        clock=clock,
        together=together,
        connection=connection,
    )
    housekeeper = providers.Singleton(
        GeventHousekeeper,
        run_maintenance=providers.Callable(_maintenance, store),
        clock=clock,
        note_lag=stats.provided.loop_lag.note,
    )


PROTOCOLS: Sequence[str] = tuple(ServerContainer.protocols.args[0].kwargs)
"""The names of the protocols."""
