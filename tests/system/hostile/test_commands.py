"""Output that commands: GitHub's runner obeys no line that a service logged or a test printed, wherever it is shown."""

import re
import subprocess
import sys

import pytest
from tests.system.conftest import Bay

LINES = ["::error title=OBEYED::said", "  ::warning::OBEYED", "::add-mask::OBEYED", "##[group]OBEYED"]
SAID = "".join(f"{line}\\n" for line in [*LINES, "::stop-commands::OBEYED"])
SERVICE = f"""
import sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
print("{SAID}", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""
TESTS = f"""
import sys, warnings

def test_fails(service):
    print("{SAID}", end="::error::OBEYED")
    print("{SAID}", file=sys.stderr)
    warnings.warn("\\n{SAID}")
    assert 0, "\\n{SAID}"
"""


def obeyed(out: str) -> list[str]:
    """What the runner does with an output: the commands it finds, until it is told to stop."""
    stopped, found = "", []
    for line in out.splitlines():
        if stopped:
            stopped = "" if line.strip() == f"::{stopped}::" else stopped
        elif stop := re.match(r"\s*::stop-commands::(.+)", line):
            stopped = stop[1]
            found += ["stop"] if "OBEYED" in stopped else []
        elif re.match(r"\s*::|.*##\[", line) and "OBEYED" in line.partition("::error ")[0]:
            found.append(line)
    return [*found, *(["it is still stopped"] if stopped else [])]


@pytest.fixture
def speaking(bay: Bay) -> Bay:
    """A service and a test that say what a runner would obey."""
    bay.tests(TESTS)
    (bay.service / "speaking.py").write_text(SERVICE)
    manifest = bay.service / "testbay.toml"
    manifest.write_text('start = "python speaking.py {port}"\nready = "/"\n' + manifest.read_text())
    bay.environ |= {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(bay.project)}
    return bay


def test_a_run_is_fenced_in(speaking: Bay) -> None:
    """Its own annotation comes after the fence; what the test said is in it as text."""
    done = speaking.run("run", "shop")

    assert done.code == 1
    assert "OBEYED" in done.out
    assert obeyed(done.out) == []
    assert any(line.startswith("::error file=") for line in done.lines[-20:])


def test_plain_pytest_shows_texts(speaking: Bay) -> None:
    """There nobody is fenced in: what a failing test shows is disarmed."""
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "ignore", str(speaking.service)]
    done = subprocess.run(argv, env=speaking.environ, capture_output=True, text=True, check=False)

    assert "1 failed" in done.stdout
    assert obeyed(done.stdout) == []


def test_a_merge_shows_texts(speaking: Bay) -> None:
    """What came from another machine is text, too."""
    speaking.run("run", "shop", "--shard", "1/1")
    [run] = (speaking.project / ".testbay/runs").iterdir()
    done = speaking.run("merge", str(run))

    assert done.code == 1
    assert obeyed(done.out) == []
