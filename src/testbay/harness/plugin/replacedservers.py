"""Addresses of the run's servers that a suite's conftest.py, plugin or settings replaced with other servers."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from testbay import settings
from testbay.harness.plugin.recorder import append
from testbay.text import visible

_NAMES = ("DATABASE_URL", "REDIS_URL", "NATS_URL")


class ReplacedServers:
    """Records in `file` which of the run's variables point to another server when the tests begin."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._given = {name: _server(settings.environ().get(name, "")) for name in _NAMES}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """Compare the variables once conftest.py and the tests have been imported."""
        now = {name: _server(settings.environ().get(name, "")) for name, given in self._given.items() if given}
        moved = [f"{name} leads to {server}" for name, server in now.items() if server and server != self._given[name]]
        if moved:
            append(self._file, [{"elsewhere": moved}])


def _server(url: str) -> str:
    """Identify a server by its port alone: one server has several host names."""
    try:
        parts = urlsplit(url)
        return visible(f"port {parts.port}" if parts.port else f"{parts.scheme}://{parts.hostname or ''}")
    except ValueError:
        return ""
