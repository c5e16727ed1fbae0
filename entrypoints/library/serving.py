"""A server in the program's own process.

Rule: the server runs on an event loop of its own, in a thread of its own; nothing of it is touched
from another. It ends with its `with` block, or with the process.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Dict, Literal, Optional, Type, TypedDict

import msgspec

from application.limits import Limits
from entrypoints.address import ListenAddress, parse_host
from entrypoints.library.client import Client
from entrypoints.settings.checks import check_password, check_port, check_values
from entrypoints.settings.pem import check_tls_files
from entrypoints.settings.ranges import PORT, SIZE
from entrypoints.socket_apis import import_gevent

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from domain.store import Store


class ServerOptions(TypedDict, total=False):
    """The options of `serve`, all by name; `kv-server --help` explains them."""

    password: str
    """What clients need: nothing."""
    max_memory: int
    """The bound on what the keys take, in bytes; 0 is none: 0."""
    memory_policy: Literal["refuse", "evict"]
    """What happens at the bound: "refuse"."""
    tls_cert: Optional[str]
    """The PEM file of the certificate chain; with one, the server speaks TLS only."""
    tls_key: Optional[str]
    """The PEM file of its key: `tls_cert`."""
    tls_client_ca: Optional[str]
    """The PEM file of the authorities whose certificates clients need: none."""
    limits: Limits
    """The bounds on requests, replies and clients; their defaults are those of `Limits`."""


_DEFAULTS: Dict[str, Any] = {
    "password": "",
    "max_memory": 0,
    "memory_policy": "refuse",
    "tls_cert": None,
    "tls_key": None,
    "tls_client_ca": None,
}


class EmbeddedServer:
    """A server in this process; made by `serve`."""

    def __init__(self, settings: Dict[str, Any], store: Optional[Store], grace: float) -> None:
        self._settings = settings
        self._store = store
        self._grace = grace
        self._listening = threading.Event()
        self._error: Optional[BaseException] = None
        self.host, self.port = "", 0
        self._thread = threading.Thread(target=self._run, name="kvjson server", daemon=True)
        self._thread.start()
        self._listening.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    @property
    def url(self) -> str:
        """The address to connect to, without the password."""
        address = ListenAddress("tcp", self.host, self.port)
        return address.url(tls=self._settings["tls_cert"] is not None)

    def client(self, **options: Any) -> Client:
        """A client of this server; the options are those of `Client`."""
        return Client(self.url, **{"password": self._settings["password"], **options})

    def close(self) -> None:
        """Answers what has arrived, closes the connections and ends; again, it does nothing."""
        if self._thread.is_alive():
            self._stop()
            self._thread.join()

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self.url if self._thread.is_alive() else "closed"
        return f"<{type(self).__name__} {state}>"

    def _run(self) -> None:
        import_gevent()
        import gevent
        from gevent.monkey import is_module_patched

        hub = gevent.get_hub()
        try:
            self._serve(hub)
        except BaseException as error:  # noqa: BLE001 - raised again where `serve` was called
            self._error = error
            self._listening.set()
        finally:
            if not is_module_patched("threading"):  # then the hub is the program's own
                hub.destroy(destroy_loop=True)

    def _serve(self, hub: Any) -> None:
        from gevent.event import Event

        from entrypoints.server.container import ServerContainer

        container = ServerContainer()
        container.config.from_dict(self._settings)
        if self._store is not None:
            container.store.override(self._store)
        if self._settings["tls_cert"]:
            container.certificates().load()
        server, housekeeper = container.server(), container.housekeeper()
        ((_, self.host, self.port),) = server.bind()
        stopping, wake = Event(), hub.loop.async_()
        wake.start(stopping.set)
        self._stop = wake.send  # the one thing of a loop that other threads may call
        server.start()
        housekeeper.start()
        self._listening.set()
        try:
            stopping.wait()
            housekeeper.stop()
            server.stop(self._grace)
        finally:
            wake.close()


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    store: Optional[Store] = None,
    grace: float = 5.0,
    **options: Unpack[ServerOptions],
) -> EmbeddedServer:
    """Starts a server in this process and returns it, for a `with` block.

    It listens on a free port, if `port` is 0; `url` says where, and `client()` connects. Other
    programs can use it too. `store` is another engine to serve. `grace` bounds the seconds for
    finishing replies at its end. Beyond this machine it needs a password, or `tls_client_ca`.
    """
    check_values(options, ServerOptions, {"max_memory": SIZE._replace(zero=True)})
    if "password" in options:
        _check_password(options["password"])
    limits = options.get("limits", Limits())
    settings = {**_DEFAULTS, **msgspec.structs.asdict(limits), **options}
    settings.update(host=host, port=port)
    settings.pop("limits", None)
    _check(settings)
    return EmbeddedServer(settings, store, grace)


def _check_password(password: str) -> None:
    if not password:
        raise ValueError("password is empty; leave it out for none")
    try:
        check_password(password)
    except ValueError as error:
        raise ValueError(f"password: {error}") from None


def _check(settings: Dict[str, Any]) -> None:
    if settings["memory_policy"] not in ("refuse", "evict"):
        raise ValueError(f'memory_policy={settings["memory_policy"]!r} is not "refuse" or "evict"')
    if settings["memory_policy"] == "evict" and not settings["max_memory"]:
        raise ValueError('memory_policy="evict" needs max_memory')
    if settings["tls_client_ca"] is not None and settings["tls_cert"] is None:
        raise ValueError("tls_client_ca needs tls_cert")
    check_tls_files(settings, "tls_client_ca")
    check_port(settings["port"], PORT._replace(lowest=0))
    if not isinstance(settings["host"], str):
        raise ValueError(f"host={settings['host']!r:.100} is not a text such as '127.0.0.1'")
    settings["host"] = parse_host(settings["host"])
    address = ListenAddress("tcp", settings["host"], settings["port"])
    is_local = all(each.is_local for each in address.resolved())
    if not (settings["password"] or settings["tls_client_ca"] or is_local):
        raise ValueError(
            f"other machines can reach {settings['host']}: set password or tls_client_ca"
        )
