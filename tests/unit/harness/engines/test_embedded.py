from pathlib import Path

import pytest

from testbay import ports
from testbay.harness.engines.embedded import Embedded
from testbay.harness.plans import process_plan


def test_a_further_server_that_cannot_start_holds_no_port(tmp_path: Path) -> None:
    """A suite asks for another one at each test: the guard's descriptors would run out."""
    (tmp_path / "full").touch()
    plan = process_plan("redis-lease1-1", tmp_path / "full/redis", ["redis"], port=27380, stop_signal=15)
    engine = Embedded()
    with pytest.raises(NotADirectoryError):
        engine.serve(plan)
    port, lock = ports.hold(engine._ports["redis-lease1-1"], fixed=True, name="redis")
    lock.close()

    assert port == engine._ports["redis-lease1-1"]
