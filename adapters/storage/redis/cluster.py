"""A cluster of Valkey or Redis servers: each command goes to the server that has its key.

Rule: a server that says MOVED or ASK has done nothing, so the command follows; no other command is
sent again but reads. Once a server fails, or says that the cluster is down, the slots are asked for
again, and that server is asked last. Nothing here sleeps or repeats by itself, as redis-py's own
client of clusters does.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Sequence

from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, TryAgainError

from adapters.storage.redis.engine import ASKING, Keyed, Node, Reply, Words, checked
from adapters.storage.redis.slots import Server, Slots, own_slots
from domain.errors import Unavailable, Unreachable

MAX_REDIRECTS = 5


class ClusterEngine:
    """Talks to the servers that `seeds` say are the cluster's."""

    is_cluster = True

    def __init__(self, new_node: Callable[[str, int], Node], seeds: Sequence[Server]) -> None:
        self._new_node = new_node
        self._seeds = list(seeds)
        self._sources = list(seeds)
        """Servers to ask about the others, the last that answered first, those that failed last."""
        self._nodes: Dict[Server, Node] = {}
        self._slots = Slots(self._seeds[0], [])
        self._is_stale = True

    def slot(self, name: bytes) -> int:
        slot: int = key_slot(name)
        return slot

    def run(self, commands: Sequence[Keyed], repeat: bool = False) -> List[Reply]:
        self._refresh_if_stale()
        try:
            return checked(self._routed(commands, repeat))
        except Unreachable as error:  # another server may have the slots now
            if len(commands) > 1 and not repeat:
                raise Unavailable(f"some keys may have been changed: {error}") from error
            before = self._owners_of(commands)
            self._refresh_if_stale()
            if self._owners_of(commands) == before:
                raise
            return checked(self._routed(commands, repeat))

    def run_everywhere(self, words: Words, is_bounded: bool = True) -> List[Reply]:
        self._refresh_if_stale()
        return [
            checked(self._send(each, [words], True, is_bounded))[0]
            for each in self._slots.primaries
        ]

    def layout(self, anew: bool) -> str:
        self._is_stale = self._is_stale or anew
        self._refresh_if_stale()
        return self._slots.layout().mark

    def read_at(self, index: int, words: Words) -> Reply:
        slots = self._slots
        if index >= len(slots.primaries):
            return None
        server = slots.primaries[index]
        reply, nodes = checked(self._send(server, [words, ("CLUSTER", "NODES")], repeat=True))
        if own_slots(nodes) != slots.layout().slots.get(server):
            self._is_stale = True
            raise Unavailable("slots of the cluster are moving: start the scan again")
        return reply

    def close(self) -> None:
        """Closes the idle connections; the next command opens one again."""
        for node in list(self._nodes.values()):
            node.close()

    def _routed(self, commands: Sequence[Keyed], repeat: bool) -> List[Reply]:
        """The replies of the servers that have the keys, those for one server asked together."""
        indexes: Dict[Server, List[int]] = {}
        for index, (name, _) in enumerate(commands):
            indexes.setdefault(self._owner(name), []).append(index)
        replies: List[Reply] = [None] * len(commands)
        for server, some in indexes.items():
            sent = [commands[index][1] for index in some]
            for index, words, reply in zip(some, sent, self._send(server, sent, repeat)):
                replies[index] = self._followed(server, reply, words, repeat)
        return replies

    def _followed(self, server: Server, reply: Reply, words: Words, repeat: bool) -> Reply:
        """The reply of the server that another's reply redirects to; the reply itself if it does
        not."""
        for _ in range(MAX_REDIRECTS):
            if not isinstance(reply, AskError):
                return reply
            server = Server(reply.host or server.host, reply.port)
            commands: List[Words] = [words]
            if isinstance(reply, MovedError):
                self._slots.move(reply.slot_id, server)
                self._is_stale = self._is_stale or server not in self._slots.primaries
            else:
                commands = [ASKING, words]
            reply = self._send(server, commands, repeat)[-1]
        self._is_stale = True  # the servers do not agree yet on which of them has the slot
        raise Unavailable(f"the cluster redirected a command over {MAX_REDIRECTS} times")

    def _send(
        self, server: Server, commands: Sequence[Words], repeat: bool, is_bounded: bool = True
    ) -> List[Reply]:
        node = self._nodes.get(server)
        if node is None:
            node = self._nodes.setdefault(server, self._new_node(*server))
        try:
            replies = node.exchange(commands, repeat, is_bounded)
        except Unavailable:
            self._ask_last(server)
            raise
        for reply in replies:
            if isinstance(reply, ClusterDownError):
                self._ask_last(server)
            elif isinstance(reply, TryAgainError):
                self._is_stale = True
        return replies

    def _ask_last(self, server: Server) -> None:
        """Has the slots asked for again, of the other servers first: this one may not know."""
        self._sources = sorted(self._sources, key=server.__eq__)
        self._is_stale = True

    def _owners_of(self, commands: Sequence[Keyed]) -> List[Server]:
        return [self._owner(name) for name, _ in commands]

    def _owner(self, name: bytes) -> Server:
        server = self._slots.owner(self.slot(name))
        if server is None:
            self._is_stale = True
            raise Unavailable("no server of the cluster has the slot of the key")
        return server

    def _refresh_if_stale(self) -> None:
        if not self._is_stale:
            return
        for server in list(self._sources):
            try:
                (slots,) = checked(self._send(server, [("CLUSTER", "SLOTS")], repeat=True))
            except Unavailable:
                continue
            self._learn(Slots(server, slots))
            return
        raise Unreachable("no server of the cluster can be reached")

    def _drop_node(self, server: Server) -> None:
        node = self._nodes.pop(server, None)
        if node:
            node.close()

    def _learn(self, slots: Slots) -> None:
        self._slots = slots
        self._sources = list(dict.fromkeys([*slots.servers, *self._seeds]))
        self._is_stale = False
        for server in set(self._nodes).difference(self._sources):
            self._drop_node(server)
