import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import ManifestError
from testbay.manifest.compose import docker, reader
from testbay.manifest.compose.reading import ComposeFile

Read = Callable[[str], ComposeFile]
Plugin = Callable[..., None]


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """Installs a small program as Docker's plugin; each call of it is a line in `calls`."""

    def install(answer: dict[str, Any] | str, version: str = "2.99.0") -> None:
        program = tmp_path / "docker/cli-plugins/docker-compose"
        program.parent.mkdir(parents=True, exist_ok=True)
        said = f"echo '{answer}' >&2; exit 15" if isinstance(answer, str) else f"echo '{json.dumps(answer)}'"
        lines = [
            "#!/bin/sh",
            f'echo "$*" >>{tmp_path}/calls',
            f'[ "$1" = version ] && {{ echo {version}; exit; }}',
            said,
        ]
        program.write_text("\n".join(lines) + "\n", encoding="utf-8")
        program.chmod(0o755)

    return install


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a compose file of this text, as a run would."""

    def reading(text: str) -> ComposeFile:
        (tmp_path / "c.yml").write_text(text, encoding="utf-8")
        environ = {"DOCKER_CONFIG": str(tmp_path / "docker"), "PATH": "/usr/bin:/bin"}
        return reader.read([tmp_path / "c.yml"], environ, tmp_path / "cache")

    return reading


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text(encoding="utf-8").splitlines() if (folder / "calls").exists() else []


def test_compose_is_asked_for_its_reading(read: Read, plugin: Plugin) -> None:
    """Where the two differ, Compose's counts; each dollar that it doubles is one."""
    plugin({"services": {"db": {"image": "theirs", "environment": {"A": "a$$b"}}}})
    reading = read("services: {db: {image: ours}}")

    assert reading.reader == "Docker Compose 2.99.0"
    assert [(s.key, s.image, s.environment) for s in reading.services] == [("db", "theirs", {"A": "a$b"})]


def test_a_reading_that_was_the_same_is_not_asked_for_again(read: Read, plugin: Plugin, tmp_path: Path) -> None:
    """Until a file changes; the note in the cache holds nothing of the file."""
    plugin(
        {
            "services": {
                "db": {"image": "postgres", "environment": {"PASSWORD": "hunter2"}, "networks": {"default": None}}
            }
        }
    )
    text = "services: {db: {image: postgres, environment: {PASSWORD: hunter2}}}"
    first, second = read(text), read(text)
    asked = len(calls(tmp_path))
    read(text + "\n")

    assert (first, first.reader, asked) == (second, "Docker Compose 2.99.0", 2)
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    assert len(calls(tmp_path)) == 4
    assert {note.read_text(encoding="utf-8") for note in (tmp_path / "cache/compose").iterdir()} == {
        "Docker Compose 2.99.0"
    }


def test_another_checkout_of_the_same_name_is_not_asked_for(plugin: Plugin, tmp_path: Path) -> None:
    """The project is named by its folder, and nothing else in the reading depends on where that is."""
    plugin({"services": {"db": {"image": "postgres", "networks": {"default": None}}}})
    environ = {"DOCKER_CONFIG": str(tmp_path / "docker"), "PATH": "/usr/bin:/bin"}
    asked = []
    for name in ("one/shop", "two/shop", "two/other"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "c.yml").write_text("services: {db: {image: postgres}}", encoding="utf-8")
        reading = reader.read([folder / "c.yml"], environ, tmp_path / "cache")
        asked.append((reading.reader, reading.path.parent == folder, len(calls(tmp_path))))

    assert asked == [("Docker Compose 2.99.0", True, number) for number in (2, 2, 4)]


def test_what_compose_refuses_is_refused_in_its_own_words(read: Read, plugin: Plugin, tmp_path: Path) -> None:
    """Ours may know less of it."""
    plugin("services.db.shm_size is wrong")

    with pytest.raises(ManifestError) as refused:
        read("services: {db: {image: postgres, shm_size: x}}")

    assert str(refused.value) == (
        f"{tmp_path / 'c.yml'}: Docker Compose 2.99.0 refuses it\n"
        "  why:      services.db.shm_size is wrong\n"
        "  do:       fix the file: `docker compose config` says the same"
    )


def test_a_project_name_that_compose_refuses_is_not_blamed_on_the_file(read: Read, plugin: Plugin) -> None:
    """The name is usually that of a variable, which the message names."""
    plugin('invalid project name "Prod X": must consist only of lowercase alphanumeric characters')

    with pytest.raises(ManifestError) as refused:
        read("services: {db: {image: postgres}}")

    assert refused.value.todo == (
        "correct COMPOSE_PROJECT_NAME in the shell or .env, or the file's `name`: `docker compose config` says the same"
    )


def test_a_variable_of_a_service_that_is_not_needed_stops_nothing(read: Read, plugin: Plugin) -> None:
    """Compose refuses the whole file for it."""
    plugin("required variable KEY is missing a value")
    reading = read("services: {db: {image: postgres}, web: {image: '${KEY:?a key}'}}")

    assert (reading.reader, [bool(service.problem) for service in reading.services]) == ("testbay", [False, True])


def test_an_old_compose_is_not_asked(read: Read, plugin: Plugin, tmp_path: Path) -> None:
    """The reading says which version it would take."""
    plugin({"services": {}}, version="2.17.3")

    assert read("services: {db: {image: x}}").reader == "testbay: Docker Compose 2.17.3 is older than 2.24"
    assert calls(tmp_path) == ["version --short"]


def test_a_compose_that_does_not_answer_is_no_obstacle(read: Read, plugin: Plugin, tmp_path: Path) -> None:
    """Neither one that prints something else than a model."""
    plugin({"services": {}}, version="what?")
    assert read("services: {db: {image: x}}").reader == "testbay: Docker Compose does not answer"

    (tmp_path / "docker/cli-plugins/docker-compose").write_text("not a program", encoding="utf-8")
    assert read("services: {db: {image: x}}").reader == "testbay: Docker Compose does not answer"


def test_a_home_that_cannot_be_looked_into_has_no_compose() -> None:
    """That of another user; a name that is too long is refused to root as well."""
    assert docker.program({"HOME": f"/{'x' * 300}"}) == docker.program({})


def test_nothing_is_fetched_from_another_machine(read: Read, plugin: Plugin, tmp_path: Path) -> None:
    """Compose would: it is not even asked."""
    plugin({"services": {"db": {"image": "x"}}})

    with pytest.raises(ManifestError, match="is not a file of this machine"):
        read("include: ['https://example.org/compose.yml']\nservices: {db: {image: x}}")

    assert calls(tmp_path) == []
