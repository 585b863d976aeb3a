"""Every shell script in the repository: no findings, strict, explained."""

import os
import re
import subprocess
import sys
from pathlib import Path

FUNCTION = re.compile(r"^(?:function )?[\w-]+ ?\(\) *[{(]")


def test_shellcheck_finds_nothing(root: Path, shell_scripts: list[Path]) -> None:
    """ShellCheck is at zero, in every script git knows."""
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, *shell_scripts], cwd=root, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_disabled_finding_has_its_reason(root: Path, shell_scripts: list[Path]) -> None:
    """`# shellcheck disable=` says why on the same line or the line above."""
    bare = []
    for script in shell_scripts:
        lines = (root / script).read_text(encoding="utf-8").splitlines()
        for above, line in zip(["", *lines], lines, strict=False):
            reason = re.search(r"shellcheck disable=[SC\d,]+(.*)", line)
            if reason and not reason[1].strip() and not above.strip().startswith("#"):
                bare.append(f"{script}: {line.strip()}")

    assert not bare, "\n".join(bare)


def test_every_script_is_strict(root: Path, shell_scripts: list[Path]) -> None:
    """A failed command, an unset variable and a broken pipe end the script."""
    lax = [
        str(script)
        for script in shell_scripts
        if "\nset -Eeuo pipefail\n" not in (root / script).read_text(encoding="utf-8")
    ]

    assert lax == []


def test_every_function_has_its_signature(root: Path, shell_scripts: list[Path]) -> None:
    """A comment behind the brace names the parameters: `step() { # <command…>`."""
    bare = [
        f"{script}:{number}: {line}"
        for script in shell_scripts
        for number, line in enumerate((root / script).read_text(encoding="utf-8").splitlines(), 1)
        if FUNCTION.match(line) and " # " not in line
    ]

    assert not bare, "\n".join(bare)


def test_every_tier_and_script_has_help(root: Path, shell_scripts: list[Path]) -> None:
    """`--help` answers with the usage, from any folder, and needs nothing set up."""
    silent = []
    for script in shell_scripts:
        if script.parts[0] not in {"scripts", "services"} or "images" in script.parts:
            continue
        done = subprocess.run([root / script, "--help"], cwd="/", capture_output=True, text=True, check=False)
        if done.returncode != 0 or "Usage:" not in done.stdout:
            silent.append(str(script))

    assert silent == []


def test_a_search_path_for_cd_leads_no_script_away(root: Path, shell_scripts: list[Path]) -> None:
    """With it, `cd` goes elsewhere or prints where it went, into the output that a caller evaluates."""
    lost = []
    for script in shell_scripts:
        if script.parts[0] not in {"scripts", "services"} or "images" in script.parts:
            continue
        envs = ({"PATH": os.environ["PATH"], "CDPATH": path} for path in ("", "."))
        plain, led = (
            subprocess.run([script, "--help"], cwd=root, env=env, stdout=subprocess.PIPE, check=False).stdout
            for env in envs
        )
        lost += [str(script)] if plain != led else []

    assert lost == []


def test_the_action_runs_nothing_of_words_that_it_cannot_split(root: Path, tmp_path: Path) -> None:
    """An open quote would swallow what stands behind it, such as the least coverage."""
    (tmp_path / "testbay").symlink_to("/usr/bin/true")
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ARGUMENTS": '-k "a --cov-fail-under=90'}
    done = subprocess.run(
        [root / "scripts/ci/action.sh", "run"], cwd=tmp_path, env=env, capture_output=True, check=False
    )

    assert (done.returncode, b"is a quote left open?" in done.stderr) == (2, True)


def test_the_action_ends_as_the_run_does(root: Path, tmp_path: Path) -> None:
    """Also when it made no folder of a run, as with a manifest that is refused."""
    testbay = tmp_path / "testbay"
    testbay.write_text("#!/bin/sh\nexit 10\n", encoding="utf-8")
    testbay.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([root / "scripts/ci/action.sh", "run"], cwd=tmp_path, env=env, check=False)

    assert done.returncode == 10
