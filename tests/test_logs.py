"""Log records: their content and format, and that logging never blocks."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import queue
import signal
import threading
from typing import Any, Callable, Dict, Iterator, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import logs
from adapters.logs import QUEUE_SIZE, RATE_LIMIT, RATE_PERIOD, RateLimit, as_json, as_text
from tests.support import TIMEOUT, Clock, running_server

log = logging.getLogger("some.module")
Start = Callable[..., Callable[[], None]]

LINE_BREAKS = "a\nb\r\nc"


def record(
    event: object = "it happened",
    *arguments: object,
    level: int = logging.WARNING,
    error: Optional[BaseException] = None,
    **more: object,
) -> logging.LogRecord:
    """A record as the loggers make them, at a time that is known."""
    cause: Any = (type(error), error, error.__traceback__) if error else None
    made = log.makeRecord(log.name, level, __file__, 1, event, arguments, cause, extra=more)
    made.created = 1_700_000_000.25
    return made


def raised(act: Callable[[], object]) -> BaseException:
    """The error that it raises, with where that was."""
    try:
        act()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def look_up() -> None:
    {"a": 1}["a secret key"]


def open_and_look_up() -> None:
    try:
        look_up()
    except KeyError as error:
        raise ValueError("a secret value") from error


def meet_another_error_meanwhile() -> None:
    try:
        open_and_look_up()
    finally:
        int("a secret number")


class TestText:
    def test_a_text_line_has_time_level_and_event_then_named_values(self) -> None:
        said = as_text(record("refused a client", client="127.0.0.1:5000", count=3))
        assert said == (
            "2023-11-14T22:13:20.250+00:00 WARNING refused a client client=127.0.0.1:5000 count=3"
        )

    def test_levels_take_the_same_room(self) -> None:
        lines = [as_text(record(level=level)) for level in (logging.INFO, logging.ERROR)]
        assert len({line.index("it happened") for line in lines}) == 1

    @pytest.mark.parametrize(
        ("value", "word"),
        [
            ("plain", "plain"),
            ("", '""'),
            ("two words", '"two words"'),
            ('a "quote"', r'"a \"quote\""'),
            ("a=b", '"a=b"'),
            ("back\\slash", "back\\slash"),
            (LINE_BREAKS, r'"a\nb\r\nc"'),
            ("it's", "it's"),
            ("ключ", "ключ"),
            (1.5, "1.5"),
            (None, "None"),
            (["a", "b"], "\"['a', 'b']\""),
        ],
    )
    def test_a_value_that_could_be_misread_is_quoted(self, value: object, word: str) -> None:
        assert as_text(record(why=value)).endswith(f" it happened why={word}")

    def test_arguments_are_put_into_the_event(self) -> None:
        assert as_text(record("%s of %d", "one", 2)).endswith(" WARNING one of 2")

    def test_an_event_of_several_lines_is_written_as_one(self) -> None:
        assert len(as_text(record("at %s", LINE_BREAKS)).splitlines()) == 1


class TestJson:
    def test_an_object_with_the_same_and_the_module(self) -> None:
        said = as_json(record("refused a client", client="127.0.0.1:5000", count=3))
        assert json.loads(said) == {
            "time": "2023-11-14T22:13:20.250+00:00",
            "level": "warning",
            "logger": "some.module",
            "event": "refused a client",
            "client": "127.0.0.1:5000",
            "count": 3,
        }
        assert list(json.loads(said)) == ["time", "level", "logger", "event", "client", "count"]

    def test_values_that_json_does_not_have_become_strings(self) -> None:
        said = json.loads(as_json(record(error_kind=ValueError, clock=log)))
        assert "ValueError" in said["error_kind"]
        assert "some.module" in said["clock"]

    def test_a_path_that_is_no_utf_8_does_not_lose_the_record(self) -> None:
        assert json.loads(as_json(record(path="\udcff.pem")))["event"] == "it happened"


@pytest.mark.parametrize("form", [as_text, as_json])
@given(value=st.text(), number=st.floats() | st.integers())
def test_a_record_with_any_values_is_one_line(
    form: Callable[[logging.LogRecord], str], value: str, number: float
) -> None:
    said = form(record(why=value, inside=[value, {value: value}], number=number))
    assert "\n" not in said
    assert "\r" not in said


@given(values=st.dictionaries(st.sampled_from(["why", "what", "client"]), st.text()))
def test_values_can_be_read_back_from_json(values: Dict[str, Any]) -> None:
    said = json.loads(as_json(record(**values)))
    assert {name: said[name] for name in values} == values


class TestErrors:
    @pytest.mark.parametrize("form", [as_text, as_json])
    def test_the_type_and_the_place_are_told_and_no_message(
        self, form: Callable[[logging.LogRecord], str]
    ) -> None:
        said = form(record("a command failed", error=raised(look_up)))
        assert "secret" not in said
        assert "builtins.KeyError at " in said
        assert f"{__file__}:{look_up.__code__.co_firstlineno + 1} in look_up" in said
        assert "\n" not in said

    def test_the_innermost_place_comes_first(self) -> None:
        said = logs.fields(record(error=raised(look_up)))["error"]
        assert said.index("in look_up") < said.index("in raised")

    def test_the_causes_of_an_error_are_logged(self) -> None:
        said = logs.fields(record(error=raised(meet_another_error_meanwhile)))["error"]
        kinds = [f"builtins.{kind} at" for kind in ("ValueError", "ValueError", "KeyError")]
        assert [part.split(" at ")[0] + " at" for part in said.split("; after ")] == kinds
        assert "secret" not in said

    def test_a_type_is_told_with_its_module(self) -> None:
        said = logs.fields(record(error=raised(lambda: json.loads("{"))))["error"]
        assert said.startswith("json.decoder.JSONDecodeError at ")

    def test_an_error_that_was_never_raised_has_no_place(self) -> None:
        assert logs.fields(record(error=ValueError("secret")))["error"] == "builtins.ValueError at "


class TestRateLimit:
    def through(self, limit: RateLimit, times: int, **kind: Any) -> int:
        return sum(map(bool, (limit.filter(record(**kind)) for _ in range(times))))

    def test_records_of_a_kind_are_passed_up_to_the_limit(self) -> None:
        limit = RateLimit(Clock())
        assert self.through(limit, 100) == RATE_LIMIT
        assert self.through(limit, 100) == 0

    def test_kinds_of_records_differ_by_level_and_message_template(self) -> None:
        limit = RateLimit(Clock())
        assert self.through(limit, 100) == RATE_LIMIT
        assert self.through(limit, 100, level=logging.ERROR) == RATE_LIMIT
        assert self.through(limit, 100, event="another") == RATE_LIMIT
        assert sum(limit.filter(record("about %s", number)) for number in range(100)) == RATE_LIMIT
        assert self.through(limit, 100, why="a difference in the values is none") == 0

    def test_the_next_record_after_the_interval_says_how_many_were_dropped(self) -> None:
        clock = Clock()
        limit = RateLimit(clock)
        self.through(limit, RATE_LIMIT + 7)
        clock.now += RATE_PERIOD - 0.1
        assert self.through(limit, 1) == 0
        clock.now += 0.1
        first, second = record(), record()
        assert (limit.filter(first), limit.filter(second)) == (True, True)
        assert logs.fields(first)["left_out"] == 8
        assert "left_out" not in logs.fields(second)
        assert self.through(limit, 100) == RATE_LIMIT - 2

    def test_no_drop_count_is_logged_where_none_was_dropped(self) -> None:
        clock = Clock()
        limit = RateLimit(clock)
        for _ in range(5):
            self.through(limit, RATE_LIMIT)
            clock.now += RATE_PERIOD
            last = record()
            assert limit.filter(last)
            assert "left_out" not in logs.fields(last)
            clock.now += RATE_PERIOD


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts logging, and makes sure that it has ended with the test."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)

    yield logs.start

    root.setLevel(level)
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)


class StuckStream(io.StringIO):
    """Accepts nothing until it is released, as a full pipe that is not read."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let_go = threading.Event(), threading.Event()
        self.taken: queue.Queue[str] = queue.Queue()

    def write(self, text: str) -> int:
        self.reached.set()
        assert self.let_go.wait(TIMEOUT)
        self.taken.put(text)
        return super().write(text)


