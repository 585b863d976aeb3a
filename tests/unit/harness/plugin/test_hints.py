"""What leads from an error to its remedy."""

import pytest

from testbay.harness.plugin import hints

PORTS = "`ports = {{ {0} = {1} }}` in the manifest has `testbay run` put it there; or let the suite read {2}"
REFUSED = [
    (OSError("Error 111 connecting to localhost:6379. Connection refused."), ("dragonfly", 6379, "REDIS_URL")),
    (
        OSError('connection to server at "127.0.0.1", port 5432 failed: Connection refused'),
        ("postgres", 5432, "DATABASE_URL"),
    ),
    (ConnectionRefusedError("[Errno 111] Connect call failed ('127.0.0.1', 4222)"), ("nats", 4222, "NATS_URL")),
]


@pytest.mark.parametrize(("error", "asked"), REFUSED)
def test_suite_that_expects_a_server_on_its_usual_port(
    error: OSError, asked: tuple[str, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told how to have it there, unless that is where it is."""
    monkeypatch.delenv(asked[2], raising=False)
    told = hints.hint(error)
    monkeypatch.setenv(asked[2], f"x://localhost:{asked[1]}/0")

    assert told.endswith(PORTS.format(*asked))
    assert hints.hint(error) == ""


def test_other_refusals_are_the_suites_own() -> None:
    """A port of the project's, or of another machine."""
    errors = [OSError("localhost:8000: Connection refused"), OSError("Error 111 connecting to redis:6379. refused")]

    assert [hints.hint(error) for error in errors] == ["", ""]


class AppRegistryNotReady(Exception):  # noqa: N818 - Django's name
    """Django's own, by name and message."""


class ImproperlyConfigured(Exception):  # noqa: N818 - Django's name
    """Django's own, by name and message."""


@pytest.mark.parametrize(
    "error",
    [
        AppRegistryNotReady("Apps aren't loaded yet."),
        ImproperlyConfigured("Requested setting INSTALLED_APPS, but settings are not configured. You must either"),
    ],
)
def test_django_without_its_plugin(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest alone does not set Django up; where the plugin is installed, the error has another cause."""
    monkeypatch.setattr(hints, "find_spec", lambda _: None)
    told = hints.hint(error)
    monkeypatch.setattr(hints, "find_spec", lambda name: name)

    assert told == "testbay: pytest-django sets Django up before the tests are imported, and is not installed here"
    assert hints.hint(error) == ""
