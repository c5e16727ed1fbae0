"""The entries of a function on the server, and which caller computes one.

Rule: a value is returned as it was stored, of the same type, or it is not stored. A caller that
finds nothing claims the key with a token, computes, stores, and removes its claim. The others wait
for the value, or for the claim to end, and then one of them claims the key. A claim expires by
itself, so one caller at a time takes over from a claimant that was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from typing import Any, Dict, NamedTuple, Optional, Union

import msgspec
from msgspec import Raw

from adapters.client.python_values import NotOfType, as_type, from_json, to_json
from application import commands
from domain.errors import BadRequest, KvError, OutOfMemory, TooLarge, Unauthenticated
from domain.store import MAX_TTL
from entrypoints.library import requests
from entrypoints.library.requests import Request
from entrypoints.library.runtime import Runtime, cleaned_up_if_broken_off, pause
from entrypoints.settings.checks import check_above_0

_UNCACHEABLE = False
"""Stands in place of a claim for a value that cannot be stored: no caller has to wait for it."""


class Found(NamedTuple):
    """The value that is stored."""

    value: Any


class Claim(NamedTuple):
    """The right to store a value; without a token it is not stored."""

    key: str = ""
    token: str = ""


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

    async def look(self, key: Optional[str]) -> Union[Found, Claim]:
        """The value, or the right to store one. Without a server, neither is waited for; without a
        key there is neither."""
        if key is None:
            return Claim()
        claim = Claim(key, uuid.uuid4().hex)
        try:
            return await cleaned_up_if_broken_off(
                self._runtime, self._look(claim), lambda: self.release_claim(claim)
            )
        except Unauthenticated:
            raise
        except KvError:
            return Claim(key)

    async def _look(self, claim: Claim) -> Union[Found, Claim]:
        """The value, or `claim`, once it is there."""
        key, token = claim
        claimed = False
        while True:
            values = await self._runtime.send(requests.mget([key, _claim(key)]))
            found = self._found(values, key)
            if found is not None:
                if claimed:
                    await self._runtime.send(requests.delete(_claim(key), if_equals=token))
                return found
            if claimed:
                return claim
            other = values.get(_claim(key))
            if other is _UNCACHEABLE:
                return Claim(key)
            if other is None:
                claimed = await self._runtime.send(
                    requests.set(_claim(key), token, ttl=self._lock_timeout, if_="absent")
                )
            if not claimed:
                await pause(self._runtime)

    def _found(self, values: Dict[str, Any], key: str) -> Optional[Found]:
        try:
            return Found(as_type(values[key], self._decode_as)) if key in values else None
        except NotOfType:  # it is replaced
            return None

    async def keep(self, claim: Claim, value: Any) -> None:
        """Stores the value, unless it would come back as another; the caller has it in any case."""
        if not claim.token:
            return
        with contextlib.suppress(KvError):
            text = self._text(value)
            if text is not None and await self._store(claim.key, text):
                await self.release_claim(claim)
            else:
                ttl = min(self._ttl, self._lock_timeout)
                request = requests.set(
                    _claim(claim.key), _UNCACHEABLE, ttl=ttl, if_equals=claim.token
                )
                await self._runtime.send(request)

    async def _store(self, key: str, text: bytes) -> bool:
        try:
            command = commands.Set(key, Raw(text), ttl=self._ttl)
            return await self._runtime.send(Request(command, bool))
        except (BadRequest, TooLarge, OutOfMemory):
            return False

    def _text(self, value: Any) -> Optional[bytes]:
        try:
            text = to_json(value)
            return text if identical(as_type(from_json(text), self._decode_as), value) else None
        except (KvError, TypeError, RecursionError):
            return None

    async def release_claim(self, claim: Claim) -> None:
        """Removes the claim, so that another caller can claim the key."""
        if claim.token:
            with contextlib.suppress(KvError):
                request = requests.delete(_claim(claim.key), if_equals=claim.token)
                await self._runtime.send(request)

    async def invalidate(self, key: str) -> bool:
        """Removes the value; returns whether there was one."""
        return await self._runtime.send(requests.delete(key))


def _claim(key: str) -> str:
    return f"claim:{key}"


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
