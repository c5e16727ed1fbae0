from __future__ import annotations

from typing import Iterator

import hypothesis
import pytest

from tests import certificates
from tests.support import Server, running_server

hypothesis.settings.register_profile("default", deadline=None)  # a shared machine may stall
hypothesis.settings.load_profile("default")


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
