"""Containers as a real Docker engine has them: what `testbay check` says of each kind of trouble."""

import shlex
import sys
from dataclasses import replace

import pytest
from tests.system.conftest import Bay, checkout
from tests.system.fakes.boxes import HEALTHCHECK, Boxes, boxes, docker, health_is

from testbay.production.checks.report import Report, Result, from_json

pytestmark = [pytest.mark.compose, pytest.mark.xdist_group("containers")]  # one worker: one fixture

FOR_EVER = "exec sleep 600"
NO_HEALTH = "there is no health: it has no healthcheck; define one, or say no_healthcheck = 'accept'"
HUNGRY = "sleep 1; tail /dev/zero; sleep 1; exit 137"  # Docker listens a moment after the start, and not after the end
THIRD_TIME = "echo >>/tmp/starts; [ $(wc -l </tmp/starts) -ge 3 ] || exit 1; exec sleep 600"
COMPOSE = """
services:
  api:
    image: IMAGE
    network_mode: none
    entrypoint: [sleep, "600"]
    healthcheck: {test: ["CMD", "true"], interval: 100ms}
  worker:
    image: IMAGE
    network_mode: none
    entrypoint: [sleep, "600"]
    healthcheck: {test: ["CMD", "false"], interval: 100ms, retries: 1}
  idle:
    image: IMAGE
    profiles: [never]
"""


def start_all(made: Boxes) -> None:
    """One for each thing that a container can be, waited for until it is that."""
    healthy = ("--health-cmd=true", *HEALTHCHECK)
    made.start("healthy", FOR_EVER, *healthy)
    made.start("unhealthy", FOR_EVER, "--health-cmd=echo '<b>no answer</b>'; exit 1", *HEALTHCHECK)
    made.start("starting", FOR_EVER, "--health-cmd=false", "--health-start-period=1h", *HEALTHCHECK)
    made.start("unchecked", FOR_EVER)
    made.start("restarted", THIRD_TIME, "--restart=always", *healthy)
    made.start("hungry", HUNGRY, "--memory=16m", "--memory-swap=16m")
    made.start("exited", "exit 3", *healthy)
    made.start("paused", FOR_EVER, *healthy)
    made.wait(made.name("healthy"), health_is("healthy"))
    made.wait(made.name("unhealthy"), health_is("unhealthy"))
    made.wait(made.name("restarted"), lambda it: it["RestartCount"] == 2 and health_is("healthy")(it))
    made.wait(made.name("hungry"), lambda it: it["State"]["Status"] == "exited")
    made.wait(made.name("exited"), lambda it: it["State"]["Status"] == "exited")
    made.wait(made.name("paused"), health_is("healthy"))
    docker("pause", made.name("paused"))


