"""Locks over all clients of a server.

Rule: each acquisition has a token of its own, and nothing but a key with that token is renewed or
removed, so that what another holds is never touched. A lock that its holder loses is reported.
After "Distributed locks with Redis" (https://redis.io/docs/latest/develop/use/patterns/distributed-locks/),
for a single server.
"""

from __future__ import annotations

import contextlib
import enum
import os
import uuid
import weakref
from typing import Any, Callable, List, Optional, Type

from domain.errors import Blame, KvError
from domain.store import MAX_TTL
from entrypoints.library import requests
from entrypoints.library.runtime import (
    Runtime,
    cleaned_up,
    cleaned_up_if_broken_off,
    deadline,
    finish,
    pause,
)
from entrypoints.library.senders import AwaitedSender, BlockingSender, check_client
from entrypoints.settings.checks import check_above_0

MAX_PAUSE = 86_400.0
"""Seconds between two renewals, at the most: threads cannot wait for centuries."""


class LockLost(KvError):
    """The lock expired, or was removed, before its block ended: another client may have held it."""

    code = "LOCK_LOST"
    blame = Blame.CLIENT


class _Hold(enum.Enum):
    """What is known of a lease. It changes in one step: the handler of a signal may raise between
    any two."""

    NONE = "the server does not have its token"
    DOUBTFUL = "the server may have its token, although no reply came"
    HELD = "the server had its token"


class _Lease:
    """One holder's acquisition, which a process that is forked does not inherit."""

    def __init__(self, holder: Any) -> None:
        self.holder = weakref.ref(holder)
        self._pid = os.getpid()
        self.token = uuid.uuid4().hex
        self.hold = _Hold.NONE
        self.lost = False
        self.expires = 0.0
        self.stop_renewing: Callable[[], None] = _no_op
        self.outer: Optional[_Lease] = None
        """The one that its holder lost by acquiring this one, and has not left yet."""

    @property
    def is_held(self) -> bool:
        return self.hold is _Hold.HELD

    @property
    def is_here(self) -> bool:
        """Whether this process acquired it."""
        return self._pid == os.getpid()


class _LockState:
    """The common part of `Lock` and `AsyncLock`."""

    def __init__(self, runtime: Runtime, key: str, ttl: float, renew: bool) -> None:
        check_above_0(MAX_TTL, ttl=ttl)
        self._runtime = runtime
        self._key = key
        self._ttl = ttl
        self._renew_by_itself = renew
        self._leases: weakref.WeakKeyDictionary[Any, _Lease] = weakref.WeakKeyDictionary()
        self._held: List[_Lease] = []
        """Those that were not released yet, oldest first."""

    @property
    def lost(self) -> bool:
        """Whether the caller lost the lock that it acquired: `ttl` seconds have passed since it was
        last renewed, or it was found to be gone."""
        lease = self._lease()
        return lease is not None and (
            lease.lost or (lease.is_held and self._runtime.clock() >= lease.expires)
        )

    def _lease(self) -> Optional[_Lease]:
        """The caller's own, or one whose holder has ended without releasing it: such as the task
        that `asyncio.wait_for` made for `acquire`, or a thread of a pool."""
        own = self._lease_of(self._runtime.holder())
        if own is not None:
            return own
        return next((lease for lease in self._held if self._is_orphan(lease)), None)

    def _lease_of(self, holder: Any) -> Optional[_Lease]:
        lease = self._leases.get(holder)
        return lease if lease is not None and lease.is_here else None

    def _is_orphan(self, lease: _Lease) -> bool:
        holder = lease.holder()
        return lease.is_here and (holder is None or self._runtime.has_ended(holder))

    async def _acquire(self, timeout: Optional[float]) -> bool:
        end = deadline(self._runtime, timeout)
        holder = self._runtime.holder()
        before = self._lease_of(holder)
        if before is not None and before.hold is _Hold.DOUBTFUL:
            lease, before = before, None
        else:
            lease = _Lease(holder)
        self._leases[holder] = lease
        try:
            return await cleaned_up_if_broken_off(
                self._runtime, self._wait_for(lease, before, end), lambda: self._give_back(lease)
            )
        finally:
            is_own = (
                before is not None and before.is_held and self._runtime.clock() < before.expires
            )
            if lease.hold is _Hold.NONE or (lease.hold is _Hold.DOUBTFUL and is_own):
                self._put_back(holder, before)

    async def _wait_for(
        self, lease: _Lease, before: Optional[_Lease], end: Optional[float]
    ) -> bool:
        """Acquires the lease by a time; `before` is the one that its holder had."""
        while not await self._try_acquire(lease):
            if end is not None and self._runtime.clock() >= end:
                return False
            await pause(self._runtime)
        if before is not None and before.is_held:
            before.stop_renewing()
            self._lose(before)
            lease.outer = before
        self._held.append(lease)
        if self._renew_by_itself:
            lease.stop_renewing = self._keep_renewing(weakref.ref(lease))
        return True

    async def _drop(self) -> None:
        """Frees the caller's lease, if there is one."""
        lease = self._lease()
        if lease is not None:
            await self._give_back(lease)

    async def _give_back(self, lease: _Lease) -> None:
        """Frees a lease whose acquisition or release was broken off, if the server may know it."""
        lease.stop_renewing()
        if lease in self._held:
            self._held.remove(lease)
        if lease.hold is not _Hold.NONE:
            lease.hold = _Hold.DOUBTFUL
            with contextlib.suppress(KvError):
                await self._runtime.send(requests.delete(self._key, if_equals=lease.token))
            lease.hold = _Hold.NONE

    def _put_back(self, holder: Any, lease: Optional[_Lease]) -> None:
        """Has a holder the lease that it had before, if any."""
        if lease is None:
            self._leases.pop(holder, None)
        else:
            self._leases[holder] = lease

    def _lose(self, lease: _Lease) -> None:
        """The lock was found to be gone."""
        lease.lost = True
        self._forget(lease)

    async def _try_acquire(self, lease: _Lease) -> bool:
        """Tries once; a lock that an earlier try acquired without receiving the reply is taken
        over."""
        asked = self._runtime.clock()
        before, lease.hold = lease.hold, _Hold.DOUBTFUL
        if not (before is _Hold.DOUBTFUL and await self._extend(lease)):
            request = requests.set(self._key, lease.token, ttl=self._ttl, if_="absent")
            if not await self._runtime.send(request):
                lease.hold = before
                return False
        lease.expires = asked + self._ttl
        lease.hold = _Hold.HELD
        return True

    async def _extend(self, lease: _Lease) -> bool:
        return await self._runtime.send(
            requests.set(self._key, lease.token, ttl=self._ttl, if_equals=lease.token)
        )

    async def _renew(self, lease: Optional[_Lease]) -> bool:
        if lease is None or not lease.is_held:
            return False
        asked = self._runtime.clock()
        if await self._extend(lease):
            lease.expires = asked + self._ttl
            return True
        self._lose(lease)
        return False

    def _keep_renewing(self, weak: weakref.ref[_Lease]) -> Callable[[], None]:
        """Renews thrice in each ttl, for as long as the holder lives and has not released it."""
        state: weakref.ref[_LockState] = weakref.ref(self)

        async def work() -> bool:
            lock, lease = state(), weak()
            if lock is None or lease is None or not lease.is_held:
                return False
            try:
                return await lock._renew(lease)
            except KvError:  # there is time for more tries
                return not lock._runtime.clock() >= lease.expires

        return self._runtime.repeat(min(self._ttl / 3, MAX_PAUSE), work)

    async def _release(self) -> bool:
        lease = self._lease()
        if lease is None:
            return False
        lease.stop_renewing()
        if lease.hold is _Hold.NONE:
            return False
        freed = await cleaned_up_if_broken_off(
            self._runtime,
            self._runtime.send(requests.delete(self._key, if_equals=lease.token)),
            lambda: self._give_back(lease),
        )
        lease.lost = lease.is_held and not freed
        self._forget(lease)
        return freed

    def _forget(self, lease: _Lease) -> None:
        """Forgets a lease that was released; one that was lost is remembered as lost."""
        lease.hold = _Hold.NONE
        if lease in self._held:
            self._held.remove(lease)
        holder = lease.holder()
        if holder is not None and not lease.lost:
            self._put_back(holder, lease.outer)

    async def _leave(self, kind: Optional[Type[BaseException]]) -> None:
        """Releases at the end of a block, of which an exception is never replaced."""
        if self._lease() is None:
            return
        try:
            freed = await self._release()
        except KvError:
            if kind is None:
                raise
            return
        if not freed and kind is None:
            raise LockLost(f"the lock {self._key!r} was lost before its block ended")

    def __repr__(self) -> str:
        lease = self._lease()
        state = "not held" if lease is None else "lost" if self.lost else "held"
        return f"<{type(self).__name__} {self._key!r}: {state}>"


