"""What a stranger meets first, with plain pytest: each error says what leads out of it."""

import pytest
from tests.system.fakes.guest import Guest

SET_BY_RUN = "testbay: DATABASE_URL is set for the whole run by `testbay run`"
WIDER = "testbay: `postgres` is one test's. For a wider scope override `bay` in your conftest"
MODULE = 'import os\nURL = os.environ["DATABASE_URL"]\n'
CLASS = """import os, unittest
class TestIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.url = os.environ["DATABASE_URL"]
    def test_it(self):
        assert self.url
"""
SESSION = """import os, pytest
@pytest.fixture(scope="session")
def url():
    return os.environ["DATABASE_URL"]
def test_it(url):
    assert url
"""


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"tests/test_it.py": MODULE + "def test_it():\n    assert URL\n"}, id="module"),
        pytest.param(
            {"tests/conftest.py": MODULE, "tests/test_it.py": "def test_it():\n    pass\n"},
            id="conftest",
            marks=pytest.mark.slow,
        ),
        pytest.param({"tests/test_it.py": CLASS}, id="setUpClass", marks=pytest.mark.slow),
        pytest.param({"tests/test_it.py": SESSION}, id="session"),
    ],
)
def test_missing_variable_leads_to_testbay_run(guest: Guest, files: dict[str, str]) -> None:
    """And there it passes."""
    guest.write(files)

    hand, run = guest.pytest("tests"), guest.run("run")

    assert (hand.code != 0, SET_BY_RUN in hand.out) == (True, True), hand.out
    assert run.code == 0, run.out


def test_wider_fixture_is_told_of_leases(guest: Guest) -> None:
    """The words of pytest say nothing of the remedy."""
    text = '@pytest.fixture(scope="session")\ndef wide(postgres):\n    return postgres\n'
    guest.write({"tests/test_it.py": f"import pytest\n{text}\ndef test_it(wide):\n    pass\n"})

    done = guest.pytest()

    assert (done.code, WIDER in done.out) == (1, True), done.out


def test_workers_that_share_a_database_are_told(guest: Guest) -> None:
    """A test without a fixture of testbay's may meet what another worker's test did to their database."""
    raised = "raise RuntimeError('relation \"orders\" does not exist')"
    guest.write({"tests/test_it.py": f"def test_shares():\n    {raised}\n\ndef test_owns(worker_id):\n    {raised}\n"})

    assert guest.pytest("-n", "2").out.count("testbay: where the tests of 2 workers share one database") == 1


def test_suite_without_a_manifest_hears_nothing(guest: Guest) -> None:
    """It may be installed for another project."""
    guest.write({"tests/test_it.py": SESSION, "testbay.toml": ""})

    assert "testbay:" not in guest.pytest().out
