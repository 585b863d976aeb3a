"""Who is given the stack's password: servers whose file sets none, as far as clients can learn it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.harness.stack import passwords as given_out
from testbay.harness.stack import planning
from testbay.harness.stack.request import Request, decide
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.service import Manifest
from testbay.settings import Settings

Ask = Callable[..., Request]


@pytest.fixture
def ask(service: Callable[..., Manifest], servers: None, settings: Settings, project: Path) -> Ask:
    """Asks for a stack of the service `shop` as one stack starts it."""
    return lambda keys="": decide(service(keys), project, settings).with_password("5ecret")


def passwords(request: Request) -> dict[str, str]:
    return {name: planning.endpoint(request, "s1", name, 1).password for name in request.services}


def test_servers_without_one_in_the_file_get_the_stacks(ask: Ask) -> None:
    """PostgreSQL keeps the file's own; the password is no part of what makes two stacks the same."""
    asked = ask()

    assert passwords(asked) == {"postgres": "secret", "dragonfly": "5ecret", "nats": "5ecret"}
    assert asked.key == asked.with_password("other").key
    assert "5ecret" not in repr(asked)


@pytest.mark.parametrize(
    ("keys", "name", "why"),
    [
        ("ports = { redis = 6379 }", "dragonfly", "the manifest fixes its port (6379)"),
        ('env = { BUS = "{nats.host}:{nats.port}" }', "nats", "the manifest hands on its host and port without it"),
        (
            'env = { U = "{redis.url}", H = "{redis.host}", P = "{redis.port}" }',
            "dragonfly",
            "the manifest hands on its host and port without it",
        ),
        ('start = "x --redis {redis.port} {port}"', "dragonfly", "the manifest hands on its host and port without it"),
    ],
)
def test_clients_that_cannot_learn_it_need_none(ask: Ask, keys: str, name: str, why: str) -> None:
    """A suite with a port of its own, or with host and port alone, runs as before, and the run says what that means."""
    asked = ask(keys)

    assert passwords(asked)[name] == ""
    who = asked.called(name)
    assert f"{who} asks for no password, since {why}: other users of this machine can log in" in asked.notices


def test_a_manifest_that_hands_on_more_than_the_port_does_not_open_it(ask: Ask) -> None:
    """The URL and no host, or the password itself."""
    asked = ask('env = { P = "{dragonfly.port}", W = "{dragonfly.password}", N = "{nats.port}", U = "{nats.url}" }')

    assert passwords(asked) == {"postgres": "secret", "dragonfly": "5ecret", "nats": "5ecret"}
    assert [note for note in asked.notices if "asks for no password" in note] == []


def test_a_container_beside_a_server_leaves_it_open(ask: Ask) -> None:
    """It was given the address that the compose file has, without a password; an embedded stack runs no helper."""
    asked, helper = ask(), ComposeService(key="worker", image="worker:1")

    def open_to_all(engine: str) -> list[str]:
        return list(given_out.notes(asked.manifest, asked.services, [helper], engine))

    why = "since the container of 'worker' runs beside it: other users of this machine can log in"
    assert open_to_all("compose") == [f"nats asks for no password, {why}"]
    assert open_to_all("embedded") == []
