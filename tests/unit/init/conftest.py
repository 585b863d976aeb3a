"""A project in a folder of its own, for what `testbay init` reads."""

from pathlib import Path

import pytest

from testbay.init.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of no files."""
    return Project(root=tmp_path)


def add(project: Project, files: dict[str, str]) -> Project:
    """The same folder with these files, read anew."""
    for name, text in files.items():
        file = project.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Project(root=project.root)
