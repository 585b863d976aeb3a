"""The split of tests into shards: as equal as the durations of earlier runs allow."""

import hashlib
import heapq
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from testbay.harness.run.folder import contents, runs
from testbay.settings import Shard

_MOST_SECONDS = 86400.0


def split(ids: Iterable[str], durations: Mapping[str, float], count: int) -> list[list[str]]:
    """Divide the ids into `count` parts: the longest test first, each into the part with the shortest total.

    A test without a duration counts as an average one. The order of the ids does not matter, so that shards that
    collect in different orders (random order, failed first) agree.
    """
    unique = set(ids)
    known = [durations[nodeid] for nodeid in unique if nodeid in durations]
    average = math.fsum(known) / len(known) if known else 1.0  # fsum: the same in any order, to the last bit
    cost = {nodeid: durations.get(nodeid, average) for nodeid in unique}
    parts: list[list[str]] = [[] for _ in range(count)]
    # The number of tests breaks a tie: with durations of zero, too, the parts become equal.
    least = [(0.0, 0, index) for index in range(count)]
    for nodeid in sorted(unique, key=lambda nodeid: (-cost[nodeid], nodeid)):
        seconds, tests, index = least[0]
        parts[index].append(nodeid)
        heapq.heapreplace(least, (seconds + cost[nodeid], tests + 1, index))
    return parts


def read_durations(file: Path) -> dict[str, float]:
    """Read the duration of each test by its id.

    Raises:
        ValueError: The file cannot be read, or holds something else.
    """
    try:
        found = json.loads(contents(file))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict) or not all(_is_duration(seconds) for seconds in found.values()):
        raise ValueError("not an object of seconds by test id")
    return found


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_SECONDS


def find_durations(asked: Path | None, project: Path, service: str) -> tuple[dict[str, float], list[str]]:
    """Read durations of earlier runs, and a line for each unusable file.

    They come from the file asked for, else from the runs kept here, where newer runs take precedence. Runs of single
    shards are ignored: one may have ended while another of its kind was about to start, and both must split by the same
    durations.
    """
    if asked:
        files = [Path(os.path.realpath(asked))]  # a link of one's own is fine
    else:
        kept = sorted(runs(project).glob(f"*-{service}-*/durations.json"))
        files = [file for file in kept if not file.with_name("shard.json").exists()]
    found: dict[str, float] = {}
    notes = []
    for file in files:
        try:
            found |= read_durations(file)
        except ValueError as error:
            notes.append(f"{file}: no durations: {error}")
    return found, notes


def hand_down(file: Path, shard: Shard, durations: Mapping[str, float]) -> None:
    """Write the plan by which pytest splits; the splitter adds the collected tests."""
    file.write_text(json.dumps(shard._asdict() | {"durations": durations}), encoding="utf-8")


def fingerprint(durations: Mapping[str, float]) -> str:
    """A digest that shows whether two shards were split by the same durations."""
    return hashlib.sha256(json.dumps(durations, sort_keys=True).encode()).hexdigest()[:16]
