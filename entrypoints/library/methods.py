"""The methods of the three kinds of clients, one for each request.

Rule: this file is made from the list of requests, by `python -m tests.library.methods`; a type
checker can follow no loop. Edit `requests.py` instead.
"""

from __future__ import annotations

from entrypoints.library import requests
from entrypoints.library.senders import (
    AwaitedSender,
    BlockingSender,
    BufferedSender,
    awaited,
    blocking,
    buffered,
)


class BlockingMethods(BlockingSender):
    """The commands, as calls that wait for their result."""

    get = blocking(requests.get)
    set = blocking(requests.set)
    delete = blocking(requests.delete)
    flush = blocking(requests.flush)
    mget = blocking(requests.mget)
    mset = blocking(requests.mset)
    mdelete = blocking(requests.mdelete)
    exists = blocking(requests.exists)
    getset = blocking(requests.getset)
    getdel = blocking(requests.getdel)
    incr = blocking(requests.incr)
    ttl = blocking(requests.ttl)
    expire = blocking(requests.expire)
    persist = blocking(requests.persist)
    count = blocking(requests.count)
    scan = blocking(requests.scan)
    ping = blocking(requests.ping)
    info = blocking(requests.info)


class AwaitedMethods(AwaitedSender):
    """The commands, as coroutines."""

    get = awaited(requests.get)
    set = awaited(requests.set)
    delete = awaited(requests.delete)
    flush = awaited(requests.flush)
    mget = awaited(requests.mget)
    mset = awaited(requests.mset)
    mdelete = awaited(requests.mdelete)
    exists = awaited(requests.exists)
    getset = awaited(requests.getset)
    getdel = awaited(requests.getdel)
    incr = awaited(requests.incr)
    ttl = awaited(requests.ttl)
    expire = awaited(requests.expire)
    persist = awaited(requests.persist)
    count = awaited(requests.count)
    scan = awaited(requests.scan)
    ping = awaited(requests.ping)
    info = awaited(requests.info)


class BufferedMethods(BufferedSender):
    """The commands, collected to be sent together."""

    get = buffered(requests.get)
    set = buffered(requests.set)
    delete = buffered(requests.delete)
    flush = buffered(requests.flush)
    mget = buffered(requests.mget)
    mset = buffered(requests.mset)
    mdelete = buffered(requests.mdelete)
    exists = buffered(requests.exists)
    getset = buffered(requests.getset)
    getdel = buffered(requests.getdel)
    incr = buffered(requests.incr)
    ttl = buffered(requests.ttl)
    expire = buffered(requests.expire)
    persist = buffered(requests.persist)
    count = buffered(requests.count)
    scan = buffered(requests.scan)
    ping = buffered(requests.ping)
    info = buffered(requests.info)
