"""A user's project outside this repository, with testbay as a user installs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.system.conftest import REPOSITORY, Bay
from tests.system.fakes.pages import write

UV = Path(sys.executable).with_name("uv")
PIP = """#!/bin/sh
exec "{uv}" pip "$@" --quiet --constraint "{constraints}"
"""


class Own(Bay):
    """A user's project, with an environment in which testbay is a wheel; packages have the versions of the lock."""

    def __init__(self, project: Path, cache: Path, environment: Path | None = None) -> None:
        super().__init__(project, cache)
        self.name = project.name
        self.programs = (environment or project / ".venv") / "bin"
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTEST_ADDOPTS"):
            self.environ.pop(name, None)
        self.environ |= {"VIRTUAL_ENV": str(self.programs.parent), "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def install(self, folder: Path, *packages: str) -> None:
        """Make the environment, a `pip` in it that is quick, and install testbay and these packages."""
        build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
        [wheel] = folder.glob("*.whl")
        lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
        constraints = folder / "constraints.txt"
        write(constraints, "\n".join(re.findall(r"(?m)^(\w\S*==[^\\\n]*)", lock)))
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, self.programs.parent], check=True)
        write(self.programs / "pip", PIP.format(uv=UV, constraints=constraints), executable=True)
        done = self.type(f"pip install 'testbay[embedded] @ {wheel.as_uri()}' {' '.join(map(repr, packages))}")
        assert done.code == 0, done.out