class Lock(_LockState):
    """Lets one thread or greenlet in at a time, over all clients of a server.

    It is held for up to `ttl` seconds at a time: `renew()` extends that, and with `renew=True` it
    is extended in the background until it is released. A holder that takes longer has lost it, and
    another may have acquired it: then `lost` is True, and leaving the `with` block raises
    `LockLost`. The holder has to release it. It is not reentrant.
    """

    def __init__(
        self, client: BlockingSender, key: str, ttl: float = 30.0, *, renew: bool = False
    ) -> None:
        check_client(client, BlockingSender, "Lock", "AsyncLock, or client.lock()")
        super().__init__(client._runtime, key, ttl, renew)

    def acquire(self, timeout: Optional[float] = None) -> bool:
        """Waits for it, for `timeout` seconds or for ever; returns False when these are over."""
        return finish(self._acquire(timeout))

    def renew(self) -> bool:
        """Holds it for another `ttl` seconds; returns False when it was lost."""
        return finish(self._renew(self._lease()))

    def release(self) -> bool:
        """Frees it; returns False when it was lost before, and then nothing is changed."""
        try:
            return finish(self._release())
        except KvError:
            raise
        except BaseException:  # from the handler of a signal, maybe before anything was sent
            finish(cleaned_up(self._runtime, self._drop))
            raise

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        try:
            finish(self._leave(kind))
        except KvError:
            raise
        except BaseException:  # from the handler of a signal, maybe before anything was sent
            finish(cleaned_up(self._runtime, self._drop))
            raise


class AsyncLock(_LockState):
    """`Lock` for tasks of an event loop."""

    def __init__(
        self, client: AwaitedSender, key: str, ttl: float = 30.0, *, renew: bool = False
    ) -> None:
        check_client(client, AwaitedSender, "AsyncLock", "Lock, or client.lock()")
        super().__init__(client._runtime, key, ttl, renew)

    async def acquire(self, timeout: Optional[float] = None) -> bool:
        """Waits for it, for `timeout` seconds or for ever; returns False when these are over."""
        return await self._acquire(timeout)

    async def renew(self) -> bool:
        """Holds it for another `ttl` seconds; returns False when it was lost."""
        return await self._renew(self._lease())

    async def release(self) -> bool:
        """Frees it; returns False when it was lost before, and then nothing is changed."""
        return await self._release()

    async def __aenter__(self) -> AsyncLock:
        await self.acquire()
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        await self._leave(kind)


def _no_op() -> None:
    """Does nothing: there is no renewal to stop."""
