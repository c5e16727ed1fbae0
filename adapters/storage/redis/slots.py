"""Which server of a cluster has which slots, as one of them told.

Rule: the same ownership has the same layout, whichever server told of it and in whichever ranges.
"""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from redis.crc import REDIS_CLUSTER_HASH_SLOTS


class Server(NamedTuple):
    """The address of one server of the cluster."""

    host: str
    port: int


class Slots:
    """What `source` replied to CLUSTER SLOTS: ranges, each with its servers, the primary first."""

    def __init__(self, source: Server, ranges: Sequence[Sequence[Any]]) -> None:
        self._owners: List[Optional[Server]] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._layout: Optional[Layout] = None
        known: Dict[Server, None] = {source: None}
        for first, last, *servers in ranges:
            group = [
                Server(host.decode() if host else source.host, port) for host, port, *_ in servers
            ]
            self._owners[first : last + 1] = [group[0]] * (last + 1 - first)
            known.update(dict.fromkeys(group))
        self.servers = list(known)
        """The source, and all others, replicas included."""
        self.primaries = sorted({owner for owner in self._owners if owner})

    def owner(self, slot: int) -> Optional[Server]:
        return self._owners[slot]

    def move(self, slot: int, server: Server) -> None:
        self._owners[slot] = server
        self._layout = None

    def layout(self) -> Layout:
        if self._layout is None:
            self._layout = _layout(self._owners)
        return self._layout


class Layout(NamedTuple):
    """The slots of each server, as CLUSTER NODES writes them; and 4 hexadecimal digits for all."""

    slots: Dict[Optional[Server], bytes]
    mark: str


def _layout(owners: Sequence[Optional[Server]]) -> Layout:
    ranges: Dict[Optional[Server], List[bytes]] = {}
    first = 0
    for owner, run in groupby(owners):
        last = first + sum(1 for _ in run) - 1
        ranges.setdefault(owner, []).append(
            b"%d" % first if first == last else b"%d-%d" % (first, last)
        )
        first = last + 1
    slots = {owner: b" ".join(some) for owner, some in ranges.items()}
    told = repr(sorted(slots.items(), key=repr)).encode()
    return Layout(slots, hashlib.blake2b(told, digest_size=2).hexdigest())


def own_slots(nodes: bytes) -> bytes:
    """The slots of the server that replied `nodes` to CLUSTER NODES; those that are just moving
    are marked."""
    lines = (line.split(b" ") for line in nodes.splitlines())
    mine = next(fields for fields in lines if b"myself" in fields[2].split(b","))
    return b" ".join(mine[8:])
