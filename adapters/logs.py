"""Log records: one line each, as text or as JSON, with the event and its details.

Rule: logging never blocks the server and never shows a secret. A thread writes the records; when
they are written too slowly, further records are dropped and counted. Records of one kind are
limited in rate, since clients can cause them. An error is logged by its type and place, without
its message, which may quote a value.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import logging.handlers
import os
import queue
import threading
import time
import traceback
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Optional, Tuple

RATE_LIMIT, RATE_PERIOD = 10, 10.0
"""Records of one kind that are written in a period, and its seconds; the first record after it
says how many were left out."""

QUEUE_SIZE = 1000
"""Records that may wait to be written."""

FLUSH_TIMEOUT = 1.0
"""Seconds that the end waits, at most, for the last records to be written."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}


def fields(record: logging.LogRecord) -> Dict[str, Any]:
    """The parts of a record by name, in the order to show them."""
    said = {
        "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat("T", "milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": record.getMessage(),
    }
    said.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
    if record.exc_info and record.exc_info[1]:
        said["error"] = _without_message(record.exc_info[1])
    return said


def as_json(record: logging.LogRecord) -> str:
    """A JSON object."""
    return json.dumps(fields(record), default=str)


def as_text(record: logging.LogRecord) -> str:
    """Text for people: time, level and event, then the rest by name."""
    said = fields(record)
    event = said.pop("event")
    if not event.isprintable():
        event = json.dumps(event)
    head = f"{said.pop('time')} {said.pop('level').upper():7} {event}"
    del said["logger"]
    return " ".join([head, *(f"{name}={_word(value)}" for name, value in said.items())])


FORMATS: Dict[str, Callable[[logging.LogRecord], str]] = {"text": as_text, "json": as_json}


class RateLimit(logging.Filter):
    """Passes `RATE_LIMIT` records of each kind in a `RATE_PERIOD`. A kind is a level and a message
    before its arguments are filled in."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: Dict[Tuple[int, object], Tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record; sets `left_out` on it to the number of records of its kind
        that were not written before it."""
        kind, now = (record.levelno, record.msg), self._clock()
        since, count = self._kinds.get(kind, (now, 0))
        if now - since >= RATE_PERIOD:
            if count > RATE_LIMIT:
                record.left_out = count - RATE_LIMIT
            since, count = now, 0
        self._kinds[kind] = since, count + 1
        return count < RATE_LIMIT


class DroppingQueueHandler(logging.handlers.QueueHandler):
    """Puts records into a queue without waiting; drops them while it is full. The first record
    after that says how many were dropped."""

    def __init__(self, records: queue.Queue[Any]) -> None:
        super().__init__(records)
        self._dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """A copy, since other handlers see the record too; the writer formats it."""
        record = copy.copy(record)
        if self._dropped:
            record.dropped = self._dropped
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put the record into the queue, or count it."""
        try:
            self.queue.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1


def start(write: Callable[[str], object], level: str, form: str) -> Callable[[], None]:
    """Write records from now on, line by line, with `write`, in one of `FORMATS`. Returns a
    function that ends this; it waits up to `FLUSH_TIMEOUT` for the last records."""
    records: queue.Queue[Optional[logging.LogRecord]] = queue.Queue(QUEUE_SIZE)
    as_line = FORMATS[form]

    def write_all() -> None:
        for record in iter(records.get, None):
            with contextlib.suppress(OSError):  # there is nowhere to report it
                write(as_line(record) + "\n")

    writer = threading.Thread(target=write_all, name="log", daemon=True)
    handler = DroppingQueueHandler(records)
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    writer.start()

    def stop() -> None:
        root.removeHandler(handler)
        with contextlib.suppress(queue.Full):
            records.put(None, timeout=FLUSH_TIMEOUT)
            writer.join(FLUSH_TIMEOUT)

    return stop


def to_standard_error(text: str) -> None:
    """Bypass Python's own buffer: a write that never returns would keep its lock, and the program
    could not end."""
    _write(2, text)


def to_standard_output(text: str) -> None:
    """Write past Python's own buffer, which would fail once more at the end of the program."""
    _write(1, text)


def _write(descriptor: int, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(descriptor, data) :]


def _without_message(error: BaseException) -> str:
    """The type of an error and where it was raised, and the same of its causes."""
    kind = type(error)
    frames = traceback.extract_tb(error.__traceback__)
    places = ", ".join(f"{at.filename}:{at.lineno} in {at.name}" for at in reversed(frames))
    before = error.__cause__ or error.__context__
    after = f"; after {_without_message(before)}" if before else ""
    return f"{kind.__module__}.{kind.__qualname__} at {places}{after}"


def _word(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and not set(text) & set(' "=') else json.dumps(text)
