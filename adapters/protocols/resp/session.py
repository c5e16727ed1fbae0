"""What the server knows of one RESP connection, and what all of them share.

Rule: what the following requests mean is changed by commands that are executed, not by reading
them, so that what a client pipelines behind one that is refused is read as before. To read notes
the command's name, that a transaction is broken, and that the one reply to skip was skipped.
"""

from __future__ import annotations

import random
from typing import Any, Callable, Dict, List, Optional, Set

from adapters.protocols.resp import replies
from application.channels import Channels, Subscriber
from application.commands import Command
from application.databases import Databases
from application.limits import Limits
from application.pause import Pause
from application.ports import Link
from domain.effects import Cleared, Effect, Observable, PutMany
from domain.store import Store


class Shared:
    """What the RESP connections of a server share. `wall` is a clock of seconds since 1970."""

    def __init__(
        self,
        limits: Limits,
        version: str,
        wall: Callable[[], float],
        pause: Pause,
        has_password: bool = False,
        is_durable: bool = False,
        has_engine: bool = False,
    ) -> None:
        self.limits = limits
        self.version = version
        self.wall = wall
        self.pause = pause
        self.has_password = has_password
        self.is_durable = is_durable
        self.databases = Databases(are_restored=is_durable or has_engine)
        self.choose: Callable[[List[str]], str] = random.Random().choice
        self.watches = Watches()
        self.channels = Channels()
        self.scripts: Dict[str, Any] = {}
        """What the scripts do that EVALSHA finds, by their names."""
        self._last_id = 0
        self.sessions: Dict[int, Session] = {}

    def open(self, link: Link, reader: Reader) -> Session:
        """A session for one more client."""
        self._last_id += 1
        session = self.sessions[self._last_id] = Session(self, self._last_id, link, reader)
        return session


class Reader:
    """What reads the requests of a session. It has all of the session that a usual request needs,
    which would have to come from memory otherwise, for each of many clients."""

    __slots__ = ("command", "usual")

    def __init__(self) -> None:
        self.command = "NULL"
        """The name of the last command."""
        self.usual: Optional[int] = None
        """What is added to the number of a spelling to have it in the client's version, where a
        command is executed where it is read and keys are stored as they come; else None."""


class Session:
    """The state of one connection."""

    __slots__ = (
        "_link",
        "_reply_mode",
        "id",
        "is_authenticated",
        "is_plain",
        "library",
        "name",
        "prefix",
        "queue",
        "reader",
        "shared",
        "subscriber",
        "version",
        "watch",
    )

    def __init__(self, shared: Shared, id: int, link: Link, reader: Reader) -> None:
        self.shared = shared
        self.reader = reader
        self.id = id
        self._link = link
        self.is_authenticated = not shared.has_password
        self.name = ""
        self.library: Dict[str, str] = {}
        self.prefix = ""
        self.queue: Optional[Queue] = None
        self.watch = Watch()
        self.subscriber = Subscriber(link, shared.limits.max_push_bytes)
        self._reply_mode = "ON"
        self.is_plain = True
        """Whether a command is executed where it is read, and answered as ever, and nothing is kept
        for the client that would have to be counted."""
        self.version = 0
        """What is added to the number of a spelling to have it in the client's version."""
        self.update()

    @property
    def address(self) -> str:
        """That of the client."""
        return self._link.name

    @property
    def kind(self) -> str:
        """What Redis calls the type of a client."""
        return "pubsub" if self.subscriber.count else "normal"

    @property
    def is_version_3(self) -> bool:
        """Whether the client speaks RESP3."""
        return self.version > 0

    @property
    def is_subscribed(self) -> bool:
        """Whether only commands about subscriptions are carried out."""
        return self.subscriber.count > 0 and not self.is_version_3

    def kill(self) -> None:
        """Cuts the connection, once its turn is over."""
        self._link.account.abort("another client asked for it (CLIENT KILL)")

    def spelling(self, number: int) -> int:
        """The number of a spelling in the version that the client speaks, or that of silence. To
        ask is to answer, as the reply mode counts it."""
        if self._reply_mode != "ON":
            if self._reply_mode == "SKIP":
                self.answer_by("ON")
            return replies.SILENT
        return self.in_version(number)

    def in_version(self, number: int) -> int:
        """The number of a spelling in the version that the client speaks."""
        return number + self.version

    def answer_by(self, mode: str) -> None:
        """Has all commands that follow answered (ON), none (OFF), or all but the next (SKIP)."""
        self._reply_mode = mode
        self.update()

    def speak(self, version: int) -> None:
        """Has the replies that follow in a version of the protocol."""
        self.version = replies.VERSION_3 if version == 3 else 0
        self.update()

    def select(self, database: int) -> None:
        """Has the commands that follow use another database."""
        self.prefix = self.shared.databases.use(database)
        self.update()

    def begin(self) -> None:
        """Queues the commands that follow."""
        self.queue = Queue()
        self.update()

    def end_transaction(self) -> None:
        """Executes commands as they come again, and watches no key."""
        self.queue = None
        self.shared.watches.forget(self.watch)
        self.update()

    def refuse_in_transaction(self, name: str) -> None:
        """Raises `ReplyError` within a transaction, all of which EXEC refuses then: what follows
        may be meant for what the command would have changed."""
        if self.queue is not None:
            self.queue.break_off()
            raise replies.ReplyError(f"ERR {name} is not allowed in a transaction here")

    def reset(self) -> None:
        """Brings the session back to what it was at first, but for the login and what CLIENT
        SETINFO told."""
        self.end_transaction()
        self.shared.channels.leave(self.subscriber)
        self.name = ""
        self.answer_by("ON")
        self.speak(2)
        self.select(0)

    def close(self) -> None:
        """The connection is gone."""
        self.end_transaction()
        self.shared.channels.leave(self.subscriber)
        self.subscriber.close()
        self.shared.sessions.pop(self.id, None)
        self.reader = Reader()  # the other one refers to this session

    def update(self) -> None:
        """To be called once the state has changed."""
        is_kept = self.queue is not None or self.watch.size > 0
        self.is_plain = not is_kept and self._reply_mode == "ON" and not self.is_subscribed
        self.reader.usual = self.version if self.is_plain and not self.prefix else None


