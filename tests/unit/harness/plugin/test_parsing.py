"""Reports of failures while finalisers raise."""

import os
import sys
from pathlib import Path

from testbay import process

TESTS = """
import gc, pytest
from testbay.harness.plugin.parsing import Undisturbed

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
    pytest.main([__file__, "-q", "--tb=short", "-pno:cacheprovider"], plugins=[Undisturbed()])
"""


def test_a_finaliser_that_raises_ends_no_session(tmp_path: Path) -> None:
    """Python up to 3.11.7 and 3.12.1 cannot parse its traceback within the parse of the failed test's source."""
    file = tmp_path / "test_rings.py"
    file.write_text(TESTS)

    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = process.run([sys.executable, str(file)], env=os.environ | alone)

    assert ("INTERNALERROR" in done.out, "19 failed" in done.out) == (False, True), done.out
