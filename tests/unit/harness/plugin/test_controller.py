"""The controller of pytest-xdist."""

import gc

from testbay.harness.plugin.controller import Controller


def test_what_is_there_at_the_end_is_not_looked_through() -> None:
    """The collections that follow are of what comes later."""
    before = gc.get_freeze_count()
    Controller().pytest_sessionfinish()
    frozen = gc.get_freeze_count()
    gc.unfreeze()

    assert frozen > before
