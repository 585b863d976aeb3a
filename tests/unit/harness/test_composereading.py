import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import ManifestError
from testbay.harness import composereading
from testbay.output import Voice
from testbay.settings import Settings

TEXT = """
services:
  db:
    image: postgres:16
    environment: {POSTGRES_USER: ann, POSTGRES_PASSWORD: "${PASSWORD}", POSTGRES_DB: shop}
    ports: ["5433:5432"]
  cache: {image: "redis:7", command: redis-server --requirepass s3cr3t-word}
  commander: {image: rediscommander/redis-commander}
  web: {build: .}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a compose file and no manifest."""
    (tmp_path / "compose.yml").write_text(TEXT, encoding="utf-8")
    (tmp_path / ".env").write_text("PASSWORD=correct-horse\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(
    folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str], needs: str = "", *, secrets: bool = False
) -> dict[str, Any]:
    chosen = replace(settings, environ={})
    asked = composereading.question([folder / "compose.yml"], needs, folder, chosen)
    composereading.show(asked, chosen, Voice(), Voice(), as_json=True, secrets=secrets)
    said = capsys.readouterr().out
    return dict(json.loads(said[: said.rindex("}") + 1]))


def test_each_server_is_told_as_json(folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """With its values, where they came from, and the name it was asked by."""
    found = told(folder, settings, capsys, "postgres,redis=cache", secrets=True)
    db = found["postgres"]

    assert list(found) == ["postgres", "redis"]
    assert (db["service"], db["image"], db["port"], db["published"]) == ("db", "postgres:16", 5432, [5433])
    assert (db["user"], db["password"], db["db"]) == ("ann", "correct-horse", "shop")
    assert db["origins"]["POSTGRES_PASSWORD"] == "environment, PASSWORD from .env"
    assert found["redis"]["password"] == "s3cr3t-word"


def test_passwords_are_hidden_unless_asked_for(
    folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the environment, in the command and in what is made of them."""
    text = json.dumps(told(folder, settings, capsys))

    assert "correct-horse" not in text
    assert "s3cr3t-word" not in text
    assert text.count("***") >= 4


def test_what_is_left_out_is_said_with_the_reason(
    folder: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tool beside a server, and an application that would have to be built."""
    chosen = replace(settings, environ={})
    composereading.show(
        composereading.question([], "", folder, chosen), chosen, Voice(), Voice(), as_json=False, secrets=False
    )
    lines = capsys.readouterr().out.splitlines()

    assert lines[0].startswith(f"{folder / 'compose.yml'} (read by ")
    assert lines[-1] == "left out: commander (rediscommander/redis-commander), web (it would have to be built)"


def test_a_name_that_is_not_a_dependency_is_refused(folder: Path, settings: Settings) -> None:
    """With the nearest one."""
    with pytest.raises(ManifestError, match=r"unknown dependency 'postgre' \(did you mean 'postgres'\?\)"):
        composereading.question([folder / "compose.yml"], "postgre", folder, settings)


def test_a_folder_without_a_compose_file_is_refused(tmp_path: Path, settings: Settings) -> None:
    """The advice names the file that lies there."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "compose.ci.yml").touch()

    with pytest.raises(ManifestError, match="has no compose file") as refused:
        composereading.question([], "", tmp_path / "empty", settings)

    assert refused.value.todo == "name the file: testbay compose compose.ci.yml"


def test_a_built_server_is_told_with_the_image_it_begins_from(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its Dockerfile's variables are among its values, with where they stand."""
    (tmp_path / "Dockerfile").write_text("FROM postgres:15\nENV POSTGRES_PASSWORD=from-the-file\n")
    (tmp_path / "compose.yml").write_text("services: {db: {build: .}}")
    composereading.show(
        composereading.Question(files=[tmp_path / "compose.yml"]),
        settings,
        Voice(),
        Voice(),
        as_json=False,
        secrets=True,
    )
    lines = capsys.readouterr().out.splitlines()

    assert lines[1] == "postgres: service db, image (built), from postgres:15"
    assert lines[-1].strip() == "POSTGRES_PASSWORD=from-the-file  (the Dockerfile)"


def test_a_file_that_is_named_has_to_be_there(settings: Settings, tmp_path: Path) -> None:
    """No manifest is at fault."""
    with pytest.raises(ManifestError) as refused:
        composereading.question([tmp_path / "nope.yml"], "", tmp_path, settings)

    assert str(refused.value) == (
        f"{tmp_path}/nope.yml does not exist\n  do:       name a compose file; left out, it is the project's"
    )
