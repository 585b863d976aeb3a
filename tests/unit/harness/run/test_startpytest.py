"""The program that becomes pytest: what it has loaded, what it takes over, and when it begins anew."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbay.harness.run import startpytest

# A plugin of pytest: it tells what the process is as the first plugin is loaded, before any settings are read.
PROBE = """
import json, os, sys
ours = {name: os.environ.get(name) for name in ("DATABASE_URL", "EARLY")}
told = {"pid": os.getpid(), "environ": ours, "isolated": sys.flags.no_user_site, "path": sys.path[-1]}
print(json.dumps(told), flush=True)
os._exit(7)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path


def started(folder: Path, sent: object, **early: str) -> tuple[int, str, int]:
    """Start the program in a folder, send it something, and return its exit code, its output and its pid."""
    reader, writer = os.pipe()
    environ = {"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **early}
    argv = [sys.executable, "-P", startpytest.__file__, str(reader)]
    with subprocess.Popen(argv, cwd=folder, env=environ, pass_fds=[reader], stdout=subprocess.PIPE, text=True) as child:
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            pipe.write(json.dumps(sent) if sent else "")
        output, _ = child.communicate()
    return child.returncode, output, child.pid


@pytest.mark.parametrize(
    ("anew", "isolated"), [pytest.param(False, 0, id="goes on"), pytest.param(True, 1, id="begins anew")]
)
def test_it_takes_over_arguments_and_environment(folder: Path, *, anew: bool, isolated: int) -> None:
    """Variables that Python reads at its start have the run's values, in the same process."""
    environ = {"DATABASE_URL": "postgresql://ü", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONNOUSERSITE": "1"}
    sent = {"arguments": ["-p", "probe"], "environ": environ, "anew": anew, "lost": False}
    code, output, pid = started(folder, sent, EARLY="1")
    assert code == 7
    told = json.loads(output)
    assert told == {
        "pid": pid,  # the one that the guard was told
        "environ": {"DATABASE_URL": "postgresql://ü", "EARLY": None},
        "isolated": isolated,
        "path": str(folder),
    }


def test_it_begins_anew_where_the_projects_own_code_has_seen_the_early_variables(folder: Path) -> None:
    """A sitecustomize of the project's runs once more, with the stack's variables."""
    (folder / "sitecustomize.py").write_text("import os\nprint(os.environ.get('DATABASE_URL'), flush=True)\n")
    environ = {"DATABASE_URL": "the stack's", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(folder)}
    sent = {"arguments": ["-p", "probe"], "environ": environ, "anew": False, "lost": False}
    code, output, _ = started(folder, sent, PYTHONPATH=str(folder))
    assert code == 7
    assert output.splitlines()[:2] == ["None", "the stack's"]


def test_it_ends_in_silence_if_no_tests_are_to_run(folder: Path) -> None:
    """Servers that do not start, or testbay's own end, leave no pytest behind."""
    assert started(folder, None)[:2] == (0, "")
