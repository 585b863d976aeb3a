"""The place from which a workflow of `testbay init --ci` installs testbay: the one that this one came from."""

import json
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from testbay.init import itself

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = {"vcs": "git", "commit_id": COMMIT}


class Installed:
    """A distribution as pip leaves it."""

    def __init__(self, noted: str | None) -> None:
        self.noted = noted

    def read_text(self, name: str) -> str | None:
        """The only file that is asked for."""
        assert name == "direct_url.json"
        return self.noted


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        pytest.param(None, "'testbay[embedded]'", id="an index"),
        pytest.param("{broken", "'testbay[embedded]'", id="a note that cannot be read"),
        pytest.param(
            {"url": "https://example.org/o/testbay", "vcs_info": GIT},
            f"'testbay[embedded] @ git+https://example.org/o/testbay@{COMMIT}'",
            id="git",
        ),
        pytest.param(
            {"url": "https://me:s3cret@example.org:8443/o/testbay.git?token=s3cret", "vcs_info": GIT},
            f"'testbay[embedded] @ git+https://example.org:8443/o/testbay.git@{COMMIT}'",
            id="without credentials",
        ),
        pytest.param(
            {"url": "ssh://git@example.org/o/testbay", "vcs_info": GIT},
            f"'testbay[embedded] @ git+ssh://git@example.org/o/testbay@{COMMIT}'",
            id="ssh",
        ),
        pytest.param({"url": "https://example.org/o/testbay", "vcs_info": {"vcs": "hg"}}, None, id="another system"),
        pytest.param(
            {"url": "https://example.org/o/testbay", "vcs_info": GIT | {"commit_id": "main; id"}}, None, id="no commit"
        ),
        pytest.param(
            {"url": "https://example.org/testbay-1-py3-none-any.whl", "archive_info": {}},
            "'testbay[embedded] @ https://example.org/testbay-1-py3-none-any.whl'",
            id="a file of the web",
        ),
        pytest.param({"url": "file:///testbay-1-py3-none-any.whl", "archive_info": {}}, None, id="a file of this disk"),
        pytest.param({"url": "https://example.org/$(id)", "archive_info": {}}, None, id="a path for a shell"),
        pytest.param({"url": "file:///no/such/folder", "dir_info": {}}, None, id="a folder that is gone"),
    ],
)
def test_what_ci_installs(
    monkeypatch: pytest.MonkeyPatch, noted: dict[str, object] | str | None, expected: str | None
) -> None:
    """As pip's own note says (PEP 610); None for a place that only this machine reaches."""
    text = json.dumps(noted) if isinstance(noted, dict) else noted
    monkeypatch.setattr(metadata, "distribution", lambda _: Installed(text))

    requirement = itself.requirement()

    assert requirement == expected


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://token@example.org/o/testbay.git", "git+https://example.org/o/testbay.git"),
        ("git@example.org:o/testbay.git", "git+ssh://git@example.org/o/testbay.git"),
        ("../elsewhere", None),
    ],
)
def test_a_clone_is_installed_from_its_remote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str, address: str | None
) -> None:
    """At the commit that is checked out."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["remote", "add", "origin", remote], ["commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    noted = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(metadata, "distribution", lambda _: Installed(noted))

    requirement = itself.requirement()

    assert requirement == (f"'testbay[embedded] @ {address}@{commit}'" if address else None)
