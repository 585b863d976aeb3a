"""The order of tests for several workers: files that take long come first, so that none is left for the end."""

import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest


class SlowestFirst:
    """Orders files by what earlier runs recorded; the tests of a file stay together, and in their order.

    Under xdist each worker does the same.
    """

    def __init__(self, file: Path) -> None:
        self._durations: dict[str, float] = json.loads(file.read_bytes())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Order the tests after all other plugins. An order that was asked for stays: failed, or new, ones first."""
        result = yield
        if any(config.getoption(name, None) for name in ("failedfirst", "newfirst", "stepwise")):
            return result
        known = [seconds for item in items if (seconds := self._durations.get(item.nodeid)) is not None]
        average = sum(known) / len(known) if known else 0.0
        cost: Counter[Path] = Counter()
        for item in items:
            cost[item.path] += self._durations.get(item.nodeid, average)  # type: ignore[assignment] # floats count, too
        first = {item.path: index for index, item in reversed(list(enumerate(items)))}
        items.sort(key=lambda item: (-cost[item.path], first[item.path]))
        return result
