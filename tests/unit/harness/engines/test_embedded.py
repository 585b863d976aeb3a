import os
import shutil
from pathlib import Path

import pytest

from testbay import ports
from testbay.harness.engines.embedded import Embedded, setpriv, unprepared
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


@pytest.mark.parametrize(
    ("said", "why", "todo"),
    [
        (
            "could not write: No space left on device\nchild process exited",
            "disk of /c is full",
            "TESTBAY_",
        ),
        ("initdb: could not look up effective user ID 7", "this user has no name", "/etc/passwd"),
        ("initdb: invalid locale name", "its last lines say", "fix what they name"),
    ],
)
def test_a_failed_preparation_is_explained_by_its_own_words(said: str, why: str, todo: str) -> None:
    """A full disk is not a matter of this machine's programs."""
    explained = unprepared(said, "/c")

    assert (why in explained[0], todo in explained[1]) == (True, True)


def test_a_short_path_does_not_hide_the_systems_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A caller's PATH says where its own programs are: util-linux need not be installed again."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert setpriv() == shutil.which("setpriv", path=os.defpath) is not None
