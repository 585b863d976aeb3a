"""What a manifest names has to be there, and of the right kind."""

import pytest
from tests.unit.conftest import Service

from testbay.errors import ManifestError


def test_migrations_are_a_folder(service: Service) -> None:
    """A file there would be called a folder without migrations, after the servers had started."""
    with pytest.raises(ManifestError, match=r"migrations = 'pyproject\.toml' is a file"):
        service('migrations = "pyproject.toml"')
