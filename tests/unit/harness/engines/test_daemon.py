"""What is said when Docker is not there, not ours, or not enough; `docker` is a small program of each kind."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.served import Handler, serving

from testbay import settings
from testbay.errors import EngineUnavailableError
from testbay.harness.engines import docker as daemon
from testbay.harness.stack import choice, request
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.load import load_manifest

SOCKET = "unix:///nowhere/docker.sock"
# What each real CLI answers, by sub-command: standard output, standard error, exit code.
HEALTHY = {
    "context": (SOCKET, "", 0),
    "compose": ("2.26.1", "", 0),
    "version": ("27.1.0 1.46", "", 0),
    "info": ("[name=seccomp,profile=builtin]", "", 0),
}
DOWN = f"Cannot connect to the Docker daemon at {SOCKET}. Is the docker daemon running?"
DENIED = (
    f"permission denied while trying to connect to the Docker daemon socket at {SOCKET}: connect: permission denied"
)


@pytest.fixture
def docker(tmp_path: Path) -> "FakeDocker":
    """A `docker` on a PATH of its own."""
    return FakeDocker(tmp_path / "bin")


class FakeDocker:
    """Writes a shell script that answers as told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.environ = {"PATH": str(folder)}

    def answers(self, **changes: tuple[str, str, int]) -> dict[str, str]:
        """Install it; returns the environment that finds it."""
        cases = [
            f"{word}) echo '{out}'; echo '{err}' >&2; exit {code} ;;"
            for word, (out, err, code) in (HEALTHY | changes).items()
        ]
        script = self._folder / "docker"
        script.write_text("#!/bin/sh\ncase $1 in\n" + "\n".join(cases) + "\nesac\n")
        script.chmod(0o755)
        return self.environ


def test_engine_that_answers_is_described(docker: FakeDocker) -> None:
    """Address, versions, and whether it runs without root."""
    found = daemon.find(docker.answers())

    assert found == daemon.Daemon(
        address=SOCKET, version="27.1.0", api_version="1.46", compose_version="2.26.1", rootless=False
    )


def test_rootless_engine_is_as_good(docker: FakeDocker) -> None:
    """A rootless engine is used, and said to be one."""
    found = daemon.find(docker.answers(info=("[name=seccomp name=rootless]", "", 0)))

    assert found.rootless


