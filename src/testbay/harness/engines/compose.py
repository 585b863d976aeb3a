"""The compose engine: containers from a compose file that testbay writes, under its own project name.

It lives in a guard, which has no site-packages, so it talks to Docker through the CLI that Compose needs anyway. One
`docker logs --follow` per container writes the log file for the evidence; when it ends, the container has ended.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from testbay import ports, process, settings
from testbay.errors import EngineUnavailableError
from testbay.harness.engines import Report
from testbay.harness.engines.embedded import Embedded
from testbay.harness.plans import ComposePlan, ProcessPlan, Published, StackPlan, name_of
from testbay.logs import tail
from testbay.text import visible

BUILT = "testbay-built/"  # how the images are called that a run builds since the file gives them no name
_DOWN_ATTEMPTS = 6
_LOOK_AGAIN_S = 0.5
_CLI_LIMIT_S = 60.0
_LAST_WORDS = "8"  # lines


class Compose:
    """The containers of one stack."""

    def __init__(self) -> None:
        self._project = ""
        self._held: list[Any] = []
        self._followers: dict[str, tuple[str, Path, process.Child]] = {}
        self._servers: set[str] = set()
        self._native = Embedded()  # for the replay stand-in, a native process

    def start(self, plan: StackPlan, report: Report) -> None:
        """Hold the ports, bring the project up, follow every container's log."""
        compose = plan["compose"]
        self._servers = set(compose["dependencies"].values())
        self._project = name_of(plan["id"])
        held = self._hold(compose["ports"])
        where = settings.environ().get("DOCKER_HOST", "")
        report({"compose_project": self._project, "docker_host": where, "ports": held})
        self._native.start(plan, report)
        published = [*compose["ports"], *compose["helpers"]]
        file = Path(plan["home"]) / "compose.yml"
        file.touch(mode=0o600)
        file.write_text(_text(compose["document"], published, held | self._hold(compose["helpers"])), encoding="utf-8")
        self._up(compose, file, Path(plan["home"]) / "compose.log", report)
        for key, container in _containers(self._project).items():
            name = compose["dependencies"].get(key, key)
            self._follow(name, container, Path(plan["logs_dir"]) / f"{name}.log", since="0")

    def serve(self, server: ProcessPlan) -> int:
        return self._native.serve(server)

    def unserve(self, name: str) -> None:
        self._native.unserve(name)

    def _hold(self, wanted: list[Published]) -> dict[str, int]:
        held = {}
        for published in wanted:
            port, lock = ports.hold(published["port"], fixed=published["fixed"], name=published["name"])
            self._held.append(lock)
            held[published["name"]] = port
        return held

    def _up(self, compose: ComposePlan, file: Path, log: Path, report: Report) -> None:
        """Run `up` in a recorded session of its own: the CLI's plugin would outlive the CLI and keep creating."""
        files = ["-f", str(file), "--project-directory", compose["folder"], "--env-file", os.devnull]
        argv = ["docker", "compose", "-p", self._project, *files, "up", "-d", "--pull", "never"]
        built = any(service["image"].startswith(BUILT) for service in compose["document"]["services"].values())
        argv += ["--build"] if built else []
        with log.open("ab") as output:
            env = {**settings.environ(), **compose["env"]}
            child = process.spawn(argv, env=env, stdin=subprocess.DEVNULL, output=output, new_session=True)
        report({"pids": {"docker compose up": process.identify(child.pid)}})
        if child.wait() != 0:
            raise EngineUnavailableError(
                f"docker compose up failed with exit code {child.returncode}",
                why="its last lines say",
                todo="fix what they name, or use --engine embedded",
                evidence="\n".join([tail(log), *_last_words(self._project)]),
            )

    def _follow(self, name: str, container: str, log: Path, *, since: str) -> None:
        with log.open("ab") as output:
            argv = ["docker", "logs", "--follow", "--since", since, container]
            child = process.spawn(argv, stdin=subprocess.DEVNULL, output=output)
        self._followers[name] = (container, log, child)

    def snapshot(self, name: str, template: str) -> bool:  # noqa: ARG002 - the Protocol's; nothing to keep here
        """Keep nothing: containers have their data on a RAM disk."""
        return False

    def exited(self) -> list[tuple[str, int]]:
        """Return the containers that have ended: their log ended, and they are not running any more."""
        ended = self._native.exited()
        for name, (container, log, child) in list(self._followers.items()):
            if child.poll() is None:
                continue
            del self._followers[name]
            state = _state(container)
            if state.get("Running"):
                self._follow(name, container, log, since=f"{time.time():.3f}")  # it was the daemon that hung up
            else:
                code = int(state.get("ExitCode", -signal.SIGKILL))
                ended += [(name, code)] if code or name in self._servers else []  # a job of the file's ends well
        return ended

    def stop(self) -> list[str]:
        """Remove the containers at once: they hold nothing worth an orderly shutdown."""
        for _, _, child in self._followers.values():
            child.kill()
            child.wait()
        left = self._native.stop()
        left += down(self._project, certain=True) if self._project else []
        for lock in self._held:
            lock.close()
        return left


