"""What `testbay init` writes, and where it refuses to."""

import resource
from pathlib import Path

import pytest
from tests.unit.init.conftest import add

from testbay.errors import ManifestError
from testbay.init import command
from testbay.init.project import Project
from testbay.output import Voice


@pytest.mark.parametrize("place", ["tests", "a/b/c"])
def test_a_place_where_no_manifest_is_found_gets_none(project: Project, place: str) -> None:
    """`testbay run` would pass it over there."""
    compose = "services: {db: {image: postgres}}"
    add(project, {"docker-compose.test.yml": compose, f"{place}/test_it.py": "import psycopg"})

    with pytest.raises(ManifestError) as refused:
        command.execute(project.root / place, {}, Voice())

    assert refused.value.what == f"{project.root / place}: a manifest here would not be found: nothing was written"
    assert refused.value.todo == f"cd {project.root} && testbay init"
    assert not (project.root / place / "testbay.toml").exists()


def test_the_root_of_the_file_system_is_no_project() -> None:
    """Nothing of it is read: its Python files are those of the whole machine."""
    with pytest.raises(ManifestError, match=r"^/: the root of the file system is not a project"):
        command.execute(Path("/"), {}, Voice())


def test_a_file_that_the_disk_has_no_room_for_is_not_left(project: Project) -> None:
    """Half a manifest would be kept by the next `testbay init`, as one that was there."""
    file, (soft, hard) = project.root / "testbay.toml", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))

    try:
        with pytest.raises(ManifestError) as failed:
            command.write(file, "service = 'a'\n", Voice())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (failed.value.why, file.exists()) == ("File too large", False)
