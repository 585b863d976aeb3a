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


def locked() -> dict[str, tuple[Requirement, int]]:
    """Each locked package by its name: the requirement and the number of its hashes."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(" --hash=") for line in text.splitlines() if line and line[0] not in "# "]
    parsed = [(Requirement(line[0].strip()), len(line) - 1) for line in lines]
    return {canonicalize_name(requirement.name): (requirement, hashes) for requirement, hashes in parsed}


def test_every_package_is_pinned_with_hashes() -> None:
    """What is installed is byte for byte what was locked."""
    loose = [
        str(requirement)
        for requirement, hashes in locked().values()
        if hashes == 0 or not re.fullmatch(r"==[^*,]+", str(requirement.specifier))
    ]

    assert loose == []


def test_no_source_is_written_down() -> None:
    """Neither host nor path: the same lock works with any mirror."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")

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
