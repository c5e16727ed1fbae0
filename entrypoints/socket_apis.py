"""The sockets of each kind of program: threads, or greenlets on gevent without patching.

Rule: gevent is imported where a program asks for it alone, and takes the main thread for that.
"""

from __future__ import annotations

import os
import queue
import socket
import ssl
import sys
import threading
import time
from functools import partial
from typing import Any, Callable

from adapters.client.busy_poll_socket import BusyPollSocket
from adapters.client.network import SocketApi


def threads_api(busy_poll: float) -> SocketApi:
    """That of the standard library: gevent's in a program that gevent has patched, however late, so
    each part is looked up when it is needed."""
    return SocketApi(
        socket,
        ssl,
        new_queue,
        lambda seconds: time.sleep(seconds),
        _start,
        partial(_busy_polling, busy_poll) if busy_poll > 0 else None,
        _renew_loop,
    )


def original(module: Any, name: str) -> Any:
    """What a module of the standard library has, also where gevent has put its own in the place."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original(module.__name__, name) if monkey else getattr(module, name)


def new_queue() -> Any:
    """A queue for threads: for greenlets in a program that gevent has patched, where some versions
    of it offer Python's own, which a greenlet that is killed may leave half changed."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("queue"):
        return queue.SimpleQueue()
    import gevent.queue

    return gevent.queue.Queue()


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="kvjson look-up", daemon=True).start()


def _busy_polling(seconds: float, sock: Any) -> Any:
    """A socket that busy-polls; one of gevent's as it is, since busy-polling keeps other greenlets
    from running."""
    yield_cpu = getattr(os, "sched_yield", None)
    if yield_cpu is None or type(sock).__module__ != "socket":
        return sock
    return BusyPollSocket(sock, yield_cpu, seconds)


def gevent_api() -> SocketApi:
    """That of gevent, in a program that it has not patched."""
    import_gevent()
    import gevent.queue
    import gevent.socket
    import gevent.ssl

    return SocketApi(
        gevent.socket, gevent.ssl, gevent.queue.Queue, gevent.sleep, after_fork=_renew_loop
    )


def import_gevent() -> None:
    """Imports gevent, in any thread: it takes the thread that imports it first for the main one,
    the only one in which it starts other programs."""
    if "gevent.hub" in sys.modules:
        return
    import gevent.hub

    main = threading.main_thread().ident
    gevent.hub.MAIN_THREAD_IDENT = main  # type: ignore[attr-defined]  # it has one


def _renew_loop() -> None:
    """Has gevent's event loop, if there is one, work in a process that was forked."""
    gevent = sys.modules.get("gevent")
    if gevent is not None:
        gevent.reinit()
