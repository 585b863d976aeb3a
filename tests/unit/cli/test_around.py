"""Commands around another program: what is theirs, and what is that program's."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbay.cli import app as cli
from testbay.cli import around, harness
from testbay.manifest.project import find_service


@pytest.mark.parametrize("word", ["--engne", "--engine-=compose", "--no-cow", "--shards=1/2"])
def test_a_misspelt_option_is_refused_before_anything_starts(word: str) -> None:
    """The other program would refuse it only once the servers are there."""
    done = CliRunner().invoke(harness.app, ["run", word])

    assert done.exit_code == 2
    assert f"unknown option {word.partition('=')[0]}: did you mean --" in " ".join(done.output.split())


@pytest.mark.parametrize("words", [["--cov=shop"], ["--collect-only"], ["--", "--engne"]])
def test_options_of_the_other_program_pass(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the commands come as far as the folder, and find that it holds no project."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(harness.app, ["run", *words])

    assert (done.exit_code, "unknown option" in done.output) == (1, False)


@pytest.mark.parametrize("word", ["test_a.py::test_one", "tests/test_orders.py", "tests/nowhere"])
def test_a_test_that_is_not_there_is_no_unknown_service(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service has neither a path nor a suffix: who writes one means a test."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(harness.app, ["run", word])

    assert done.exit_code == 2
    assert f"{word}: no such file or folder in" in " ".join(done.output.replace("│", "").split())


@pytest.mark.parametrize(
    ("words", "helps"), [(["-khealth"], False), (["-vh"], False), (["-h"], True), (["--help"], True)]
)
def test_only_a_word_of_its_own_asks_for_help(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, helps: bool
) -> None:
    """The letter in `-khealth` is pytest's: with help and exit code 0, a CI would be green without a test."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(cli.app, ["run", *words])

    assert (done.exit_code == 0, "Usage:" in done.output) == (helps, helps)


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ((None, ["-k", "a"]), (None, ["-k", "a"])),
        (("shop", []), ("shop", [])),
        (("shop/", ["-x"]), ("shop/", ["-x"])),
        (("folder", []), ("folder", [])),
        (("-x", ["tests"]), (None, ["-x", "tests"])),
        (("tests/test_a.py::test_one", []), (None, ["tests/test_a.py::test_one"])),
        (("tests", ["-x"]), (None, ["tests", "-x"])),
        (("make", []), ("make", [])),
        ((None, ["make"]), (None, ["make"])),
    ],
)
def test_a_path_in_the_services_place_is_pytests(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: tuple[str | None, list[str]],
    understood: tuple[str | None, list[str]],
) -> None:
    """A folder, too, unless a service has its name; one with the name of a program is a folder all the same."""
    for name in ("tests", "make", "shop", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "tests/test_a.py").touch()
    for name in ("make", "shop"):
        (tmp_path / name / "testbay.toml").write_text(f'service = "{name}"\n', encoding="utf-8")
    (tmp_path / "folder/testbay.toml").write_text('service = "of-another-name"\n', encoding="utf-8")
    (tmp_path / "docker-compose.test.yml").touch()
    monkeypatch.chdir(tmp_path)

    assert around.service_and_words(*given) == understood


@pytest.mark.parametrize(
    ("words", "service"),
    [
        (["packages/beta/tests", "-x"], "packages/beta"),
        (["-k", "a", "packages/beta/tests/test_a.py::test_one"], "packages/beta"),
        (["packages/beta"], "packages/beta"),
        (["packages/beta/tests", "packages/alpha/tests"], None),
        (["packages/beta/tests", "packages/README.md"], None),
        (["packages/beta/tests/test_b.py"], None),
    ],
)
def test_a_path_says_whose_tests_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], service: str | None
) -> None:
    """The service in which all of them lie; of several services none is chosen."""
    for name in ("alpha", "beta"):
        (tmp_path / f"packages/{name}/tests").mkdir(parents=True)
        (tmp_path / f"packages/{name}/tests/test_a.py").touch()
        (tmp_path / f"packages/{name}/testbay.toml").write_text(f'service = "{name}"\n', encoding="utf-8")
    for name in ("docker-compose.test.yml", "packages/README.md"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)

    assert around.service_and_words(None, words) == (service and str(tmp_path / service), words)


@pytest.mark.parametrize("name", ["backend/shop", "backend/shop/", "./backend/shop"])
def test_a_service_is_named_by_its_folder(tmp_path: Path, name: str) -> None:
    """As a shell completes it."""
    for folder in ("shop", "billing"):
        (tmp_path / "backend" / folder).mkdir(parents=True)
        (tmp_path / f"backend/{folder}/testbay.toml").write_text(f'service = "of-{folder}"\n', encoding="utf-8")

    assert find_service(name, tmp_path, tmp_path).service == "of-shop"


def test_another_program_is_not_for_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look for a file of that name, once the servers are there."""
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(harness.app, ["run", "--", "sh", "manage.sh", "test", "a b"])

    assert done.exit_code == 2
    assert "testbay exec -- sh manage.sh test 'a b'" in re.sub(r"[\s│]+", " ", done.output)
