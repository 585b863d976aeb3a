"""Which of xdist's workers runs which test."""

import functools
import re
from pathlib import Path
from typing import Any

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped] # it has no types


class ByFile(LoadScopeScheduling):  # type: ignore[misc] # xdist says nothing of its types
    """Give each worker a file of its own, test by test, and let it help with another's when no file is left.

    Tests of one file wait for the same things: side by side, they would leave the processors idle. What is made once
    for a file is made once. The modules marked with one `xdist_group` are run by one worker.

    `--dist loadgroup` would not do: it sets `_nodeid` of an item, which pytest 9.2 does not read any more.
    """

    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        self._files: dict[object, str] = {}  # of each worker

    def _split_scope(self, nodeid: str) -> str:
        return group(self.config.rootpath / _file(nodeid)) or nodeid

    def _assign_work_unit(self, node: Any) -> None:
        chosen = self._next(self._files.get(node))
        self._files[node] = _file(chosen)
        self.workqueue.move_to_end(chosen, last=False)
        super()._assign_work_unit(node)

    def _next(self, mine: str | None) -> str:
        """The next test, or group, of this file; else of a file that no worker has; else of any."""
        taken = set(self._files.values())
        own = (scope for scope in self.workqueue if _file(scope) == mine)
        new = (scope for scope in self.workqueue if _file(scope) not in taken)
        return next(own, "") or next(new, "") or next(iter(self.workqueue))

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Forget what is complete, too: xdist looks through all that it remembers, after each test."""
        super().mark_test_complete(node, item_index, duration)
        scope = self._split_scope(self.registered_collections[node][item_index])
        if all(self.assigned_work[node][scope].values()):
            del self.assigned_work[node][scope]


@functools.cache
def group(module: Path) -> str:
    """The group that a module's `pytestmark` names."""
    found = re.search(r'(?m)^pytestmark = .*xdist_group\("([\w-]+)"\)', module.read_text(encoding="utf-8"))
    return found[1] if found else ""


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]
