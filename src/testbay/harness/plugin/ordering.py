"""The order of tests for several workers: slow files first, so that none is left for the end."""

import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest


class SlowestFirst:
    """Orders files by recorded durations; the tests of a file stay together, in their order.

    Where nothing is recorded yet, the files with the most tests come first. Files with a common `xdist_group` mark
    stay together: a worker takes neighbouring tests. Under xdist each worker sorts the same way.
    """

    def __init__(self, file: Path) -> None:
        self._durations: dict[str, float] = json.loads(file.read_bytes())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Order the tests after all other plugins, unless the caller chose an order: failed or new tests first."""
        result = yield
        if any(config.getoption(name, None) for name in ("failedfirst", "newfirst", "stepwise")):
            return result
        known = [seconds for item in items if (seconds := self._durations.get(item.nodeid)) is not None]
        average = sum(known) / len(known) if known else 1.0
        parts = {item: _part(item) for item in items}
        cost: Counter[str] = Counter()
        for item, part in parts.items():
            cost[part] += self._durations.get(item.nodeid, average)  # type: ignore[assignment] # floats count, too
        first = {part: index for index, part in reversed(list(enumerate(parts.values())))}
        items.sort(key=lambda item: (-cost[parts[item]], first[parts[item]]))
        return result


def _part(item: pytest.Item) -> str:
    """Return what a test stays with: its group, or its file."""
    mark = item.get_closest_marker("xdist_group")
    return str(item.path) if mark is None else f"@{mark.kwargs.get('name') or mark.args}"
