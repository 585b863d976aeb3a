import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.conftest import Service

from testbay import process, settings
from testbay.errors import SecretLeakedError
from testbay.masking import Scan
from testbay.secrets import command as secrets
from testbay.secrets.command import Secret

KEY = Secret(name="KEY", origin="/shop/key", value="sk-1234567890")


def test_a_secret_does_not_show_its_value() -> None:
    """Neither in a traceback nor in a log."""
    assert repr(KEY) == f"{KEY}" == "Secret(name='KEY', origin='/shop/key')"


def report(project: Path, name: str = "junit.xml", text: str = KEY.value) -> Path:
    file = project / ".testbay/runs/1" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def test_reports_of_earlier_runs_are_left_alone(project: Path) -> None:
    """Only what was written since the command began is searched."""
    file = report(project)

    secrets._search(project, {}, [KEY], time.time() + 60)

    assert file.exists()


def test_a_secret_in_a_file_s_name_is_not_repeated(project: Path) -> None:
    """The file goes, and the error names it without the value."""
    file = report(project, f"dump-{KEY.value}.sql", "clean")
    with pytest.raises(SecretLeakedError, match="a secret was found in 1 of the reports: removed") as caught:
        secrets._search(project, {}, [KEY], time.time())

    assert not file.exists()
    assert caught.value.evidence == str(file.parent / "dump-***.sql")


def test_what_cannot_be_searched_is_an_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can vouch for a file that cannot be read: it is named, and the others are searched all the same."""
    locked, leak = report(project, "locked", "clean"), report(project)
    finds = Scan.finds

    def refuse(scan: Scan, file: Path) -> bool:
        if file == locked:
            raise PermissionError(13, "Permission denied")
        return finds(scan, file)

    def walk(folder: Path, onerror: Callable[[OSError], None]) -> Iterator[Any]:
        onerror(PermissionError(13, "Permission denied", "other"))
        yield from real_walk(folder)

    real_walk = os.walk
    monkeypatch.setattr(Scan, "finds", refuse)  # the tests may run as root, who can read everything
    monkeypatch.setattr(os, "walk", walk)
    with pytest.raises(SecretLeakedError, match="2 of the reports could not be searched for secrets") as caught:
        secrets._search(project, {}, [KEY], time.time())

    assert caught.value.evidence.splitlines() == ["other: Permission denied", f"{locked}: Permission denied", str(leak)]
    assert (locked.exists(), leak.exists()) == (True, False)


def test_only_files_are_searched(project: Path) -> None:
    """A pipe would never end, a link may lead nowhere; a link to a report goes, and so does the report."""
    folder = report(project).parent
    (folder / "nowhere").symlink_to(folder / "gone")
    (folder / "loop").symlink_to("loop")
    (folder / "latest").symlink_to("junit.xml")
    process.run(["mkfifo", str(folder / "pipe")])
    with pytest.raises(SecretLeakedError):
        secrets._search(project, {"GITHUB_ENV": str(folder / "none")}, [KEY], time.time())

    assert sorted(file.name for file in folder.iterdir()) == ["loop", "nowhere", "pipe"]
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ('"A KEY" = "/a"', "'A KEY' is not a name for a variable"),
        ('"*" = "/a/*"', "'*' is not a name for a variable"),
        ('"A_*_B" = "/a/*"', "'A_*_B' is not a name for a variable"),
        ('"A_*" = "/a"', "A_* = '/a': a folder ends in '/*', and the variables for it in '*'"),
        ('A = "/a/*"', "A = '/a/*': a folder ends in '/*', and the variables for it in '*'"),
    ],
)
def test_a_manifest_s_secrets_are_variables(service: Service, entry: str, fault: str) -> None:
    """A name that no shell could set, or a folder without a pattern, is refused when the manifest is read."""
    with pytest.raises(Exception, match="secrets: ") as caught:
        service(f"[tool.testbay.secrets]\n{entry}")

    assert str(caught.value).splitlines()[0].endswith(f"secrets: {fault}")


def test_a_pattern_is_set_when_one_of_its_variables_is(service: Service) -> None:
    """In CI the step must have brought at least one variable of a folder."""
    manifest = service('[tool.testbay.secrets]\nKEY = "/shop/key"\n"APP_*" = "/shop/app/*"')

    assert manifest.secrets_set({"KEY": "", "APP_A": "", "APP_B": "b"}) == {"KEY": False, "APP_*": True}
    assert manifest.secrets_set({"KEY": "k", "APP": "a"}) == {"KEY": True, "APP_*": False}


def test_a_secret_without_a_path_is_the_environment_s(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is not asked for it, and it is kept out of everything all the same."""
    monkeypatch.setenv("KEY", KEY.value)

    found = secrets.collect(service('[tool.testbay.secrets]\nKEY = ""'), settings.load(), from_env=False)

    assert found == [Secret(name="KEY", origin="your environment", value=KEY.value)]
