"""The order of tests for several workers: slow files first, so that only short tests are left for the end."""

import json
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

_GROUP = "@"
_Timed = list[tuple[pytest.Item, float]]


class SlowestFirst:
    """Orders files by their longest test, as recorded; the tests of a file stay together, in their order.

    Where nothing is recorded yet, the files with the most tests come first. Files with a common `xdist_group` mark
    stay together: a worker takes neighbouring tests. Under xdist each worker sorts the same way. With `steals`, it is
    xdist's `worksteal` that hands out the tests.
    """

    def __init__(self, file: Path, *, steals: bool) -> None:
        self._durations: dict[str, float] = json.loads(file.read_bytes())
        self._steals = steals

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
        parts: dict[str, _Timed] = {}
        for item in items:
            parts.setdefault(_part(item), []).append((item, self._durations.get(item.nodeid, average)))
        ordered = sorted(parts.values(), key=lambda part: (-max(s for _, s in part), -len(part)))
        workers = getattr(config, "workerinput", {}).get("workercount", 1)
        items[:] = _dealt(ordered, workers if self._steals else 1)
        return result


def _part(item: pytest.Item) -> str:
    """Return what a test stays with: its group, or its file."""
    mark = item.get_closest_marker("xdist_group")
    return str(item.path) if mark is None else f"{_GROUP}{mark.kwargs.get('name') or mark.args}"


def _dealt(parts: Sequence[_Timed], shares: int) -> list[pytest.Item]:
    """Deal the parts to as many workers, each to the one with the least to do, and return one list after the other.

    `worksteal` cuts the list into shares with equal numbers of tests; a worker without any takes half of another's from
    its end. In a list that is sorted as a whole, the second worker would begin with short tests, and what is in the
    middle of the list would be left for the end. The last parts are cut so that the shares become equal; a group is cut
    only where no share has room for it.
    """
    total = sum(map(len, parts))
    rooms = [(total + number) // shares for number in range(shares)]
    dealt: list[list[pytest.Item]] = [[] for _ in rooms]
    seconds = [0.0 for _ in rooms]
    for part in parts:
        begin, is_group = 0, _part(part[0][0]).startswith(_GROUP)
        while begin < len(part):
            wanted = len(part) - begin if is_group else 1
            fitting = [n for n, room in enumerate(rooms) if room >= wanted]
            share = min(fitting or [n for n, room in enumerate(rooms) if room], key=seconds.__getitem__)
            taken = part[begin : begin + rooms[share]]
            dealt[share] += [item for item, _ in taken]
            seconds[share] += sum(duration for _, duration in taken)
            rooms[share] -= len(taken)
            begin += len(taken)
    return [item for share in dealt for item in share]
