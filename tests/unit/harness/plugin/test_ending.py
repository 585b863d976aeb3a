"""The end of pytest's process in `testbay run`."""

import sys
from pathlib import Path

from testbay import process

PROGRAM = """
import atexit, gc, sys
from testbay.harness.plugin import ending

atexit.register(lambda: print("frozen:", gc.get_freeze_count() > 0))
ending.shorten()
ring = lambda: ring
ring.itself, ring.file = ring, open(sys.argv[1], "w")
ring.file.write("to the end")
"""


def test_a_file_that_is_still_open_is_written_to_its_end(tmp_path: Path) -> None:
    """Also by objects that refer to each other, among which Python does not search any more."""
    file = tmp_path / "left-open.txt"
    done = process.run([sys.executable, "-c", PROGRAM, str(file)])

    assert (done.out, done.err, file.read_text()) == ("frozen: True\n", "", "to the end")
