"""What programs that use the library look like to a type checker: these lines must pass it, and
those that it is told to ignore must not, on the settings in pyproject.toml.

Rule: each function also runs, on an empty store, but for those in `refused`, which never do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterator,
    List,
    NoReturn,
    Optional,
    Tuple,
    TypedDict,
    Union,
)

import kvjson
from kvjson import AsyncClient, Client, Page, PendingResult

if TYPE_CHECKING:
    from typing_extensions import assert_type
else:

    def assert_type(value: Any, _: Any) -> Any:
        return value


@dataclass
class User:
    name: str


class Options(TypedDict):
    depth: int


def what_a_value_is(client: Client) -> None:
    client.set("user", User("Ada"))
    assert_type(client.get("user"), Any)
    assert_type(client.get("user", "default"), Any)
    assert_type(client["user"], Any)
    assert_type(client.get("user", decode_as=User), Optional[User])
    assert_type(client.get("user", User("nobody"), decode_as=User), User)
    assert_type(client.get("user", 0, decode_as=User), Union[User, int])
    assert_type(client.get("user", default=None, decode_as=User), Optional[User])
    assert_type(client.mget(["user"]), Dict[str, Any])
    assert_type(client.mget(iter(["user"]), decode_as=User), Dict[str, User])
    assert_type(client.getset("user", {"depth": 1}, decode_as=User), Optional[User])
    assert_type(client.getset("user", {"depth": 2}, 0, decode_as=Options), Union[Options, int])
    assert_type(client.getdel("user", decode_as=Options), Optional[Options])
    client.set("numbers", [1, 2])
    assert_type(client.get("numbers", decode_as=List[int]), Optional[List[int]])
    assert_type(client.get("numbers", decode_as=Union[int, List[int]]), Any)
    assert_type(client.mget(["numbers"], decode_as=Optional[List[int]]), Dict[str, Any])
    found: Optional[User] = client.get("missing", decode_as=User)
    assert found is None
    assert_type(client.pop("numbers"), Any)
    assert_type(client.pop("numbers", None), Any)
    assert_type(client.setdefault("numbers", [1], ttl=60), Any)
    assert_type(client.get_or_set("numbers", lambda: [1]), Any)
    assert_type(client.items("user:"), Iterator[Tuple[str, Any]])
    assert_type(client.values(decode_as=Any), Iterator[Any])
    client.update({"a": 1}, ttl=60)
    client.update([("a", 1)])


def what_a_command_returns(client: Client) -> None:
    assert_type(client.set("k", None, ttl=0.5, if_="absent"), bool)
    assert_type(client.set("k", b"x", keep_ttl=True, if_equals=None), bool)
    assert_type(client.mset({"a": 1, "b": "x"}, ttl=60, if_="absent"), bool)
    assert_type(client.delete("k", if_equals=b"x"), bool)
    assert_type(client.mdelete({"a", "b"}), int)
    assert_type(client.exists("k"), bool)
    assert_type(client.incr("n"), int)
    assert_type(client.incr("n", by=2, ttl=60), int)
    assert_type(client.incr("n", by=0.5), float)
    assert_type(client.ttl("n"), Optional[float])
    assert_type(client.expire("n", 1), bool)
    assert_type(client.persist("n"), bool)
    assert_type(client.count(), int)
    assert_type(client.scan("n", limit=5), Page)
    assert_type(client.scan().keys, List[str])
    assert_type(client.keys("user:"), Iterator[str])
    assert_type(client.ping(), str)
    assert_type(client.info(), Dict[str, Any])
    assert_type(client.flush(), int)
    assert_type("k" in client, bool)
    assert_type(list(client), List[str])


def what_comes_of_a_pipeline(client: Client) -> None:
    with client.pipeline() as pipeline:
        user = assert_type(pipeline.get("user", decode_as=User), PendingResult[Optional[User]])
        total = pipeline.incr("n")
        page = pipeline.scan()
    assert_type(user.result, Optional[User])
    assert_type(total.result, int)
    assert_type(page.result, Page)
    with client.batch() as batch:
        assert_type(batch.mget(["a"], decode_as=int), PendingResult[Dict[str, int]])
    assert_type(batch.run(), List[Any])


async def what_is_awaited(client: AsyncClient) -> None:
    assert_type(await client.set("user", User("Ada"), ttl=60), bool)
    assert_type(await client.get("user"), Any)
    assert_type(await client.get("user", decode_as=User), Optional[User])
    assert_type(await client.get("user", 0, decode_as=User), Union[User, int])
    assert_type(await client.mget(["user"], decode_as=User), Dict[str, User])
    assert_type([key async for key in client], List[str])
    assert_type([key async for key in client.keys("user:", page=10)], List[str])
    async with client.pipeline() as pipeline:
        user = pipeline.get("user", decode_as=User)
    assert_type(user.result, Optional[User])
    assert_type(await pipeline.run(), List[Any])
    total = asyncio.create_task(client.incr("n"))
    assert_type(await total, int)


def what_is_built_from_commands(client: Client) -> None:
    @kvjson.cached(client, ttl=60, name="square")
    def square(number: int, *, times: int = 1) -> List[int]:
        return [number**2] * times

    class Shop:
        @client.cached(ttl=60, name="price", key=lambda self, item: item)
        def price(self, item: str) -> int:
            return len(item)

    assert_type(square(2, times=3), List[int])
    assert_type(square.key(2, times=3), str)
    assert_type(square.invalidate(2), bool)
    assert_type(Shop().price("tea"), int)
    assert_type(Shop().price.invalidate("tea"), bool)
    with kvjson.Lock(client, "lock", ttl=5) as lock:
        assert_type(lock.renew(), bool)
    assert_type(client.lock("lock", renew=True).acquire(timeout=1.5), bool)
    assert_type(kvjson.RateLimiter(client, "limit", 5, per=1).allow("ada"), bool)
    assert_type(client.limiter("limit", 5, per=1).allow(), bool)


async def what_is_built_for_asyncio(client: AsyncClient) -> None:
    @client.cached(ttl=60, name="square")
    async def square(number: int) -> List[int]:
        return [number**2]

    assert_type(await square(2), List[int])
    assert_type(await square.invalidate(number=2), bool)
    async with client.lock("lock") as lock:
        assert_type(await lock.renew(), bool)
        assert_type(lock.lost, bool)
    assert_type(await client.limiter("limit", 5, per=1).allow("ada"), bool)
    assert_type([item async for item in client.items()], List[Tuple[str, Any]])
    assert_type(await client.pop("missing", 5), Any)
    assert_type(await client.get_or_set("k", lambda: asyncio.sleep(0, 5)), Any)


def what_is_refused(client: Client) -> None:
    client.set("word", "x")
    try:
        client.incr("word")
    except (kvjson.NotANumber, kvjson.NotOfType) as error:
        assert_type(error.code, str)
        assert_type(error.index, Optional[int])
    except kvjson.KvError:
        raise


def refused(client: Client, awaited: AsyncClient) -> NoReturn:
    """Every line of these is a mistake that a type checker must see."""
    client.get(1)  # type: ignore[call-overload]
    print(client.get("k", decode_as=User).name)  # type: ignore[union-attr]
    client.get("k", decode_as=List[int]).append(1)  # type: ignore[union-attr]
    client.set("k")  # type: ignore[call-arg]
    client.set("k", 1, 60)  # type: ignore[call-arg]
    client.set("k", 1, ttl="60")  # type: ignore[arg-type]
    client.set("k", 1, if_="maybe")  # type: ignore[arg-type]
    client.mset({1: 1})  # type: ignore[dict-item]
    client.mset({"k": 1}, if_="present")  # type: ignore[arg-type]
    client.mget(5)  # type: ignore[call-overload]
    client.expire("k")  # type: ignore[call-arg]
    client.nothing("k")  # type: ignore[attr-defined]
    print(client.pipeline().get("k", decode_as=User).name)  # type: ignore[attr-defined]
    client[5]  # type: ignore[index]
    awaited.get("k") + 1  # type: ignore[operator]
    kvjson.Client(time_out=5)  # type: ignore[call-arg]
    kvjson.Client(timeout="5")  # type: ignore[arg-type]
    kvjson.cached(client, ttl=60)(len)(5)  # type: ignore[arg-type]
    kvjson.Lock(awaited, "lock")  # type: ignore[arg-type]
    kvjson.AsyncLock(client, "lock")  # type: ignore[arg-type]
    kvjson.RateLimiter(awaited, "limit", 5, per=1)  # type: ignore[arg-type]
    kvjson.cached(awaited, ttl=60)(len)  # type: ignore[arg-type]
    kvjson.serve(pasword="x")  # type: ignore[call-arg]
    for _ in awaited:  # type: ignore[attr-defined]
        pass
    raise AssertionError("this is not to be run")