def check(bay: Bay, **checks: str) -> dict[str, Result]:
    """Each check by its lines; asked by the command, before a deploy."""
    tables = [f'[[check]]\nid = "{name}"\nkind = "container"\n{lines}\n' for name, lines in checks.items()]
    (bay.service / "testbay.toml").write_text('service = "shop"\n' + "".join(tables), encoding="utf-8")
    call = shlex.join([sys.executable, "-m", "testbay", "check", "--phase", "pre-deploy", "--json"])
    report: Report = from_json(bay.type(f"{call} 2>/dev/null").out)
    return {result.check: result for result in report.results}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Asked once, of all of them; names are shown without their prefix."""
    with checkout(tmp_path_factory.mktemp("containers")) as bay, boxes() as made:
        start_all(made)
        words = ("healthy", "unhealthy", "starting", "unchecked", "restarted", "hungry", "exited", "paused", "missing")
        tables = {word: f'containers = ["{made.name(word)}"]' for word in words}
        tables["accepted"] = tables["unchecked"] + '\nno_healthcheck = "accept"'
        tables["both"] = f'containers = ["{made.name("healthy")}", "{made.name("exited")}"]'
        results = check(bay, **tables)
    return {name: without(made.prefix + "-", result) for name, result in results.items()}


def without(prefix: str, result: Result) -> Result:
    """The same for whatever names the containers had."""
    said, *evidence = (line.replace(prefix, "") for line in (result.said, *result.evidence))
    return replace(result, said=said, evidence=tuple(evidence))


@pytest.mark.parametrize(
    ("name", "verdict", "said"),
    [
        ("healthy", "pass", "1 container"),
        ("unhealthy", "fail", "unhealthy: health == 'healthy': 'unhealthy' is not == 'healthy'"),
        ("starting", "fail", "starting: health == 'healthy': 'starting' is not == 'healthy'"),
        (
            "unchecked",
            "fail",
            f"unchecked: health == 'healthy': {NO_HEALTH}",
        ),
        ("accepted", "pass", "1 container"),
        ("restarted", "fail", "restarted: restarts == 0: 2 is not == 0"),
        ("hungry", "fail", "hungry: status == 'running': 'exited' is not == 'running'"),
        ("exited", "fail", "exited: status == 'running': 'exited' is not == 'running'"),
        ("paused", "fail", "paused: status == 'running': 'paused' is not == 'running'"),
        ("missing", "fail", "there is no container 'missing'"),
        ("both", "fail", "exited: status == 'running': 'exited' is not == 'running'"),
    ],
)
def test_a_container_is_as_docker_has_it(found: dict[str, Result], name: str, verdict: str, said: str) -> None:
    """Each trouble in a line of its own words."""
    assert (found[name].verdict, found[name].said) == (verdict, said)


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("healthy", ["healthy: running, healthy, 0 restarts"]),
        ("unhealthy", ["unhealthy: running, unhealthy, 0 restarts", "its healthcheck said: <b>no answer</b>"]),
        ("unchecked", ["unchecked: running, no healthcheck, 0 restarts"]),
        ("restarted", ["restarted: running, healthy, 2 restarts"]),
        (
            "hungry",
            [
                f"health == 'healthy': {NO_HEALTH}",
                "not oom_killed: not so: oom_killed = True",
                "hungry: exited with code 137, no healthcheck, 0 restarts, out of memory",
            ],
        ),
        ("missing", []),
    ],
)
def test_what_docker_knows_is_evidence(found: dict[str, Result], name: str, evidence: list[str]) -> None:
    """Every rule that does not hold, the state in a line, and what the healthcheck said."""
    assert [line for line in found[name].evidence if not line.startswith("attempt ")] == evidence


def test_a_compose_project_is_asked_by_its_services(bay: Bay) -> None:
    """Each service's containers; one that was never started has none."""
    with boxes() as made:
        (bay.service / "compose.yaml").write_text(COMPOSE.replace("IMAGE", made.image), encoding="utf-8")
        compose = ["compose", "--project-name", made.prefix, "--file", str(bay.service / "compose.yaml")]
        try:
            docker(*compose, "up", "--detach", "--scale", "api=2")
            made.wait(f"{made.prefix}-worker-1", health_is("unhealthy"))
            for number in (1, 2):
                made.wait(f"{made.prefix}-api-{number}", health_is("healthy"))
            project = f'compose = "compose.yaml"\nproject = "{made.prefix}"\n'
            services = ('"api"', '"api", "worker"', '"idle"', '"apy"')
            lines = {f"c{number}": f"{project}services = [{names}]" for number, names in enumerate(services)}
            told = [(result.verdict, result.said) for result in check(bay, **lines).values()]
        finally:
            docker(*compose, "down", "--volumes", "--timeout", "0")

    assert told == [
        ("pass", "2 containers"),
        ("fail", f"{made.prefix}-worker-1: health == 'healthy': 'unhealthy' is not == 'healthy'"),
        ("fail", "idle has no container"),
        ("error", "docker compose --file failed: no such service: apy"),
    ]
