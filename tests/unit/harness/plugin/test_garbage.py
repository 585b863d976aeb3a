"""Garbage collection in pytest's processes."""

import gc
import os
import sys
from pathlib import Path

from testbay import process
from testbay.harness.plugin.garbage import SkippedInController

TESTS = """
import gc, pytest
from testbay.harness.plugin.garbage import PausedForReports

class Ring:
    def __init__(self):
        self.itself = self
    def __del__(self):
        raise ValueError("the loop is closed")

@pytest.mark.parametrize("number", range(1, 20))
def test_fails(number):
    gc.collect()
    gc.set_threshold(20 * number)  # the next search comes somewhere in what pytest does now
    Ring()
    assert number < 0

if __name__ == "__main__":
    pytest.main([__file__, "-q", "--tb=short", "-pno:cacheprovider"], plugins=[PausedForReports()])
"""

FILE_IN_A_CYCLE = """
import atexit, gc, sys
from testbay.harness.plugin import garbage

atexit.register(lambda: print("frozen:", gc.get_freeze_count() > 0))
garbage.skip_at_exit()
ring = lambda: ring
ring.itself, ring.file = ring, open(sys.argv[1], "w")
ring.file.write("to the end")
"""


def test_a_finaliser_that_raises_ends_no_session(tmp_path: Path) -> None:
    """Python up to 3.11.7 and 3.12.1 cannot parse its traceback within the parse of the failed test's source."""
    file = tmp_path / "test_rings.py"
    file.write_text(TESTS)

    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = process.run([sys.executable, str(file)], env=os.environ | alone)

    assert ("INTERNALERROR" in done.out, "19 failed" in done.out) == (False, True), done.out


def test_a_file_that_is_still_open_is_flushed(tmp_path: Path) -> None:
    """Also one that only a reference cycle holds, which is not collected any more."""
    file = tmp_path / "left-open.txt"
    done = process.run([sys.executable, "-c", FILE_IN_A_CYCLE, str(file)])

    assert (done.out, done.err, file.read_text()) == ("frozen: True\n", "", "to the end")


def test_the_controller_collects_nothing_that_is_there_at_its_end() -> None:
    """Pytest's own collections then look only at what comes later."""
    before = gc.get_freeze_count()
    SkippedInController().pytest_sessionfinish()
    frozen = gc.get_freeze_count()
    gc.unfreeze()

    assert frozen > before
