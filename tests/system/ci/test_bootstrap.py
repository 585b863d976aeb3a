"""scripts/bootstrap runs for real here, on a small checkout that needs nothing from the network."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testbay.fixtures import eventually

SCRIPT = Path(__file__).parents[3] / "scripts/bootstrap"
DEADLINE_S = 300  # a machine may be busy with more than this

# The smallest build backend: an editable install of nothing.
BACKEND = """
import pathlib, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("tiny.py", "")
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n")
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "tiny.py,,\\n")
    return name
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1"
"""

# A uv that stops in the middle of installing until told to go on; everything else the real one does. Without the trap,
# bash goes on after a Ctrl-C that its `sleep` was too young to hear.
SLOW_UV = """#!/bin/bash
trap 'trap - INT; kill -INT $$' INT
if [[ $1 == pip ]]; then touch "$PWD/installing"; while [[ -e $PWD/installing ]]; do sleep 0.05; done; fi
exec "{uv}" "$@"
"""
FIRST_RUN = ["==> making .venv: Python X, 0 locked packages (first run)", "==> .venv is ready (N s)"]
AGAIN = ["==> making .venv: Python X, 0 locked packages (the one here is out of date or unfinished)", FIRST_RUN[1]]

ADDED = ["==> adding the tools of development to .venv: 0 locked packages", FIRST_RUN[1]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout in a folder with a space in its name; `bin` beside it comes first on PATH."""
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, root / "scripts/bootstrap")
    for lock in ("requirements.lock", "requirements-run.lock"):
        (root / lock).write_text("# nothing\n", encoding="utf-8")
    (root / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (root / "backend.py").write_text(BACKEND, encoding="utf-8")
    (tmp_path / "bin").mkdir()
    return root


def start(checkout: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Starts the script, from another folder, with this environment's uv on PATH."""
    path = [checkout.parent / "bin", Path(sys.executable).parent, *os.environ["PATH"].split(":")]
    return subprocess.Popen(
        [checkout / "scripts/bootstrap", *arguments],
        cwd=checkout.parent,
        env={**os.environ, "PATH": ":".join(map(str, path)), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Its exit code and lines, with versions and times made equal."""
    output, _ = process.communicate(timeout=DEADLINE_S)
    for varying, same in ((r"Python \d+\.\d+\.\d+", "Python X"), (r"\d+ s\)", "N s)")):
        output = re.sub(varying, same, output)
    return process.returncode, output.splitlines()


def bootstrap(checkout: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    return finish(start(checkout, *arguments, **environment))


def put_on_path(checkout: Path, name: str, text: str) -> None:
    program = checkout.parent / "bin" / name
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)


def put_slow_uv(checkout: Path) -> None:
    put_on_path(checkout, "uv", SLOW_UV.format(uv=Path(sys.executable).with_name("uv")))


def test_first_run_installs_and_the_second_does_nothing(checkout: Path) -> None:
    """A fresh checkout gets its environment; a set-up one gets silence."""
    first = bootstrap(checkout)
    second = bootstrap(checkout)

    assert (first, second) == ((0, FIRST_RUN), (0, []))
    assert subprocess.run([checkout / ".venv/bin/python", "-c", "import tiny"], check=False).returncode == 0


def test_what_runs_tests_is_a_part_of_what_develops(checkout: Path) -> None:
    """The tools are added to a small environment when they are needed; a whole one serves both."""
    small = [bootstrap(checkout, "run"), bootstrap(checkout, "run")]
    whole = [bootstrap(checkout), bootstrap(checkout), bootstrap(checkout, "run")]

    assert small == [(0, FIRST_RUN), (0, [])]
    assert whole == [(0, ADDED), (0, []), (0, [])]


@pytest.mark.slow
def test_plain_pip_is_enough(checkout: Path) -> None:
    """Without uv the same environment comes from pip."""
    assert bootstrap(checkout, TESTBAY_BOOTSTRAP_PIP="1") == (0, FIRST_RUN)
    assert subprocess.run([checkout / ".venv/bin/python", "-c", "import tiny"], check=False).returncode == 0


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        pytest.param("[tool.ruff]\nline-length = 99\n", [], id="linter-setting"),
        pytest.param('dependencies = ["tiny"]\n', AGAIN, id="dependency"),
    ],
)
def test_only_what_is_installed_counts(checkout: Path, addition: str, expected: list[str]) -> None:
    """A new dependency makes the environment anew, a new linter setting does not."""
    bootstrap(checkout)
    with (checkout / "pyproject.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(addition)

    assert bootstrap(checkout) == (0, expected)


def test_a_moved_checkout_is_noticed(checkout: Path) -> None:
    """An environment points at its folder: in another place it is made anew."""
    bootstrap(checkout)
    moved = checkout.rename(checkout.with_name("moved checkout"))

    assert bootstrap(moved) == (0, AGAIN)


def test_an_interpreter_that_is_gone_is_noticed(checkout: Path) -> None:
    """An upgrade of the system may take the interpreter away; the environment is made anew."""
    bootstrap(checkout)
    python = checkout / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/no/such/python")

    assert bootstrap(checkout) == (0, AGAIN)


@pytest.mark.parametrize(
    ("sent", "code", "last"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, FIRST_RUN[0], id="kill"),
        pytest.param(signal.SIGINT, 130, "scripts/bootstrap: interrupted; the next run starts over", id="ctrl-c"),
        pytest.param(signal.SIGTERM, 143, "scripts/bootstrap: interrupted; the next run starts over", id="term"),
    ],
)
def test_a_half_made_environment_is_never_trusted(checkout: Path, sent: signal.Signals, code: int, last: str) -> None:
    """Ended in the middle of installing, however: the next run notices and starts over."""
    put_slow_uv(checkout)
    process = start(checkout)
    eventually((checkout / "installing").exists, "the installation to begin", DEADLINE_S)
    os.killpg(process.pid, sent)

    ended, lines = finish(process)

    assert (ended, lines[-1]) == (code, last)
    (checkout / "installing").unlink()
    (checkout.parent / "bin/uv").unlink()
    assert bootstrap(checkout) == (0, AGAIN)


def test_two_at_once_take_turns(checkout: Path) -> None:
    """The second one waits, says for whom, and finds the work done."""
    put_slow_uv(checkout)
    first = start(checkout)
    eventually((checkout / "installing").exists, "the installation to begin", DEADLINE_S)
    second = start(checkout)
    assert second.stdout
    waiting = second.stdout.readline().strip()
    while first.poll() is None:
        (checkout / "installing").unlink(missing_ok=True)
        time.sleep(0.05)

    assert waiting == f"==> another bootstrap (process {first.pid}) is at work in this checkout: waiting for it"
    assert (finish(first), finish(second)) == ((0, FIRST_RUN), (0, []))


def test_no_suitable_python_names_those_found(checkout: Path) -> None:
    """What was tried, what was found, what to install."""
    put_on_path(checkout, "python3.9", "#!/bin/sh\necho 3.9.18 /usr/bin/python3.9\nexit 1\n")
    named = "TESTBAY_PYTHON=/path/to/python3"

    assert bootstrap(checkout, TESTBAY_PYTHON="python3.9") == (
        1,
        [
            "scripts/bootstrap: no Python 3.11 or newer",
            "  why:      tried python3.9: python3.9 is 3.9.18",
            f"  do:       install one (Debian: apt-get install python3 python3-venv) or name it: {named}",
        ],
    )


def test_a_python_without_venv_names_the_package(checkout: Path) -> None:
    """Debian ships venv apart; the message says how to get it."""
    bare = checkout.parent / "bin/python3"
    put_on_path(
        checkout,
        "python3",
        f'#!/bin/bash\n[[ $4 != "import sys"* ]] || {{ echo "3.12.1 {bare}"; exit; }}\n'
        f'[[ $2 != *ensurepip* ]] || exit 1\nexec "{sys.executable}" "$@"\n',
    )

    code, lines = bootstrap(checkout, TESTBAY_BOOTSTRAP_PIP="1")

    assert (code, lines[1:]) == (
        1,
        [
            f"scripts/bootstrap: {bare} cannot make a virtual environment",
            "  why:      its venv or ensurepip module is not installed",
            "  do:       apt-get install python3-venv (Debian, Ubuntu), or put uv on PATH",
        ],
    )


def test_a_checkout_that_cannot_be_written_to_says_so(checkout: Path) -> None:
    """Whatever keeps us from writing is named, before anything is removed."""
    (checkout / ".testbay").write_text("in the way\n", encoding="utf-8")

    assert bootstrap(checkout) == (
        1,
        [
            f"scripts/bootstrap: {checkout} cannot be written to",
            "  why:      File exists",
            "  do:       see df -h . and ls -ld . there",
        ],
    )


def test_a_broken_manifest_keeps_the_environment(checkout: Path) -> None:
    """A typing error in pyproject.toml names its line, and the environment there is stays."""
    bootstrap(checkout)
    (checkout / "pyproject.toml").write_text("[project\n", encoding="utf-8")

    code, lines = bootstrap(checkout)

    assert (code, lines[0]) == (1, "scripts/bootstrap: the checkout is incomplete")
    assert lines[1].startswith("  why:      pyproject.toml: Expected ']'")
    assert (checkout / ".venv/.bootstrapped").is_file()


def test_an_unreachable_index_says_so(checkout: Path) -> None:
    """No network: the message says it in our words first, then in the installer's."""
    (checkout / "requirements.lock").write_text(f"nosuch==1 \\\n    --hash=sha256:{'0' * 64}\n", encoding="utf-8")

    code, lines = bootstrap(checkout, UV_DEFAULT_INDEX="http://127.0.0.1:9/", UV_HTTP_RETRIES="0")

    assert (code, lines[1:4]) == (
        1,
        [
            "scripts/bootstrap: the packages could not be installed",
            "  why:      the package index cannot be reached",
            "  do:       check the network or proxy, then run it again",
        ],
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        pytest.param("error: No space left on device (os error 28)", "the disk is full", id="disk-full"),
        pytest.param("ERROR: [Errno 28] No space left on device", "the disk is full", id="disk-full-pip"),
        pytest.param("Permission denied (os error 13)", "a folder cannot be written to", id="permission"),
        pytest.param("Read-only file system (os error 30)", "a folder cannot be written to", id="read-only"),
        pytest.param(
            "Hash mismatch for `x==1`",
            "a package is not the one in requirements.lock: a changed mirror, or worse",
            id="hash",
        ),
        pytest.param(
            "cause: invalid peer certificate: UnknownIssuer",
            "the package index shows a certificate that this machine does not trust",
            id="certificate",
        ),
        pytest.param("panicked", "the installer's own words follow", id="unknown"),
    ],
)
def test_an_installers_words_are_explained(checkout: Path, words: str, why: str) -> None:
    """What an installer says when it fails becomes a cause, and its own words are the evidence."""
    put_on_path(checkout, "uv", f"#!/bin/bash\n[[ $1 == --version ]] || {{ echo '{words}' >&2; exit 2; }}\n")

    code, lines = bootstrap(checkout)

    assert (code, lines[2], lines[-1].strip()) == (1, f"  why:      {why}", words)
