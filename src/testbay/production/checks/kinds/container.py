"""The check of containers: by default running, healthy, never restarted and never out of memory."""

import json
import re
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from testbay import process
from testbay.manifest.checks import ContainerCheck
from testbay.manifest.expressions.evaluate import Missing
from testbay.manifest.expressions.parse import condition
from testbay.production.checks.context import CheckContext, FoundError, Passed, judge
from testbay.text import plural


def ask(context: CheckContext, check: ContainerCheck) -> Passed:
    """Inspect each container with Docker.

    Raises:
        FoundError: One is not there, or not as expected; or Docker does not answer.
    """
    wanted = check.containers or _of_compose(context, check)
    found = _inspected(context, check, wanted)
    wrong = [error for facts in found if (error := _judged(check, facts)) is not None]
    if wrong:
        raise FoundError("fail", wrong[0].said, [line for e in wrong for line in (e.said, *e.evidence)][1:])
    return Passed(said=plural(len(found), "container"), evidence=tuple(_line(facts) for facts in found))


def _judged(check: ContainerCheck, facts: dict[str, Any]) -> FoundError | None:
    """Judge a container; conditions on its health are left out if it has no healthcheck and that is accepted."""
    accepted = check.no_healthcheck == "accept" and isinstance(facts["health"], Missing)
    try:
        judge([rule for rule in check.expect if not (accepted and "health" in condition(rule).names)], facts)
    except FoundError as error:
        evidence = [*error.evidence, _line(facts), *facts["heard"]]
        return FoundError("fail", f"{facts['name']}: {error.said}", evidence)
    return None


def _of_compose(context: CheckContext, check: ContainerCheck) -> list[str]:
    """The ids of the services' containers, including ended ones."""
    ids: list[str] = []
    for service in check.services:
        project = ["--project-name", check.project] if check.project else []
        argv = ["docker", "compose", "--file", str(check.compose), *project, "ps", "--all", "--quiet", service]
        containers = _docker(context, check, argv).split()
        if not containers:
            raise FoundError("fail", f"{service} has no container")
        ids += containers
    return ids


def _inspected(context: CheckContext, check: ContainerCheck, wanted: list[str]) -> list[dict[str, Any]]:
    output = _docker(context, check, ["docker", "container", "inspect", *wanted])
    try:
        return [_facts(entry) for entry in _lasting(json.loads(output), () if check.containers else check.services)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FoundError("error", "docker container inspect answered what this testbay does not understand") from None


def _lasting(entries: list[dict[str, Any]], services: Sequence[str]) -> list[dict[str, Any]]:
    """Drop containers of `docker compose run` for these services: they are meant to end."""
    if not services:
        return entries
    labelled = [(entry, entry["Config"]["Labels"] or {}) for entry in entries]
    lasting = [(entry, labels) for entry, labels in labelled if labels.get("com.docker.compose.oneoff") != "True"]
    lasting_services = {labels.get("com.docker.compose.service") for _, labels in lasting}
    without = [service for service in services if service not in lasting_services]
    if without and len(lasting) < len(entries):
        raise FoundError("fail", f"{without[0]} has no container")
    return [entry for entry, _ in lasting]


def _facts(entry: dict[str, Any]) -> dict[str, Any]:
    state = entry["State"]
    none = Missing("it has no healthcheck; define one, or say no_healthcheck = 'accept'")
    checked = state.get("Health") or {}
    health = checked.get("Status") or "none"
    failed = [entry["Output"].strip() for entry in checked.get("Log") or [] if entry["ExitCode"]]
    return {
        "name": entry["Name"].lstrip("/"),
        "status": state["Status"],
        "health": none if health == "none" else health,
        "restarts": entry["RestartCount"],
        "oom_killed": state["OOMKilled"],
        "exit_code": state["ExitCode"],
        "heard": [f"its healthcheck said: {failed[-1]}"] if failed and failed[-1] else [],
    }


def _line(facts: dict[str, Any]) -> str:
    health = "no healthcheck" if isinstance(facts["health"], Missing) else facts["health"]
    ended = f" with code {facts['exit_code']}" if facts["status"] == "exited" else ""
    oom = ", out of memory" if facts["oom_killed"] else ""
    return f"{facts['name']}: {facts['status']}{ended}, {health}, {plural(facts['restarts'], 'restart')}{oom}"


def _docker(context: CheckContext, check: ContainerCheck, argv: list[str]) -> str:
    try:
        done = process.run(
            argv, env=context.environ, cwd=context.root, timeout_s=check.timeout, death_signal=signal.SIGTERM
        )
    except OSError as error:
        raise FoundError("error", f"docker cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise FoundError("error", f"docker did not answer within {check.timeout:g} s") from None
    if done.code == 0:
        return done.out
    reason = (done.err.strip().splitlines() or ["it said nothing"])[-1]
    if absent := re.search(r"(?i)no such container: (\S+)", reason):
        raise FoundError("fail", f"there is no container {absent[1]!r}")
    raise FoundError("error", f"{' '.join(argv[:3])} failed: {reason}")
