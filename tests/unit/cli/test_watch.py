"""`testbay note`: who says it, and what."""

import getpass
import os

import pytest

from testbay.cli import watch
from testbay.errors import ManifestError


@pytest.mark.parametrize("refusal", [KeyError("uid not found"), OSError("no username set in the environment")])
def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch, refusal: Exception) -> None:
    """As in a container that runs as any user; before Python 3.13 and since."""

    def unknown() -> str:
        raise refusal

    monkeypatch.setattr(getpass, "getuser", unknown)

    assert watch.user_name() == f"user {os.geteuid()}"


def test_a_note_says_something() -> None:
    """An empty line on the live page helps no one."""
    with pytest.raises(ManifestError, match="the note is empty"):
        watch.note("  ")
