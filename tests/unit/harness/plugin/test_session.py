"""The manifest of a test, in a workspace whose packages have one each."""

from pathlib import Path

import pytest

from testbay.harness.plugin import session


@pytest.mark.parametrize(
    ("tests", "package"),
    [
        ("packages/alpha/tests", "packages/alpha"),
        ("linked", "packages/alpha"),
        ("packages/beta/tests", "packages/beta"),
    ],
)
def test_linked_tests_have_the_manifest_around_the_link_or_its_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tests: str, package: str
) -> None:
    """The link's own place counts more: several packages may share tests."""
    monkeypatch.delenv("TESTBAY_STACK", raising=False)
    for name in ("packages/alpha", "packages/beta"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "testbay.toml").touch()
    (tmp_path / "packages/alpha/tests").mkdir()
    (tmp_path / "linked").symlink_to("packages/alpha/tests")
    (tmp_path / "packages/beta/tests").symlink_to("../alpha/tests")

    assert session._nearest_manifest(tmp_path / tests, tmp_path) == tmp_path / package
