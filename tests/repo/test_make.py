"""The menu: every target explained, visible, and reached by CI."""

import os
import re
import subprocess
import sys
from pathlib import Path

TARGET = re.compile(r"^([a-z][a-z-]*):[^=\n]*?(?:## (.*))?$", re.MULTILINE)
TARGETS = [
    "help",
    "setup",
    "lint",
    "fix",
    "test-fast",
    "test",
    "test-all",
    "integration-test",
    "check",
    "pictures",
    "lock",
    "clean",
]


def test_every_target_is_explained(root: Path) -> None:
    """`make help` can name what each target does."""
    targets = dict(TARGET.findall((root / "Makefile").read_text(encoding="utf-8")))

    assert [name for name, text in targets.items() if not text] == []
    assert list(targets) == TARGETS


def test_make_alone_shows_the_menu(root: Path) -> None:
    """`make` without a target does nothing but list the targets."""
    done = subprocess.run(["make", "--no-print-directory"], cwd=root, capture_output=True, text=True, check=True)

    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert listed == TARGETS


def test_the_shards_of_ci_are_every_test_once(root: Path) -> None:
    """The matrix of ci.yml names each part of so many, and the parts of a suite are the whole of it."""
    named = re.findall(r'- shard: "(\d+)/(\d+)"', (root / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    ask = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "pytest_timeout", "-p", "testbay.pytest_plugin"]
    ask += ["--collect-only", "-q", "tests/repo/test_aws_policies.py", "tests/repo/test_lock.py"]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # other people's plugins take longer than all else
    said = [
        subprocess.run([*ask, *more], cwd=root, env=alone, capture_output=True, text=True, check=False).stdout
        for more in ([], ["--shard=1/2"], ["--shard=2/2"])
    ]
    whole, *parts = [[line for line in text.splitlines() if "::" in line] for text in said]

    assert named == [(str(number), str(len(named))) for number in range(1, len(named) + 1)]
    assert (sorted([*parts[0], *parts[1]]), min(map(len, parts)) > 0) == (sorted(whole), True)


def test_unit_tests_of_the_services_run_once(root: Path) -> None:
    """`make test` and CI run them too, each with its service's settings of pytest; of the shards the first does."""
    folders = sorted(str(folder.relative_to(root)) for folder in root.glob("services/*/tests/unit"))
    # Without what a `make test-all` that runs this test was asked for.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "SHARD")}

    def run_by(*asked: str) -> list[str]:
        done = subprocess.run(["make", "-n", *asked], cwd=root, env=env, capture_output=True, text=True, check=True)
        return re.findall(r"(services/\S+/tests/unit) &&", done.stdout)

    assert folders == ["services/agent_executor/tests/unit", "services/error_monitor/tests/unit"]
    assert run_by("test") == run_by("test-all") == run_by("test-all", "SHARD=1/4") == folders
    assert run_by("test-all", "SHARD=2/4") == []


def test_every_recipe_is_one_visible_command(root: Path) -> None:
    """What a target runs is seen; only the menu hides its own making."""
    text = (root / "Makefile").read_text(encoding="utf-8")
    recipes = re.findall(r"(?m)^([a-z-]+):[^\n]*\n((?:\t.*\n)+)", text)

    assert {name: lines.count("\t") for name, lines in recipes if lines.count("\t") != 1} == {}
    assert [name for name, lines in recipes if lines.startswith("\t@")] == ["help"]


def test_ci_calls_the_commands_of_the_readme(root: Path) -> None:
    """CI types what a developer types, the main job on each engine, and ends with `make test-all`: its line is read."""
    lines = (root / ".ci/run").read_text(encoding="utf-8").splitlines()
    calls = [line.split()[1] for line in lines if line.startswith("make ")]

    assert calls == ["lint", "integration-test", "integration-test", "test-all"]
    assert lines[-1] == "make test-all"