class Queue:
    """The commands since MULTI."""

    def __init__(self) -> None:
        self.commands: List[Command[Any]] = []
        self.size = 0
        """The bytes that they count for."""
        self.is_broken = False
        """Whether one could not be queued."""

    def break_off(self) -> None:
        """Has EXEC refuse all of it, which is freed."""
        self.is_broken = True
        self.commands.clear()


WATCH_BYTES = 300
"""What a watched key takes beside its text."""


class Watch:
    """The keys that one client watches, and whether one of them was changed since."""

    def __init__(self) -> None:
        self.keys: Set[str] = set()
        self.has_present = False
        """Whether one was there when it was first watched, as it is until one is changed."""
        self.is_dirty = False
        self.size = 0
        """The bytes that they count for."""


class Watches:
    """All that is watched. It listens to the store only as long as there is something."""

    def __init__(self) -> None:
        self._watches: Set[Watch] = set()
        self._watchers: Dict[str, Set[Watch]] = {}
        self._unsubscribe: Optional[Callable[[], None]] = None

    def add(self, watch: Watch, keys: List[str], store: Store) -> bool:
        """Watches keys from now on; False when the store does not tell of changes."""
        if self._unsubscribe is None:
            if not isinstance(store, Observable):
                return False
            self._unsubscribe = store.subscribe(self._hear)
        for key in keys:
            entry, _ = store.update(key, lambda before: before)  # what is due expires before
            if key not in watch.keys:
                watch.keys.add(key)
                watch.has_present |= entry is not None
                watch.size += len(key) + WATCH_BYTES
                self._watchers.setdefault(key, set()).add(watch)
        self._watches.add(watch)
        return True

    def is_unchanged(self, watch: Watch, store: Store) -> bool:
        """Whether none of the keys was changed, nor has expired."""
        for key in watch.keys:
            store.update(key, lambda before: before)
        return not watch.is_dirty

    def forget(self, watch: Watch) -> None:
        """Watches the keys no longer."""
        for key in watch.keys:
            watchers = self._watchers[key]
            watchers.discard(watch)
            if not watchers:
                del self._watchers[key]
        self._watches.discard(watch)
        watch.keys.clear()
        watch.has_present, watch.is_dirty, watch.size = False, False, 0
        if not self._watchers and self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None

    def _hear(self, effects: Any) -> None:
        effect: Effect
        for effect in effects:
            if isinstance(effect, Cleared):
                _mark(watch for watch in self._watches if watch.has_present)
            elif isinstance(effect, PutMany):
                for key in self._watchers.keys() & effect.items.keys():
                    _mark(self._watchers[key])
            else:
                _mark(self._watchers.get(effect.key, ()))


def _mark(watchers: Any) -> None:
    for watch in watchers:
        watch.is_dirty = True
