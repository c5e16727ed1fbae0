"""The addresses of Valkey and Redis servers: what each part means, and what is refused unquoted."""

from __future__ import annotations

import pytest

from entrypoints.engine_address import EngineAddress, is_engine

ANY = EngineAddress("h", 6379)
CLUSTER = ANY._replace(is_cluster=True)


@pytest.mark.parametrize(
    ("url", "meant", "shown"),
    [
        ("redis://h", ANY, "redis://h:6379/0"),
        ("valkey://h:1/15", ANY._replace(port=1, db=15), "redis://h:1/15"),
        ("REDISS://h/", ANY._replace(tls=True), "rediss://h:6379/0"),
        ("valkeys://[::1]:2", ANY._replace(host="::1", port=2, tls=True), "rediss://[::1]:2/0"),
        ("redis://:p%40%2F@h", ANY._replace(password="p@/"), "redis://h:6379/0"),
        ("redis://me:p@h", ANY._replace(username="me", password="p"), "redis://h:6379/0"),
        ("redis://h?prefix=a%3A", ANY._replace(prefix="a:"), "redis://h:6379/0"),
        ("redis://h?prefix=", ANY._replace(prefix=""), "redis://h:6379/0"),
        ("valkey-cluster://h", CLUSTER, "redis-cluster://h:6379"),
        (
            "redis-cluster://me:p@h:1,[::1]:2,other?prefix={a}:",
            CLUSTER._replace(
                port=1,
                username="me",
                password="p",
                prefix="{a}:",
                others=(("::1", 2), ("other", 6379)),
            ),
            "redis-cluster://h:1,[::1]:2,other:6379",
        ),
        ("rediss-cluster://h", CLUSTER._replace(tls=True), "rediss-cluster://h:6379"),
        ("valkeys-cluster://h", CLUSTER._replace(tls=True), "rediss-cluster://h:6379"),
    ],
)
def test_an_address_is_an_engine_and_is_shown_without_the_password(
    url: str, meant: EngineAddress, shown: str
) -> None:
    assert is_engine(url)
    assert EngineAddress.parse(url) == meant
    assert str(meant) == shown


@pytest.mark.parametrize(
    "url",
    [
        "redis:h",
        "redis://",
        "redis://h:0x1",
        "redis://h:99999",
        "redis://h/name",
        "redis://h,i",
        "redis-cluster://h/1",
        "redis-cluster://h,",
        "redis://:secret@",
        "redis://:secret%ff@h",
        "redis://:secret@x@h",
        "redis://h?secret=1",
        "redis://h\n",
        "redis://::1",
        "redis://::1:6379",
    ],
)
def test_another_text_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match=r"(^|; )an engine is redis://") as refusal:
        EngineAddress.parse(url)
    assert "secret" not in str(refusal.value)


def test_an_address_of_another_scheme_is_refused_with_those_known() -> None:
    with pytest.raises(ValueError, match=r"^no scheme is called http; known are redis, "):
        EngineAddress.parse("http://:secret@h?")
