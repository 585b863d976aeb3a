"""What is taken out of the texts of a report before issues and messages are made of it."""

from pathlib import Path

import pytest

from testbay.secrets import known


def test_outside_of_a_project_our_own_credentials_are_masked(tmp_path: Path) -> None:
    """A report can be handed in from anywhere; the key alone, the last part of a webhook's address, counts, too."""
    environ = {"GITHUB_TOKEN": "ghs_0123456789", "SLACK_WEBHOOK_URL": "https://hooks.invalid/T1/keyOfTheHook"}
    mask = known.of(tmp_path, environ | {"RAILWAY_TOKEN": "11111111-rail"})

    assert mask("ghs_0123456789 https://hooks.invalid/T1/keyOfTheHook keyOfTheHook") == "*** *** ***"
    assert mask("11111111-rail") == "***"


@pytest.mark.parametrize("value", ["", "short"])
def test_what_is_too_short_masks_nothing(tmp_path: Path, value: str) -> None:
    """Else no text would be left to read."""
    assert known.of(tmp_path, {"GITHUB_TOKEN": value})("a short text") == "a short text"
