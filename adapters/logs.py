"""Log records: one line each, as text or as JSON, with what happened, to whom and why.

Rule: logging never holds serving up and tells no secrets. A thread of its own writes; when nobody
reads what it writes, records are dropped and counted. Records of one kind are limited in rate,
since clients can cause them. Of an error there is the type and the place, and not its message,
which may quote a value.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import os
import queue
import threading
import time
import traceback
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Optional, Tuple

BURST, SECONDS = 10, 10.0
"""How many records of one kind are written in how long; the next one tells how many were not."""

WAITING = 1000
"""How many records may wait to be written."""

PATIENCE = 1.0
"""Seconds that the last records have at the end."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}


def fields(record: logging.LogRecord) -> Dict[str, Any]:
    """What a record says, by name, in the order to show it."""
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
    """Words for people: time, level and event, then the rest by name."""
    said = fields(record)
    event = said.pop("event")
    if not event.isprintable():
        event = json.dumps(event)
    head = f"{said.pop('time')} {said.pop('level').upper():7} {event}"
    del said["logger"]
    return " ".join([head, *(f"{name}={_word(value)}" for name, value in said.items())])


FORMATS: Dict[str, Callable[[logging.LogRecord], str]] = {"text": as_text, "json": as_json}


class RateLimit(logging.Filter):
    """Lets `BURST` records of each kind through in `SECONDS`. A kind is a level and a message, as
    it stands in the source."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: Dict[Tuple[int, object], Tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record; it is told how many of its kind were left out before."""
        kind, now = (record.levelno, record.msg), self._clock()
        since, count = self._kinds.get(kind, (now, 0))
        if now - since >= SECONDS:
            if count > BURST:
                record.left_out = count - BURST
            since, count = now, 0
        self._kinds[kind] = since, count + 1
        return count < BURST


class Handover(logging.Handler):
    """Hands records over to the thread that writes them, or drops them when there are too many."""

    def __init__(self, records: queue.Queue[Optional[logging.LogRecord]]) -> None:
        super().__init__()
        self._records = records
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits."""
        record = copy.copy(record)
        if self._dropped:
            record.dropped = self._dropped
        try:
            self._records.put_nowait(record)
            self._dropped = 0
        except queue.Full:
            self._dropped += 1


def start(write: Callable[[str], object], level: str, form: str) -> Callable[[], None]:
    """Give what is logged from now on to `write`, line by line, in one of `FORMATS`; gives what
    ends it, which waits `PATIENCE` for the last records."""
    records: queue.Queue[Optional[logging.LogRecord]] = queue.Queue(WAITING)
    as_line = FORMATS[form]

    def write_all() -> None:
        for record in iter(records.get, None):
            with contextlib.suppress(OSError):  # there is nowhere to tell it
                write(as_line(record) + "\n")

    writer = threading.Thread(target=write_all, name="log", daemon=True)
    handler = Handover(records)
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    writer.start()

    def stop() -> None:
        root.removeHandler(handler)
        with contextlib.suppress(queue.Full):
            records.put(None, timeout=PATIENCE)
            writer.join(PATIENCE)

    return stop


def to_standard_error(text: str) -> None:
    """Past Python's own buffers, whose locks nobody could take at the end if this never returns."""
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(2, data) :]


def _without_message(error: BaseException) -> str:
    """Of what type an error is and where it was raised, and the same of those that led to it."""
    kind = type(error)
    frames = traceback.extract_tb(error.__traceback__)
    places = ", ".join(f"{at.filename}:{at.lineno} in {at.name}" for at in reversed(frames))
    before = error.__cause__ or error.__context__
    after = f"; after {_without_message(before)}" if before else ""
    return f"{kind.__module__}.{kind.__qualname__} at {places}{after}"


def _word(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and not set(text) & set(' "=') else json.dumps(text)
