from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbay.errors import SecretMissingError
from testbay.harness.stack import prepare
from testbay.harness.stack.request import Request, decide
from testbay.manifest.service import Manifest
from testbay.settings import Settings

Service = Callable[..., Manifest]
Ask = Callable[..., Request]

KEYS = """
secrets = { KEY = "/prod/key" }
[tool.testbay.replay]
secret = "KEY"
start = "python replay.py --port {port}"
"""


@pytest.fixture
def ask(service: Service, servers: None, settings: Settings, project: Path) -> Ask:
    """Asks for a stack of the service `shop` with these keys and settings."""

    def ask(keys: str = "", *, key: str = "", **changes: Any) -> Request:
        asked = replace(settings, environ={**settings.environ, "KEY": key}, **changes)
        return decide(service(keys), project, asked)

    return ask


@pytest.mark.parametrize(
    ("keys", "key", "changes", "model"),
    [
        ("", "", {}, ""),
        ("", "k", {"ci": True}, ""),
        (KEYS, "", {}, "replay"),
        (KEYS, "k", {}, "live"),
        (KEYS, "k", {"ci": True}, "live"),
        (KEYS, "", {"ci": True, "replay_asked": True}, "replay"),
        ('secrets = { KEY = "/prod/key" }', "", {}, ""),
    ],
)
def test_the_model_is_decided_on(ask: Ask, keys: str, key: str, changes: dict[str, bool], model: str) -> None:
    """A key: live. None at home: recorded answers. None in CI: only when they are asked for by name."""
    assert prepare.decide_model(ask(keys, key=key, **changes)) == model


HANDS = "testbay with-secrets shop -- COMMAND hands"


@pytest.mark.parametrize(
    ("keys", "todo"),
    [
        (
            KEYS,
            f"{HANDS} it to the command, or ask for the replay by name: TESTBAY_LLM=replay",
        ),
        ('secrets = { KEY = "/prod/key" }', f"{HANDS} it to the command"),
        ('secrets = { KEY = "" }', "set it in the environment of the job"),
    ],
)
def test_a_missing_secret_is_an_error_in_ci(ask: Ask, keys: str, todo: str) -> None:
    """Else the tests would silently test something else."""
    with pytest.raises(SecretMissingError) as refused:
        prepare.decide_model(ask(keys, ci=True))

    assert str(refused.value) == (
        "KEY is not set\n"
        "  why:      in CI a missing secret is an error, or the tests would silently test something else"
        f"{' (it is /prod/key)' if '/prod' in keys else ''}\n"
        f"  do:       {todo}"
    )


def test_a_replay_asked_for_does_not_excuse_other_secrets(ask: Ask) -> None:
    """Only the one it stands in for."""
    keys = KEYS.replace("KEY = ", 'OTHER = "/prod/other", KEY = ')

    with pytest.raises(SecretMissingError, match="OTHER is not set"):
        prepare.decide_model(ask(keys, ci=True, replay_asked=True))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("replay", "    LLM: replay (no KEY is used: a local server gives recorded answers)\n"),
        ("live", "    LLM: live\n"),
        ("", ""),
    ],
)
def test_the_decision_is_announced(ask: Ask, recording: Any, model: str, said: str) -> None:
    """Before anything starts."""
    heard = recording()
    prepare.announce(ask(KEYS), heard.voice, model)

    assert heard.text == said


def test_what_will_not_run_is_announced(ask: Ask, recording: Any) -> None:
    """A service of the compose file that has no room."""
    heard = recording()
    prepare.announce(replace(ask(), notices=("s3 does not run",)), heard.voice, "")

    assert heard.text == "    note: s3 does not run\n"


def test_no_secret_is_in_a_requests_text(ask: Ask) -> None:
    """A traceback that shows a request shows no environment."""
    assert "hunter2" not in repr(ask(KEYS, key="hunter2"))
