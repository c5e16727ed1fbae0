"""The client's parts, and which of them go together."""

from __future__ import annotations

from dependency_injector import containers, providers

from adapters.json_lines.client import ClientSession
from adapters.tcp_client import Connect, Session, TcpClient, connect, secured, trusting
from application.executor import Executor


def _tls_or_not(tls: bool) -> str:
    return "tls" if tls else "plain"


class ClientContainer(containers.DeclarativeContainer):
    """Building it connects to nothing; the first command does. Any part can be overridden."""

    config = providers.Configuration(strict=True)

    session: providers.Provider[Session] = providers.Factory(
        ClientSession, max_reply_bytes=config.max_reply_bytes.as_int()
    )
    connect: providers.Provider[Connect] = providers.Selector(
        providers.Callable(_tls_or_not, config.tls.as_(bool)),
        plain=providers.Object(connect),
        tls=providers.Callable(
            secured,
            providers.Callable(trusting, config.tls_ca, config.tls_cert, config.tls_key),
        ),
    )
    executor: providers.Provider[Executor] = providers.Singleton(
        TcpClient,
        host=config.host,
        port=config.port.as_int(),
        timeout=config.timeout.as_float(),
        new_session=session.provider,
        connect=connect,
        password=config.password,
    )
