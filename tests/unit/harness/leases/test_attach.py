from pathlib import Path

import pytest
from tests.unit.conftest import Service

from testbay.errors import ManifestError
from testbay.harness.leases import attach


def test_tests_below_no_service_are_told_where_they_may_be(service: Service, project: Path) -> None:
    """A command line of pytest has no name of a service."""
    service()
    service(name="billing")

    with pytest.raises(ManifestError, match=r"which service\?") as refused:
        attach._service(project / "tests", project)

    assert refused.value.todo == (
        "have the tests below the folder of one of them, or write a testbay.toml for them: "
        f"cd {project / 'tests'} && testbay init"
    )
