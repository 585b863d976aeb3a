"""The number of a run's workers, and the durations by which slow tests come first."""

import json
import math
import os
from collections.abc import Mapping
from importlib.util import find_spec

from testbay.harness.interpreter import Interpreter
from testbay.harness.plans import LEASES
from testbay.harness.run.run import Run
from testbay.harness.run.shards import split

_WORTH_S = 4.0  # of recorded tests for each worker: starting one costs a second
_MEMORY_BYTES = 512 << 20  # for each worker and its service


def decide(run: Run, python: Interpreter) -> tuple[int, list[str]]:
    """Decide the number of workers, and the argument by which our plugin orders the tests for them."""
    asked = run.settings.workers or run.manifest.workers
    if asked in ("1", 1):
        return 1, []
    if python.lacks("xdist") or not find_spec("xdist"):
        run.voice.detail("note: the tests run in one process: workers need pytest-xdist, which is not installed")
        return 1, []
    durations, _ = split.find_durations(run.settings.durations, run.project, run.manifest.service)
    file = run.dir / "order.json"
    file.write_text(json.dumps(durations), encoding="utf-8")
    return choose(asked, durations), [f"--testbay-order={file}"]  # with =, or pytest looks for its settings beside it


def choose(asked: str | int, durations: Mapping[str, float]) -> int:
    """Choose the number asked for; for `auto`, one per processor that has enough to do, as far as memory allows."""
    if asked != "auto":
        return int(asked)
    most = min(_processors(), _free_memory_bytes() // _MEMORY_BYTES, LEASES)
    if durations:
        most = min(most, math.ceil(math.fsum(durations.values()) / _WORTH_S))
    return max(1, most)


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _free_memory_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
