from __future__ import annotations

import inspect
import os
import signal
from typing import Iterator, List, Optional

import hypothesis
import pytest

from tests import certificates, engines
from tests.support import Server, running_server

hypothesis.settings.register_profile("default", deadline=None)  # a shared machine may stall
hypothesis.settings.register_profile("brief", deadline=None, max_examples=20)
hypothesis.settings.load_profile("default")

# Without it, each of the thousand programs that tests start compiles all of its modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Where the tests run in the background it may be ignored, and would be by the programs they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="torture for minutes instead of seconds")


def pytest_make_parametrize_id(val: object) -> Optional[str]:
    """The beginning and the length of a long text, which would fill the screen as a name."""
    if isinstance(val, (str, bytes)) and len(val) > 60:
        return f"{val[:20]!a}_{len(val)}"
    return None


TIMING_ROUNDS = 3
"""Other work stops a process at any time: a figure may be too large once by chance."""

_REPEATED = pytest.StashKey[List[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Optional[bool]:
    """Call a test that asserts times until it passes, `TIMING_ROUNDS` times at the most.

    The rounds share the fixtures: such a test begins by bringing about the state that it needs.
    """
    if pyfuncitem.get_closest_marker("timing") is None:
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    for _ in range(TIMING_ROUNDS - 1):
        try:
            pyfuncitem.obj(**arguments)
            return True
        except AssertionError as error:
            repeated = pyfuncitem.config.stash.setdefault(_REPEATED, [])
            repeated.append(f"{pyfuncitem.nodeid}: {str(error).partition(chr(10))[0]}")
    pyfuncitem.obj(**arguments)
    return True


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name the tests that were repeated, for one that always needs it is no good."""
    for line in config.stash.get(_REPEATED, []):
        terminalreporter.write_line(f"REPEATED {line}")


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether there is time for what takes minutes."""
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="session")
def seconds(long: bool) -> float:
    """How long a test goes on with what it does to a server."""
    return 30.0 if long else 2.0


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """A real server process, empty."""
    shared_server.ask(b'{"type":"FLUSH"}\n')
    return shared_server


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> certificates.Files:
    """Certificates and keys, on files."""
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session", autouse=True)
def _engines() -> Iterator[None]:
    """Ends the engines that tests have started."""
    yield
    engines.stop_all()
