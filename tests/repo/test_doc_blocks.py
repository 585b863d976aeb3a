"""Each block of TOML on a page is a manifest, or a part of one that lacks only what is beside it."""

import re
from pathlib import Path

import pytest

from testbay.errors import ManifestError
from testbay.manifest.load import load_manifest

PAGES = sorted((Path(__file__).parents[2] / "docs").rglob("*.md"))
# A part may speak of a file, a dependency or a check that its page shows elsewhere.
BESIDE = re.compile(r"does not exist|not in needs|in needs$|unknown check")


def manifests(page: Path) -> list[str]:
    """The blocks as they would stand in a testbay.toml; those of whole packages are built by other tests."""
    blocks = re.findall(r"(?ms)^```toml\n(.*?)^```", page.read_text(encoding="utf-8"))
    return [
        re.sub(r"(?m)^\[tool\.testbay(\]|\.)", lambda it: "[" * (it[1] == "."), one)
        for one in blocks
        if "[project]" not in one
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if manifests(page)], ids=lambda page: page.stem)
def test_manifests_on_pages_are_valid(page: Path, tmp_path: Path) -> None:
    """Who copies one is not told of an unknown key."""
    wrong = []
    for block in manifests(page):
        head = "".join(f"{key}\n" for key in ('service = "x"', "needs = []") if not re.search(f"(?m)^{key[:5]}", block))
        target = "" if "[target." in block else '\n[target.production]\nbase_url = "http://localhost"\n'
        (tmp_path / "testbay.toml").write_text(head + block + target, encoding="utf-8")
        try:
            load_manifest(tmp_path)
        except ManifestError as error:
            wrong += [] if BESIDE.search(error.what) else [error.what]

    assert wrong == []
