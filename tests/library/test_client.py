"""What every client promises, on a server, in this process and for asyncio."""

from __future__ import annotations

from typing import Any

import pytest
from kvjson import BadRequest, Client, KvError, NotANumber, OutOfRange, Page, TooLarge

from tests.samples import VALUES


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_stored_value_is_read_back_equal(client: Client, value: Any) -> None:
    assert client.set("k", value) is True
    assert repr(client.get("k")) == repr(value)


def test_a_missing_key_returns_the_default_and_a_stored_none_is_no_miss(
    client: Client,
) -> None:
    client.set("nothing", None)
    assert client.get("missing") is None
    assert client.get("missing", "default") == "default"
    assert client.get("nothing", "default") is None
    assert client.getset("fresh", 1, "default") == "default"
    assert client.getset("nothing", 1, "default") is None
    assert client.getdel("missing", default="default") == "default"
    assert client.getdel("fresh", default="default") == 1


def test_a_value_is_stored_only_if_the_condition_holds(client: Client) -> None:
    assert client.set("k", 1, if_="present") is False
    assert client.set("k", 1, if_="absent") is True
    assert client.set("k", 2, if_="absent") is False
    assert client.set("k", 3, if_equals=2) is False
    assert client.set("k", {"a": [1.0]}, if_equals=1) is True
    assert client.set("k", None, if_equals={"a": [1]}) is True
    assert client.set("k", 4, if_equals=None) is True
    assert client.get("k") == 4


def test_a_none_to_compare_with_is_a_value_and_no_missing_condition(client: Client) -> None:
    client.set("k", 1)
    assert client.set("k", 2, if_equals=None) is False
    assert client.delete("k", if_equals=None) is False
    assert client.set("missing", 1, if_equals=None) is False
    assert client.get("k") == 1


def test_delete_removes_a_key_once_and_only_if_its_value_matches(client: Client) -> None:
    client.set("k", "mine")
    assert client.delete("k", if_equals="theirs") is False
    assert client.delete("k", if_equals="mine") is True
    assert client.delete("k") is False


def test_a_ttl_is_in_seconds_and_is_kept_only_with_keep_ttl(client: Client) -> None:
    client.set("k", 1, ttl=60.5)
    assert 50 < (client.ttl("k") or 0) <= 60.5
    client.set("k", 2, keep_ttl=True)
    assert 50 < (client.ttl("k") or 0) <= 60.5
    client.set("k", 3)
    assert client.ttl("k") is None
    assert client.ttl("k", default=-1) is None
    assert client.ttl("missing") is None
    assert client.ttl("missing", default=-1) == -1


def test_expire_persist_and_ttl(client: Client) -> None:
    assert client.expire("k", 60) is False
    assert client.persist("k") is False
    client.set("k", 1)
    assert client.persist("k") is False
    assert client.expire("k", 60) is True
    assert 50 < (client.ttl("k") or 0) <= 60
    assert client.persist("k") is True
    assert client.ttl("k") is None


def test_mget_mset_and_mdelete_take_many_keys(client: Client) -> None:
    items = {"a": None, "b": {"deep": [True]}, "ключ\n": 0.5}
    assert client.mset(items) is True
    assert client.mget(["a", "b", "c", "ключ\n", "a"]) == items
    assert client.mset({"c": 1, "a": 2}, if_="absent") is False
    assert client.mset({"c": 1, "d": 2}, if_="absent", ttl=60) is True
    assert 50 < (client.ttl("c") or 0) <= 60
    assert client.mdelete(["a", "b", "missing"]) == 2
    assert client.count() == 3
    assert client.mget([]) == {}
    assert client.mdelete([]) == 0
    assert client.mset({}) is True


def test_many_keys_may_come_from_any_iterable(client: Client) -> None:
    client.mset({"a": 1, "b": 2})
    assert client.mget(key for key in "abc") == {"a": 1, "b": 2}
    assert client.mget({"a": "as", "b": "keys"}) == {"a": 1, "b": 2}
    assert client.mdelete({"a", "b"}) == 2


def test_exists_and_count(client: Client) -> None:
    assert client.exists("k") is False
    client.mset({"k": None, "": 1})
    assert client.exists("k") is True
    assert client.count() == 2
    assert client.flush() == 2
    assert client.count() == 0


