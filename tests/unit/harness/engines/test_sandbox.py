"""The cage of an embedded server: a real process in it reaches what it is given, and nothing else."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from testbay import process
from testbay.harness.engines import sandbox

pytestmark = pytest.mark.skipif(not sandbox.abi(), reason="this kernel has no Landlock")

SHELL = str(Path(sandbox.SHELL).resolve())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder a caged process owns, beside one it does not."""
    for name in ("home", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside/secret").write_text("password")
    return tmp_path / "home"


def run(home: Path, line: str, *programs: str) -> str:
    """What a shell in a cage says of a line."""
    ruleset = sandbox.cage([SHELL, *programs], [], [str(home)])
    assert ruleset is not None
    with (home.parent / "out").open("w+b") as output:
        child = process.spawn([SHELL, "-c", line], cwd=home, output=output, confine=partial(sandbox.enter, ruleset))
        child.wait(10)
        os.close(ruleset)
    return (home.parent / "out").read_text()


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("echo x > ../outside/new", id="make"),
        pytest.param("echo x >> ../outside/secret", id="append"),
        pytest.param("ln -s ../outside/secret here; read x < here; echo $x", id="read-through-a-link"),
        pytest.param("read x < ../outside/secret; echo $x", id="read"),
        pytest.param("read x < /etc/shadow; echo $x", id="read-shadow"),
        pytest.param("echo ../outside/*", id="list"),
        pytest.param("exec /bin/ls ..", id="execute"),
        pytest.param("cd ../outside && echo x > new", id="change-folder-first"),
    ],
)
def test_what_is_outside_cannot_be_reached(home: Path, line: str) -> None:
    """Neither written, read, listed nor executed, also as root and through a link or a working folder."""
    said = run(home, line, shutil.which("ln") or "ln")

    files = sorted(file.name for file in (home.parent / "outside").iterdir())
    assert (files, (home.parent / "outside/secret").read_text()) == (["secret"], "password")
    assert "password" not in said
    assert "denied" in said or said == "../outside/*\n"


def test_its_own_folder_is_its_own(home: Path) -> None:
    """It makes folders, moves files between them and removes them."""
    said = run(
        home,
        "mkdir a b; echo kept > a/x; mv a/x b/x; rm -r a; echo *",
        *map(str, map(shutil.which, ("mkdir", "mv", "rm"))),
    )

    assert (said, (home / "b/x").read_text()) == ("b\n", "kept\n")


def test_a_cage_holds_for_children_too(home: Path) -> None:
    """What a caged program starts cannot do more."""
    said = run(home, f"{SHELL} -c 'echo x > ../outside/new'")

    assert "denied" in said
    assert not (home.parent / "outside/new").exists()


@pytest.mark.skipif(sandbox.abi() < 6, reason="this kernel's Landlock does not know signals")
def test_nothing_outside_can_be_signalled(home: Path) -> None:
    """A server of ours cannot end its user's other processes."""
    bystander = subprocess.Popen(["sleep", "60"])
    said = run(home, f"kill -9 {bystander.pid}")
    alive = bystander.poll() is None
    bystander.kill()
    bystander.wait()

    assert alive
    assert "not permitted" in said


def test_a_script_is_told_from_a_program(tmp_path: Path) -> None:
    """A version manager's shim starts what no cage can name."""
    shim = tmp_path / "redis-server"
    shim.write_text("#!/bin/sh\nexec real-redis\n")

    assert [sandbox.is_program(path) for path in (str(shim), sys.executable, "/nowhere")] == [False, True, False]


def test_without_landlock_there_is_no_cage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An older kernel, or another system: the servers still start."""
    monkeypatch.setattr(sandbox, "abi", lambda: 0)

    assert sandbox.cage([SHELL], [], [str(tmp_path)]) is None


DEEP = """
import sys
from pathlib import Path
from testbay.errors import BayError
from testbay.harness.engines import sandbox
from testbay.harness.engines.embedded import Embedded
from testbay.harness.plans import process_plan
home = Path(sys.argv[1])
for _ in range(sandbox.NESTED):
    sandbox.enter(sandbox.cage(["/"], ["/"], ["/"]))
try:
    Embedded().serve(process_plan("cache", home, ["/bin/sleep", "9"], port=0, stop_signal=9, reads=[]))
except BayError as error:
    print(error)
"""


def test_a_sandbox_too_deep_is_told(tmp_path: Path) -> None:
    """The kernel nests sixteen; one that testbay cannot enter is a sentence, not a guard that is gone."""
    done = subprocess.run(
        [sys.executable, "-c", DEEP, str(tmp_path / "cache")], capture_output=True, text=True, check=False
    )

    assert done.stdout.splitlines()[:1] == ["cache: the kernel refused to confine it (Landlock)"], done.stderr
