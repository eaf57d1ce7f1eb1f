"""A server that misbehaves as it is told, and nobody who waits between tries."""

import pytest

from data_scripts.fetching import transfer
from tests.fetching.servers import started


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSES", (0, 0))
    server = started()
    yield server
    server.shutdown()
    server.server_close()
