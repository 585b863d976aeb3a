"""Whether `testbay run` recorded a run of a service's tests that passed: passed.py SERVICE SINCE PROCESS.

Called by tier 2, as an exit code alone proves nothing. SINCE is a file that was made when the service began. This waits
for the end of its process and looks at once: later runs may take the place of the record.
Exit codes: 0 such a run is recorded · 1 none is.
"""

import json
import os
import select
import sys
from pathlib import Path


def main(service: str, since: str, process: str) -> bool:
    """Look in the records of the runs kept in the checkout and in the service's own folder."""
    wait_for(int(process))
    began_ns = Path(since).stat().st_mtime_ns
    places = [Path(), Path("services") / service]
    records = [record for place in places for record in place.glob(f".testbay/runs/*-{service}-*/run.json")]
    return any(has_passed(record, began_ns) for record in records)


def wait_for(process: int) -> None:
    """Wait until the process, which is not our child, has ended."""
    try:
        select.select([os.pidfd_open(process)], [], [])
    except ProcessLookupError:
        return  # it has ended already


def has_passed(record: Path, began_ns: int) -> bool:
    """Return whether a record is of that time or later, and of a run that passed."""
    try:
        found = json.loads(record.read_bytes())
        return record.stat().st_mtime_ns >= began_ns and isinstance(found, dict) and found.get("exit_code") == 0
    except (OSError, ValueError, RecursionError):  # just removed by a later run, or damaged
        return False


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
