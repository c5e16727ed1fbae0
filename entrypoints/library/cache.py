"""The entries of a function on the server, and which caller computes one.

Rule: a value is returned as it was stored, of the same type, or it is not stored. A caller that
finds nothing puts a claim with a token at the key, computes, and puts the value in the claim's
place. The others wait for the value, or for the claim to end, and then one of them claims the key.
A claim expires by itself, so one caller at a time takes over from a claimant that was killed; and
it is gone once its key was invalidated, so what was computed before that is not stored after it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from functools import partial
from typing import Any, Dict, NamedTuple, Optional, Union

import msgspec
from msgspec import Raw

from adapters.client.python_values import NotOfType, as_type, from_json, to_json
from application import commands
from domain.errors import BadRequest, KvError, OutOfMemory, TooLarge, Unauthenticated
from domain.store import MAX_TTL
from entrypoints.library import requests
from entrypoints.library.requests import Request
from entrypoints.library.runtime import Runtime, cleaned_up, pause
from entrypoints.settings.checks import check_above_0

_MISSING: Any = object()


class Found(NamedTuple):
    """The value that is stored."""

    value: Any


class Claim(NamedTuple):
    """The right to store a value, once the server has it."""

    key: str
    token: str

    @property
    def mark(self) -> Dict[str, Any]:
        """What stands for the value until it is there."""
        return _mark(self.token)


def _mark(state: object) -> Dict[str, Any]:
    return {"$claim": state}


def _is_mark(value: Any) -> bool:
    return isinstance(value, dict) and [*value] == ["$claim"]


_UNCACHEABLE = _mark(False)
"""For a value that cannot be stored: no caller has to wait for it."""

_INVALIDATED = _mark(None)
"""For a claim that has ended: the next caller claims the key anew."""


Look = Union[Found, Claim, None]
"""What a caller has to go on with."""


class Cache:
    """The entries of one function."""

    def __init__(
        self, runtime: Runtime, ttl: float, name: str, decode_as: Any, lock_timeout: float
    ) -> None:
        check_above_0(MAX_TTL, ttl=ttl, lock_timeout=lock_timeout)
        self.name = name
        self._runtime = runtime
        self._ttl = ttl
        self._decode_as = decode_as
        self._lock_timeout = lock_timeout

    def new_claim(self, key: Optional[str]) -> Look:
        """What to look with, which the server does not know yet; None without a key."""
        return None if key is None else Claim(key, uuid.uuid4().hex)

    async def look(self, claim: Look) -> Look:
        """The value; or the claim, which the server has now; or None, when nothing is to be stored:
        without a key, and without a server."""
        if not isinstance(claim, Claim):
            return None
        try:
            return await self._look(claim)
        except Unauthenticated:
            raise
        except KvError:
            return None

    async def _look(self, claim: Claim) -> Look:
        while True:
            value = await self._runtime.send(requests.get(claim.key, _MISSING))
            if value == _UNCACHEABLE:
                return None
            found = self._found(value)
            if found is not None:
                return found
            is_free = not _is_mark(value) or value == _INVALIDATED
            if is_free and await self._put_claim(claim, value):
                return claim
            await pause(self._runtime)

    async def _put_claim(self, claim: Claim, value: Any) -> bool:
        """Puts a claim in the place of what was found; false when that is another by now."""
        condition: Any = {"if_": "absent"} if value is _MISSING else {"if_equals": value}
        request = requests.set(claim.key, claim.mark, ttl=self._lock_timeout, **condition)
        return await self._runtime.send(request)

    def _found(self, value: Any) -> Optional[Found]:
        if value is _MISSING or _is_mark(value):
            return None
        try:
            return Found(as_type(value, self._decode_as))
        except NotOfType:  # it is replaced
            return None

    async def keep(self, claim: Look, value: Any) -> None:
        """Stores the value, unless it would come back as another; the caller has it in any case."""
        if not isinstance(claim, Claim):
            return
        with contextlib.suppress(KvError):
            text = self._text(value)
            if text is None or not await self._store(claim, text):
                ttl = min(self._ttl, self._lock_timeout)
                request = requests.set(claim.key, _UNCACHEABLE, ttl=ttl, if_equals=claim.mark)
                await self._runtime.send(request)

    async def _store(self, claim: Claim, text: bytes) -> bool:
        """Stores the value in the place of its claim, or where that has expired; not where another
        one is, or what has ended it. Returns whether the server takes such a value."""
        command = commands.Set(claim.key, Raw(text), ttl=self._ttl)
        conditions: Any = {"if_equals": Raw(to_json(claim.mark))}, {"if_": "absent"}
        try:
            for condition in conditions:
                conditional = msgspec.structs.replace(command, **condition)
                if await self._runtime.send(Request(conditional, bool)):
                    break
            return True
        except (BadRequest, TooLarge, OutOfMemory):
            return False

    def _text(self, value: Any) -> Optional[bytes]:
        """The text of a value; None for one that would be read as another, or as a claim."""
        try:
            text = to_json(value)
            read = from_json(text)
            is_same = not _is_mark(read) and identical(as_type(read, self._decode_as), value)
        except (KvError, TypeError, RecursionError):
            return None
        return text if is_same else None

    async def abandon(self, claim: Look) -> None:
        """Removes a claim that the server may have, so that another caller can claim the key."""
        if isinstance(claim, Claim):
            await cleaned_up(self._runtime, partial(self._remove, claim))

    async def _remove(self, claim: Claim) -> None:
        with contextlib.suppress(KvError):
            await self._runtime.send(requests.delete(claim.key, if_equals=claim.mark))

    async def invalidate(self, key: str) -> bool:
        """Removes the value, or ends the claim; returns whether there was a value."""
        while True:
            value = await self._runtime.send(requests.getdel(key, _MISSING))
            if not _is_mark(value):
                return value is not _MISSING
            request = requests.set(key, _INVALIDATED, ttl=self._lock_timeout, if_="absent")
            if await self._runtime.send(request):
                return False


def identical(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return identical(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(identical, one, other))
    if isinstance(one, float):
        return repr(one) == repr(other)
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
    elif isinstance(one, msgspec.Struct):
        names = list(one.__struct_fields__)
    else:
        return bool(one == other)
    return all(identical(getattr(one, name), getattr(other, name)) for name in names)