def collect(record: dict[str, Any]) -> list[str]:
    """Clean up after a dead guard, from its record: first an `up` still running, then what it created."""
    for leader in record.get("pids", {}).values():
        process.end(process.session_of(process.ProcessId(*leader)), first=signal.SIGKILL)
    project = record.get("compose_project")
    if project != name_of(record.get("id", "")):
        return []
    return down(project, certain=False, host=record.get("docker_host", ""))


def down(project: str, *, certain: bool, host: str = "") -> list[str]:
    """Remove a project's containers, volumes and networks by its name alone.

    Args:
        project: Its name.
        host: The address of its Docker engine, if it is not the one that the CLI talks to today.
        certain: Whether `up` is known to have ended. If it was killed, the daemon may still be at work on its last
            requests, and what they make appears after `down` found nothing: then it takes two empty looks.

    Returns:
        What is still there, as text for a person.
    """
    looks_needed = 1 if certain else 2
    left: list[str] = []
    for _ in range(_DOWN_ATTEMPTS):
        _docker("compose", "-p", project, "down", "-v", "--remove-orphans", "-t", "0", host=host)
        try:
            left = _things_of(project, host)
        except OSError:
            return [f"the containers of {project}, since docker does not answer"]
        looks_needed -= not left
        if looks_needed == 0:
            return []
        time.sleep(_LOOK_AGAIN_S)
    return left


def _things_of(project: str, host: str) -> list[str]:
    """List a project's containers, networks and volumes.

    Raises:
        OSError: Docker does not answer, so it is not known.
    """
    label = f"label=com.docker.compose.project={project}"
    found = []
    for kind, *listing in (
        ("container", "ps", "-aq"),
        ("network", "network", "ls", "-q"),
        ("volume", "volume", "ls", "-q"),
    ):
        answer = _docker(*listing, "--filter", label, host=host)
        if answer.code != 0:
            raise OSError(answer.err)
        found += [f"{kind} {name}" for name in answer.out.split()]
    return found


def _text(document: dict[str, Any], published: list[Published], held: dict[str, int]) -> str:
    """The compose file as JSON: the document with our ports, on loopback only."""
    services = {key: dict(service) for key, service in document["services"].items()}
    for one in published:
        port = {"target": one["container"], "published": str(held[one["name"]]), "host_ip": "127.0.0.1"}
        services[one["service"]].setdefault("ports", []).append(port)
    # JSON is YAML, and every dollar is doubled: Compose must not interpolate anything.
    return json.dumps({**document, "services": services}).replace("$", "$$")


def _containers(project: str) -> dict[str, str]:
    """Map compose services to container ids."""
    columns = '{{.Label "com.docker.compose.service"}} {{.ID}}'
    answer = _docker("ps", "-a", "--filter", f"label=com.docker.compose.project={project}", "--format", columns)
    return dict(line.rsplit(" ", 1) for line in answer.out.splitlines())


def _state(container: str) -> dict[str, Any]:
    answer = _docker("inspect", "--format", "{{json .State}}", container)
    try:
        state = json.loads(answer.out)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


def _last_words(project: str) -> list[str]:
    """The last log lines of each container that failed or is unhealthy: Compose itself only names it."""
    said = []
    for service, container in _containers(project).items():
        state = _state(container)
        health = state.get("Health") or {}
        unhealthy = health.get("Status") == "unhealthy"
        if unhealthy or (state.get("Status") == "exited" and state.get("ExitCode")):
            answer = _docker("logs", "--tail", _LAST_WORDS, container)
            said += [f"{service} | {line}" for line in f"{answer.out}{answer.err}".splitlines()]
        if unhealthy:
            looks = health.get("Log") or [{}]
            said += [f"{service}, health check | {line}" for line in str(looks[-1].get("Output", "")).splitlines()]
    return [visible(line) for line in said]


def _docker(*arguments: str, host: str = "") -> process.Completed:
    """Run docker in the root folder: Compose would read a compose file in the current folder."""
    env = settings.environ() | ({"DOCKER_HOST": host} if host else {})
    try:
        return process.run(["docker", *arguments], env=env, cwd=os.sep, timeout_s=_CLI_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return process.Completed(-1, "", str(error))
