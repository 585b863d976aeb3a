"""A shard's tests inside pytest: selects them, and records the whole collection."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from testbay.files import write_whole
from testbay.harness.run.shards.split import split


class Splitter:
    """Keeps one shard's tests; under xdist each worker does so, with the same result."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._asked = json.loads(file.read_bytes())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Split the tests after all other plugins, wrappers such as --lf included, and after -k and -m."""
        result = yield
        collected = [item.nodeid for item in items]
        self._note(collected)
        mine = set(split(collected, self._asked["durations"], self._asked["of"])[self._asked["number"] - 1])
        if others := [item for item in items if item.nodeid not in mine]:
            config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.nodeid in mine]
        return result

    def _note(self, collected: list[str]) -> None:
        """Write the record in one step: workers write at the same time."""
        write_whole(self._file, json.dumps(self._asked | {"collected": collected}))
