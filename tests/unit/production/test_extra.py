"""Commands whose packages are an extra."""

import pytest

from testbay.errors import EngineUnavailableError
from testbay.manifest import environments
from testbay.production import extra


def test_a_command_without_its_packages_says_what_brings_them() -> None:
    """Each that is missing is named, and no traceback of an import comes instead."""
    with pytest.raises(EngineUnavailableError) as refused:
        extra.demand("testbay check", ("json", "not_installed", "neither_is_this"))

    assert str(refused.value) == (
        "testbay check needs packages that are not installed: not_installed, neither_is_this\n"
        "  why:      they come with testbay's extra `checks`\n"
        f"  do:       {environments.adding('checks')}"
    )


def test_what_is_installed_is_demanded_in_silence() -> None:
    """Development installs the extra."""
    extra.demand("testbay check", extra.CHECKS + extra.METRICS)