def test_getset_and_getdel_return_the_old_value(client: Client) -> None:
    assert client.getset("k", [1]) is None
    assert client.getset("k", "new", ttl=60) == [1]
    assert 50 < (client.ttl("k") or 0) <= 60
    assert client.getdel("k") == "new"
    assert client.getdel("k") is None


def test_counting_keeps_whole_numbers_whole(client: Client) -> None:
    assert repr(client.incr("n")) == "1"
    assert repr(client.incr("n", 2**62)) == str(2**62 + 1)
    assert repr(client.incr("n", by=-(2**62))) == "1"
    assert repr(client.incr("n", 0.5)) == "1.5"
    assert client.get("n") == 1.5


def test_the_ttl_of_incr_applies_only_to_a_new_counter(client: Client) -> None:
    client.incr("n", ttl=60)
    client.incr("n", ttl=6000)
    assert 50 < (client.ttl("n") or 0) <= 60


def test_incr_of_a_value_that_is_no_number_raises_its_own_error(client: Client) -> None:
    client.mset({"word": "x", "large": 2**63 - 1})
    with pytest.raises(NotANumber, match="the value at `word` is a string, not a number"):
        client.incr("word")
    with pytest.raises(OutOfRange):
        client.incr("large")
    assert client.mget(["word", "large"]) == {"word": "x", "large": 2**63 - 1}


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_a_ttl_that_is_no_positive_number_is_refused(client: Client, ttl: float) -> None:
    for attempt in (
        lambda: client.set("k", 1, ttl=ttl),
        lambda: client.mset({"k": 1}, ttl=ttl),
        lambda: client.getset("k", 1, ttl=ttl),
        lambda: client.incr("k", ttl=ttl),
        lambda: client.expire("k", ttl),
    ):
        with pytest.raises(BadRequest):
            attempt()
    assert client.count() == 0


def test_a_refusal_is_one_kind_of_error_with_a_code_to_act_on(client: Client) -> None:
    with pytest.raises(KvError) as refusal:
        client.scan(limit=0)
    assert refusal.value.code == "BAD_REQUEST"
    with pytest.raises(BadRequest):
        client.scan(cursor="none that was given")


def test_scan_returns_keys_page_by_page(client: Client) -> None:
    keys = {f"user:{number}" for number in range(25)}
    client.mset({**dict.fromkeys(keys, 0), "n": 1})
    found, page = [], client.scan("user:", limit=10)
    assert isinstance(page, Page)
    while page.cursor is not None:
        found += page.keys
        page = client.scan("user:", page.cursor, 10)
    assert sorted(found + page.keys) == sorted(keys)


def test_thousands_of_keys_are_all_found_and_no_other(client: Client) -> None:
    client.mset({f"user:{number}": number for number in range(5000)})
    client.mset({f"other:{number}": number for number in range(500)})
    assert sorted(client.keys("user:")) == sorted(f"user:{number}" for number in range(5000))
    assert len(list(client.keys(page=7, prefix="other:"))) == 500
    assert list(client.keys("none:")) == []
    assert len(set(client.keys())) == 5500


def test_a_few_keys_are_found_behind_thousands_of_others(client: Client) -> None:
    for first in (0, 15_000):
        client.mset({f"user:{number}": number for number in range(first, first + 15_000)})
    client.mset({"other:1": 1, "other:2": 2, "other:3": 3})
    assert sorted(client.keys("other:")) == ["other:1", "other:2", "other:3"]


def test_ping_and_info(client: Client) -> None:
    client.set("k", 1)
    assert client.ping() == "PONG"
    assert client.info()["keyspace"]["keys"] == 1


def test_a_closed_client_can_be_used_again(client: Client) -> None:
    client.set("k", 1)
    client.close()
    client.close()
    assert client.get("k") == 1


def test_a_value_that_is_too_large_is_refused_and_does_no_harm_to_the_next(client: Client) -> None:
    client.set("k", 1)
    with pytest.raises(TooLarge):
        client.set("large", "x" * 5_000_000)
    assert client.mget(["k", "large"]) == {"k": 1}


def test_a_local_pipeline_goes_on_behind_a_value_that_is_too_large() -> None:
    client = Client.local()
    queue = client.pipeline()
    queue.set("before", 1)
    queue.set("large", "x" * 5_000_000)
    queue.set("behind", 2)
    before, large, behind = queue.run()
    assert (before, behind, client.get("behind")) == (True, True, 2)
    assert type(large) is TooLarge