UNUSABLE = {
    "no cli": ({}, "no docker command on the PATH"),
    "daemon down": ({"version": ("", DOWN, 1)}, f"no Docker engine answers at {SOCKET}"),
    "permission": ({"version": ("", DENIED, 1)}, f"permission denied on the Docker socket {SOCKET}"),
    "compose v1": ({"compose": ("", "docker: 'compose' is not a docker command.", 1)}, "docker has no Compose v2"),
    "remote tcp": (
        {"context": ("tcp://ci.example.com:2376", "", 0)},
        "the Docker engine is another machine's: tcp://ci.example.com:2376",
    ),
    "remote ssh": (
        {"context": ("ssh://me@ci.example.com", "", 0)},
        "the Docker engine is another machine's: ssh://me@ci.example.com",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_engine_says_what_and_what_to_do(docker: FakeDocker, case: str) -> None:
    """Each way has a text of its own, and each names the way out without Docker."""
    changes, what = UNUSABLE[case]
    environ = docker.environ if case == "no cli" else docker.answers(**changes)

    with pytest.raises(EngineUnavailableError) as caught:
        daemon.find(environ)

    assert caught.value.what == what
    assert "--engine embedded" in caught.value.todo


def test_docker_that_is_too_slow_is_not_called_missing(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed need not be installed."""
    monkeypatch.setattr(daemon, "_LOOK_LIMIT_S", 0.2)

    with pytest.raises(EngineUnavailableError, match=r"^docker \w+ did not answer within 0\.2 s\n"):
        daemon.find(docker.answers(compose=("'; while :; do :; done; echo '", "", 0)))


def test_engine_on_a_loopback_port_is_this_machine(docker: FakeDocker) -> None:
    """tcp:// to loopback is no other machine."""
    address = "tcp://127.0.0.1:2375"

    assert daemon.find(docker.answers(context=(address, "", 0))).address == address


def test_auto_falls_back_and_says_why(docker: FakeDocker, tmp_path: Path) -> None:
    """Without a usable Docker `auto` is embedded, and the reason is the Docker error's first line."""
    environ = docker.answers(version=("", DOWN, 1)) | {"TESTBAY_CACHE_DIR": str(tmp_path)}
    chosen = choice.choose(settings.load(environ=environ), [], lambda _: None)

    assert chosen == ("embedded", f"auto: no Docker engine answers at {SOCKET}", None)


def test_compose_by_name_never_falls_back(docker: FakeDocker, tmp_path: Path) -> None:
    """An engine asked for by name is that engine or an error."""
    environ = docker.answers(version=("", DOWN, 1)) | {"TESTBAY_CACHE_DIR": str(tmp_path)}

    with pytest.raises(EngineUnavailableError, match="no Docker engine answers"):
        choice.choose(settings.load(engine="compose", environ=environ), [], lambda _: None)


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
# The SDK leaves a socket open that could not connect; when Python says so differs from version to version.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_engine_that_the_sdk_cannot_reach_is_no_crash(docker: FakeDocker, tmp_path: Path) -> None:
    """A CLI that answers for an engine nobody can talk to: still one clear error, not a traceback."""
    environ = docker.answers() | {"TESTBAY_CACHE_DIR": str(tmp_path)}
    services = [ComposeService(key="db", image="postgres:18")]

    with pytest.raises(EngineUnavailableError, match=f"no Docker engine answers at {SOCKET}"):
        choice.choose(settings.load(engine="compose", environ=environ), services, lambda _: None)
    gc.collect()  # the SDK leaves the socket of a failed connection to the collector: let it complain here, not later


@contextmanager
def answering(docker: FakeDocker, status: int, answer: dict[str, Any]) -> Iterator[daemon.Daemon]:
    """An engine that gives every question about an image this answer."""

    class Engine(Handler):
        def do_GET(self) -> None:
            self.reply(status, json.dumps(answer).encode())

    with serving(Engine) as url:
        yield daemon.find(docker.answers(context=(url.replace("http:", "tcp:"), "", 0)))


@pytest.mark.parametrize(
    ("status", "said", "what"),
    [
        (400, "no such image: postgres:: invalid reference format", "'postgres:' is not the name of an image"),
        (500, "no space left on device", "the Docker engine at {address} answers with an error"),
    ],
)
def test_an_engine_that_refuses_is_not_called_absent(docker: FakeDocker, status: int, said: str, what: str) -> None:
    """It answers: with its own words, and an empty variable in an image's name is told as such."""
    with answering(docker, status, {"message": said}) as found, pytest.raises(EngineUnavailableError) as caught:
        daemon.missing_images(found, ["postgres:"])

    assert (caught.value.what, caught.value.evidence) == (what.format(address=found.address), said)


@pytest.mark.parametrize(("status", "notes"), [(200, 1), (404, 0)])
def test_a_built_image_that_is_taken_as_it_is_is_said(
    docker: FakeDocker, tmp_path: Path, status: int, notes: int
) -> None:
    """Compose builds it only where it is not there: the tests may meet what the Dockerfile made of it last time."""
    environment = "environment: {POSTGRES_PASSWORD: x}"
    (tmp_path / "compose.yml").write_text(f"services:\n  db: {{image: 'own:1', build: ., {environment}}}\n")
    (tmp_path / "Dockerfile").write_text("FROM postgres:16\n")
    (tmp_path / "testbay.toml").write_text("service = 'shop'\nneeds = ['postgres']\n")
    with answering(docker, status, {"Id": "1", "message": "No such image"}) as found:
        environ = docker.environ | {"TESTBAY_CACHE_DIR": str(tmp_path / "cache"), "DOCKER_HOST": found.address}
        asked = request.decide(load_manifest(tmp_path), tmp_path, settings.load(engine="compose", environ=environ))

    said = "service 'db': its image own:1 is here and not built again; `docker compose build` does that"
    assert asked.notices == (said,)[:notes]


def test_a_path_with_a_folder_of_somebody_elses_is_a_machine_without_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `sudo -u`: of a program that is nowhere, the system then says that it is forbidden."""

    def run(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "docker")

    monkeypatch.setattr("testbay.process.run", run)
    with pytest.raises(EngineUnavailableError, match="no docker command"):
        daemon.find({"PATH": "/somebody/bin"})
