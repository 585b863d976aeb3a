"""The services' own tier 3 scripts: from any folder, into `testbay run`, with pytest's arguments."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
RUNNERS = sorted(script.relative_to(ROOT) for script in ROOT.glob("services/*/scripts/ci/run-tests.sh"))
every_runner = pytest.mark.parametrize("runner", RUNNERS, ids=str)


def call(tmp_path: Path, runner: Path, *arguments: str, testbay: str = "") -> tuple[int, list[str]]:
    """Runs a copy of the script in a checkout whose `testbay` is this shell script, from a folder outside of it."""
    root = tmp_path / "a checkout"
    script = root / runner
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / runner, script)
    if testbay:
        program = root / ".venv/bin/testbay"
        program.parent.mkdir(parents=True)
        program.write_text(testbay, encoding="utf-8")
        program.chmod(0o755)
    done = subprocess.run(
        [script, *arguments], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, (done.stdout + done.stderr).splitlines()


@every_runner
def test_arguments_and_exit_code_pass_through(tmp_path: Path, runner: Path) -> None:
    """What follows the script's name reaches pytest as it is, and pytest's exit code comes back."""
    says = "#!/bin/bash\nprintf '%s\\n' \"$@\"\nexit 3\n"

    outcome = call(tmp_path, runner, "-k", "two words", testbay=says)

    assert outcome == (3, ["run", runner.parts[1], "--", "-k", "two words"])


@every_runner
def test_testbay_takes_the_place_of_the_script(tmp_path: Path, runner: Path) -> None:
    """A signal sent to the script is a signal sent to testbay: there is no shell in between."""
    code, lines = call(tmp_path, runner, testbay='#!/bin/bash\necho "$PPID"\n')

    assert (code, lines) == (0, [str(os.getpid())])


@every_runner
def test_commands_of_the_environment_come_first(tmp_path: Path, runner: Path) -> None:
    """`python`, `pytest` and `uvicorn` of .venv are found before any other on PATH."""
    code, lines = call(tmp_path, runner, testbay='#!/bin/bash\necho "${PATH%%:*}"\n')

    assert (code, lines) == (0, [str(tmp_path / "a checkout/.venv/bin")])


@every_runner
def test_a_checkout_that_is_not_set_up_says_so(tmp_path: Path, runner: Path) -> None:
    """Without .venv the one command that helps is named."""
    assert call(tmp_path, runner) == (
        1,
        [
            "run-tests: there is no testbay in .venv",
            "  why:      this checkout is not set up",
            "  do:       scripts/bootstrap",
        ],
    )


@every_runner
def test_help_names_the_five_steps(tmp_path: Path, runner: Path) -> None:
    """`--help` needs no environment and lists what will happen, in order."""
    code, lines = call(tmp_path, runner, "--help")

    steps = [line.split()[1] for line in lines if line.strip()[:2] in {"1.", "2.", "3.", "4.", "5."}]
    assert (code, steps) == (0, ["start", "wait", "migrate", "test", "tear"])
