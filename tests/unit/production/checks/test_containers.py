"""Containers: what a check makes of what `docker` says, and of a `docker` that says nothing of use."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.samples.reports import only

from testbay import process
from testbay.fixtures import eventually
from testbay.production.checks.report import Report

Ask = Callable[..., Report]


DOCKER = """#!/bin/sh
case "$*" in
    "compose "*" gone") ;;
    "compose "*) echo "id-$(echo "$*" | sed 's/.* //')" ;;
    *nobody*) echo "Error response from daemon: No such container: nobody" >&2; exit 1 ;;
    *) cat "$(dirname "$0")/inspect.json" ;;
esac
"""


def container(
    name: str, health: str | None = "healthy", labels: dict[str, str] | None = None, **state: Any
) -> dict[str, Any]:
    """What `docker inspect` says of one."""
    facts = {"Status": "running", "OOMKilled": False, "ExitCode": 0} | state
    health_part = {"Health": {"Status": health}} if health else {}
    config = {"Labels": labels}
    return {
        "Id": name,
        "Config": config,
        "Name": f"/{name}",
        "RestartCount": state.get("restarts", 0),
        "State": facts | health_part,
    }


@pytest.fixture
def docker(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """A small program of that name that speaks of these containers."""

    def make(*containers: dict[str, Any]) -> dict[str, str]:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/docker").write_text(DOCKER, encoding="utf-8")
        (tmp_path / "bin/docker").chmod(0o755)
        (tmp_path / "bin/inspect.json").write_text(json.dumps(containers), encoding="utf-8")
        return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}

    return make


CONTAINERS = '[[check]]\nid = "c"\nkind = "container"\n'
BY_NAME = CONTAINERS + 'containers = ["api"]\n'


@pytest.mark.parametrize(
    ("facts", "lines", "found"),
    [
        (container("api"), BY_NAME, ("pass", "1 container")),
        (
            container("api", "unhealthy"),
            BY_NAME,
            ("fail", "api: health == 'healthy': 'unhealthy' is not == 'healthy'"),
        ),
        (
            container("api", None),
            BY_NAME,
            (
                "fail",
                (
                    "api: health == 'healthy': there is no health: it has no healthcheck; define one, or say "
                    "no_healthcheck = 'accept'"
                ),
            ),
        ),
        (container("api", None), BY_NAME + 'no_healthcheck = "accept"', ("pass", "1 container")),
        (container("api", restarts=3), BY_NAME, ("fail", "api: restarts == 0: 3 is not == 0")),
        (container("api", OOMKilled=True), BY_NAME, ("fail", "api: not oom_killed: not so: oom_killed = True")),
        (container("api"), BY_NAME.replace("api", "nobody"), ("fail", "there is no container 'nobody'")),
        (container("api"), CONTAINERS + 'compose = "c.yml"\nservices = ["api"]', ("pass", "1 container")),
        (container("api"), CONTAINERS + 'compose = "c.yml"\nservices = ["gone"]', ("fail", "gone has no container")),
        (
            {"Name": 5},
            BY_NAME,
            ("error", "docker container inspect answered what this testbay does not understand"),
        ),
    ],
)
def test_containers_are_as_docker_says(
    ask: Ask, docker: Callable[..., dict[str, str]], facts: dict[str, Any], lines: str, found: tuple[str, str]
) -> None:
    """Health, restarts and memory; without a healthcheck nothing is healthy unless that was chosen."""
    result = only(ask(lines, environ=docker(facts), phase="pre-deploy"))

    assert (result.verdict, result.said) == found


def labels(*, once: bool) -> dict[str, str]:
    """Compose's own, of the service `api`."""
    return {"com.docker.compose.service": "api", "com.docker.compose.oneoff": str(once)}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({"api-1": False, "api-run-1": True}, ("pass", "1 container")),
        ({"api-run-1": True}, ("fail", "api has no container")),
    ],
)
def test_what_compose_run_left_is_no_container_of_the_service(
    ask: Ask, docker: Callable[..., dict[str, str]], names: dict[str, bool], found: tuple[str, str]
) -> None:
    """It has ended, as it was to; alone it does not make the service run."""
    status = {True: "exited", False: "running"}
    made = [container(name, labels=labels(once=once), Status=status[once]) for name, once in names.items()]
    lines = CONTAINERS + 'compose = "c.yml"\nservices = ["api"]'

    result = only(ask(lines, environ=docker(*made), phase="pre-deploy"))

    assert (result.verdict, result.said) == found


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo some words >&2; echo permission denied >&2; exit 1",
            "docker container inspect failed: permission denied",
        ),
        ("exec sleep 5", "docker did not answer within 0.3 s"),
    ],
)
def test_a_docker_that_does_not_answer_is_an_error(ask: Ask, tmp_path: Path, script: str, said: str) -> None:
    """In its own words, or in time."""
    (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (tmp_path / "docker").chmod(0o755)
    lines = BY_NAME + 'timeout = "300ms"\nattempts = 1'
    found = only(ask(lines, environ={"PATH": f"{tmp_path}:/usr/bin:/bin"}))

    assert (found.verdict, found.said) == ("error", said)


def test_a_docker_that_hangs_ends_with_the_run(tmp_path: Path) -> None:
    """An interrupt does not wait for it, and does not leave it behind either."""
    (tmp_path / "docker").write_text('#!/bin/sh\necho $$ >"$0.new" && mv "$0.new" "$0.pid" && exec sleep 60\n')
    (tmp_path / "docker").chmod(0o755)
    lines = 'service = "shop"\n[[check]]\nid = "x"\nkind = "container"\ntimeout = "50s"\ncontainers = ["api"]\n'
    (tmp_path / "testbay.toml").write_text(lines, encoding="utf-8")
    argv = [sys.executable, "-m", "testbay", "check", "--phase", "pre-deploy"]
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    with (tmp_path / "said").open("wb") as said:
        running = process.spawn(argv, env=env, cwd=tmp_path, output=said)
        eventually((tmp_path / "docker.pid").exists)
        docker = process.identify(int((tmp_path / "docker.pid").read_text(encoding="utf-8")))
        running.terminate()
        code = running.wait(40)

    eventually(lambda: not docker.alive())
    assert (code, docker.pid != running.pid) == (130, True)


def test_without_docker_containers_cannot_be_asked(ask: Ask) -> None:
    """An error, not a pass."""
    found = only(ask(BY_NAME, environ={"PATH": "/nowhere"}))

    assert (found.verdict, found.said) == ("error", "docker cannot be run: No such file or directory")
