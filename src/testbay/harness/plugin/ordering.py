"""The order of tests for several workers: what takes long comes first, so that none is left for the end."""

import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest


class SlowestFirst:
    """Orders files by what earlier runs recorded; the tests of a file stay together, and in their order.

    Files whose tests are marked `xdist_group` stay beside those of their group: a worker takes what stands together.
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
        parts = {item: _part(item) for item in items}
        cost: Counter[str] = Counter()
        for item, part in parts.items():
            cost[part] += self._durations.get(item.nodeid, average)  # type: ignore[assignment] # floats count, too
        first = {part: index for index, part in reversed(list(enumerate(parts.values())))}
        items.sort(key=lambda item: (-cost[parts[item]], first[parts[item]]))
        return result


def _part(item: pytest.Item) -> str:
    """Return what an item stays with: the group that it is marked with, or its file."""
    mark = item.get_closest_marker("xdist_group")
    return str(item.path) if mark is None else f"@{mark.kwargs.get('name') or mark.args}"