@pytest.fixture
def stuck() -> Iterator[StuckStream]:
    stream = StuckStream()
    yield stream
    stream.let_go.set()


def ends(stop: Callable[[], None], within: float) -> bool:
    """Whether it returns in time; if not, it is left to itself."""
    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    stopping.join(within)
    return not stopping.is_alive()


class TestWriting:
    @pytest.mark.parametrize("form", ["text", "json"])
    def test_every_record_is_a_line_when_the_log_is_closed(self, start: Start, form: str) -> None:
        stream = io.StringIO()
        stop = start(stream.write, "info", form)
        for number in range(50):
            log.info(f"event {number}", extra={"why": LINE_BREAKS})
        stop()
        lines = stream.getvalue().splitlines()
        assert [f"event {number}" in line for number, line in enumerate(lines)] == [True] * 50

    def test_less_than_the_level_is_not_written(self, start: Start) -> None:
        stream = io.StringIO()
        stop = start(stream.write, "warning", "text")
        log.info("a trifle")
        log.warning("something")
        stop()
        assert "a trifle" not in stream.getvalue()
        assert "something" in stream.getvalue()

    def test_a_closed_log_writes_nothing(self, start: Start) -> None:
        stream = io.StringIO()
        start(stream.write, "info", "text")()
        log.warning("too late")
        assert stream.getvalue() == ""

    def test_frequent_records_caused_by_clients_are_rate_limited(self, start: Start) -> None:
        stream = io.StringIO()
        stop = start(stream.write, "info", "text")
        for number in range(100):
            log.warning("refused a client", extra={"client": number})
        stop()
        assert stream.getvalue().count("refused a client") == RATE_LIMIT

    def test_other_handlers_get_the_records_error_unchanged(
        self, start: Start, caplog: pytest.LogCaptureFixture
    ) -> None:
        stop = start(io.StringIO().write, "info", "text")
        log.error("it failed", exc_info=raised(look_up))
        stop()
        assert caplog.records[-1].exc_info
        assert isinstance(caplog.records[-1].exc_info[1], KeyError)

    def test_a_failed_write_does_not_stop_later_records(
        self, start: Start, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Failing(io.StringIO):
            left = 3

            def write(self, text: str) -> int:
                self.left -= 1
                if self.left >= 0:
                    raise OSError("no space left on device")
                return super().write(text)

        stream = Failing()
        stop = start(stream.write, "info", "text")
        for number in range(6):
            log.info(f"event {number}")
        stop()
        assert stream.getvalue().count("event") == 3


class TestStuck:
    """A log whose stream is not read."""

    def flood(self, count: int) -> None:
        """Log so many records, each of a kind of its own."""
        for number in range(count):
            log.info(f"event {number}")

    def test_logging_goes_on_at_once(self, start: Start, stuck: StuckStream) -> None:
        start(stuck.write, "info", "text")
        assert ends(lambda: self.flood(2 * QUEUE_SIZE), within=TIMEOUT)
        assert stuck.reached.wait(TIMEOUT)
        assert stuck.getvalue() == ""

    def test_dropped_records_are_counted_when_the_log_is_read_again(
        self, start: Start, stuck: StuckStream
    ) -> None:
        stop = start(stuck.write, "info", "json")
        self.flood(1)
        assert stuck.reached.wait(TIMEOUT)
        self.flood(QUEUE_SIZE + 5)
        stuck.let_go.set()
        while f"event {QUEUE_SIZE - 1}" not in stuck.taken.get(timeout=TIMEOUT):
            pass
        log.info("read again")
        log.info("and again")
        stop()
        told = [json.loads(line) for line in stuck.getvalue().splitlines()]
        assert len(told) == 1 + QUEUE_SIZE + 2
        assert [(said["event"], said.get("dropped")) for said in told[-3:]] == [
            (f"event {QUEUE_SIZE - 1}", None),
            ("read again", 5),
            ("and again", None),
        ]

    def test_the_end_waits_for_records_but_not_for_ever(
        self, start: Start, stuck: StuckStream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "FLUSH_TIMEOUT", 0.05)
        stop = start(stuck.write, "info", "text")
        self.flood(1)
        assert stuck.reached.wait(TIMEOUT)
        self.flood(3)
        assert ends(stop, within=TIMEOUT)

    @pytest.mark.timing
    def test_closing_does_not_wait_for_a_stuck_write(
        self, start: Start, stuck: StuckStream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "FLUSH_TIMEOUT", 0.05)
        stop = start(stuck.write, "info", "text")
        self.flood(1)
        assert stuck.reached.wait(TIMEOUT)
        assert ends(stop, within=0.3)

    def test_a_slow_reader_gets_the_last_records(self, start: Start, stuck: StuckStream) -> None:
        stop = start(stuck.write, "info", "text")
        self.flood(10)
        stopping = threading.Thread(target=stop)
        stopping.start()
        stuck.let_go.set()
        stopping.join(TIMEOUT)
        assert stuck.getvalue().count("event") == 10

    @pytest.mark.timing
    def test_a_server_whose_log_is_not_read_ends_on_a_signal(self) -> None:
        with full_pipe() as stderr, running_server(stderr=stderr) as server:
            assert server.ask(b'{"type":"PING"}\n')
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(logs.FLUSH_TIMEOUT + 1) == 0


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """The write end of a pipe that is not read."""
    unread, full = os.pipe()
    os.set_blocking(full, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(full, b"x"):
            pass
    os.set_blocking(full, True)
    try:
        yield full
    finally:
        os.close(full)
        os.close(unread)
