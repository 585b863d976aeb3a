"""What the step of action.yml installs, told by a `python` that only writes down what it is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("requirements", "asked"),
    [
        ("a==1", ["{ours}[embedded] -r requirements.txt"]),
        ("a==1 --hash=sha256:0", ["-r requirements.txt", "{ours}[embedded]"]),
    ],
)
def test_hashes_of_a_project_are_not_asked_of_testbay(tmp_path: Path, requirements: str, asked: list[str]) -> None:
    """In one command, pip would want one of everything."""
    (tmp_path / "requirements.txt").write_text(requirements, encoding="utf-8")
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\n[ "$1" != -c ] || exec {sys.executable} "$@"\nshift 4; echo "$@" >>asked\n', encoding="utf-8"
    )
    python.chmod(0o755)

    subprocess.run(
        [REPOSITORY / "scripts/ci/action.sh", "install"],
        cwd=tmp_path,
        env={"PATH": f"{python.parent}:{os.defpath}", "ENGINE": "embedded"},
        check=True,
    )

    assert (tmp_path / "asked").read_text(encoding="utf-8").splitlines() == [
        line.format(ours=REPOSITORY) for line in asked
    ]
