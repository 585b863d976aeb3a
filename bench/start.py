"""How long until everything is ready: testbay against a raw script, `docker compose --wait`, and plain pytest.

Usage: .venv/bin/python bench/start.py [--rounds 7] [--only embedded|compose|tiers]

All contestants take turns in one run on one machine; the table shows medians and ratios. Noise moves both sides.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from testbay import ports, settings
from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies import ROOMS
from testbay.harness.engines import docker, templates
from testbay.harness.plans import PORT
from testbay.harness.stack import planning, prepare, request, stack
from testbay.harness.stack.request import Request
from testbay.manifest.load import load_manifest
from testbay.output import Voice

REPOSITORY = Path(__file__).parents[1]
TEMPLATE = REPOSITORY / "tests" / "system" / "project"
HEALTH = {
    "postgres": "pg_isready -U testbay",
    "dragonfly": "redis-cli ping",
    "nats": "bash -c 'echo > /dev/tcp/127.0.0.1/4222'",
}


def main() -> None:
    """Measure what was asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns each contestant gets (default 7)")
    parser.add_argument("--only", choices=["embedded", "compose", "tiers"], help="one part alone")
    arguments = parser.parse_args()
    parts = {"embedded": embedded, "compose": compose, "tiers": tiers}
    print(f"{'what':<58} {'median':>9} {'ratio':>7}   target")
    with tempfile.TemporaryDirectory(prefix="testbay-bench-") as folder:
        project = Path(folder) / "project"
        shutil.copytree(TEMPLATE, project)
        shutil.copy(REPOSITORY / "docker-compose.test.yml", project)
        for name, part in parts.items():
            if arguments.only in (None, name):
                part(project, Path(folder) / "cache", arguments.rounds)


def row(what: str, seconds: float, floor: float | None = None, target: str = "") -> None:
    """One line of the table."""
    ratio = f"{seconds / floor:6.2f}x" if floor else ""
    print(f"{what:<58} {seconds * 1000:7.0f}ms {ratio:>7}   {target}", flush=True)


def take_turns(rounds: int, **contestants: Callable[[], float]) -> dict[str, float]:
    """The median of each, measured in turns so that a slow moment hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


def asked_for(project: Path, cache: Path, engine: str) -> Request:
    """The project's service on one engine."""
    environ = {**os.environ, "TESTBAY_CACHE_DIR": str(cache)}
    chosen = settings.load(engine=engine, environ=environ)
    return request.decide(load_manifest(project / "services" / "shop"), project, chosen)


def embedded(project: Path, cache: Path, rounds: int) -> None:
    """A warm start of all three servers against the same programs started by hand."""
    asked = asked_for(project, cache, "embedded")
    cold = stack.start(asked)
    prepare.prepare(cold, Voice(io.StringIO()))  # migrates, and keeps the template
    cold.stop()
    data = cache / "data"
    templates.restore(Path(asked.template), data)
    medians = take_turns(rounds, raw=lambda: raw_start(asked, data), ours=lambda: our_start(asked))
    row("raw script: copy the data, start three programs, ask each", medians["raw"])
    row("testbay, embedded, warm: start to all three ready", medians["ours"], medians["raw"], "<= 1.3x raw")


def our_start(asked: Request) -> float:
    """Seconds from the call to a ready stack."""
    began = time.perf_counter()
    started = stack.start(asked)
    seconds = time.perf_counter() - began
    started.stop()
    return seconds


def raw_start(asked: Request, data: Path) -> float:
    """The floor: no guard, no record, no teardown to speak of; the same programs, flags, data and questions."""
    medium = planning.ram_disk(Path(tempfile.gettempdir()))  # the same medium as testbay uses
    with tempfile.TemporaryDirectory(prefix="testbay-raw-", dir=medium) as folder:
        home = Path(folder) / "raw"
        home.mkdir()
        home.parent.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(home, "nobody", "nogroup")
        children, endpoints = [], {}
        began = time.perf_counter()
        copy = subprocess.Popen(["cp", "-a", "--reflink=auto", data, home / "data"])
        for name in ("dragonfly", "nats", "postgres"):
            plan = ROOMS[name].plan(asked.services[name], asked.servers[name], home)
            port, lock = ports.hold(plan["port"], fixed=False, name=name)
            lock.close()
            for file, text in plan["files"].items():
                (home / file).write_text(text, encoding="utf-8")
            if name == "postgres":
                copy.wait()
            become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
            prefix = become if plan["caged"] else []
            argv = [*prefix, *(word.replace(PORT, str(port)) for word in plan["argv"])]
            children.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home))
            endpoints[name] = ROOMS[name].endpoint(asked.services[name], port)
        try:
            for name, endpoint in endpoints.items():
                ask_until_it_answers(name, endpoint)
            seconds = time.perf_counter() - began
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait()
    return seconds


def ask_until_it_answers(name: str, endpoint: object) -> None:
    """The same question testbay asks."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            ROOMS[name].probe(endpoint, 2.0)
            return
        time.sleep(0.005)
    raise SystemExit(f"{name} never answered")


def compose(project: Path, cache: Path, rounds: int) -> None:
    """The compose engine against `docker compose up -d --wait` with health checks every second."""
    try:
        docker.find(os.environ)
    except EngineUnavailableError as error:
        print(f"compose: not measured: {error.what}")
        return
    asked = asked_for(project, cache, "compose")
    checked = project / "with-health.yml"
    checked.write_text(health_checks(), encoding="utf-8")
    rounds = max(5, rounds)
    medians = take_turns(rounds, wait=lambda: compose_wait(project, checked), ours=lambda: our_start(asked))
    row("docker compose up -d --wait, 1 s health interval", medians["wait"])
    row("testbay, compose: start to all three ready", medians["ours"], medians["wait"], "<= 0.5x --wait")


def health_checks() -> str:
    """What a project adds to its compose file to use --wait."""
    lines = ["services:"]
    for name, command in HEALTH.items():
        check = {"test": ["CMD-SHELL", command], "interval": "1s", "timeout": "1s", "retries": 30}
        lines += [f"  {name}:", f"    healthcheck: {json.dumps(check)}"]
    return "\n".join(lines)


def compose_wait(project: Path, checked: Path) -> float:
    """Seconds until `up --wait` returns."""
    files = ["-f", str(project / "docker-compose.test.yml"), "-f", str(checked)]
    base = ["docker", "compose", "-p", f"testbay-bench-{os.getpid()}", *files]
    began = time.perf_counter()
    subprocess.run([*base, "up", "-d", "--wait"], check=True, capture_output=True, env=free_ports())
    seconds = time.perf_counter() - began
    subprocess.run([*base, "down", "-v", "-t", "0"], check=True, capture_output=True)
    return seconds


def free_ports() -> dict[str, str]:
    """The environment with ports that nobody has."""
    env = dict(os.environ)
    for variable, preferred in (("POSTGRES_PORT", 25433), ("DRAGONFLY_PORT", 26380), ("NATS_PORT", 24222)):
        port, lock = ports.hold(preferred, fixed=False, name=variable)
        lock.close()
        env[variable] = str(port)
    return env


def tiers(project: Path, cache: Path, rounds: int) -> None:
    """What the three tiers add around pytest, warm: the whole tier 2 script minus the pytest process in it."""
    checkout(project)
    env = {k: v for k, v in os.environ.items() if k not in ("CI", "TESTBAY_ENGINE")}
    env |= {"TESTBAY_CACHE_DIR": str(cache), "TESTBAY_ENGINE": "embedded"}
    tier2 = [project / "scripts" / "ci" / "run-integration-tests.sh"]
    subprocess.run(tier2, cwd=project, env=env, check=True, capture_output=True)  # makes the template
    totals, inside = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(tier2, cwd=project, env=env, check=True, capture_output=True)
        totals.append(time.perf_counter() - began)
        record = json.loads((max((project / ".testbay" / "runs").iterdir()) / "run.json").read_text())
        inside.append(next(s["duration_s"] for s in record["steps"] if s["name"] == "Run the tests"))
    overhead = [total - pytest for total, pytest in zip(totals, inside, strict=True)]
    row("the three tiers around one service, stack and all", statistics.median(totals))
    row("  pytest itself, with coverage and its reports", statistics.median(inside))
    row("  so the tiers' own overhead is", statistics.median(overhead), target="<= 600 ms")


def checkout(project: Path) -> None:
    """Make the project a checkout with our tier 2 and a tier 3, on this interpreter's environment."""
    scripts = project / "scripts"
    (scripts / "ci").mkdir(parents=True)
    for program in ("run-integration-tests.sh", "tier2.py", "plan.py", "sidebyside.py"):
        shutil.copy(REPOSITORY / "scripts" / "ci" / program, scripts / "ci")
    shutil.copy(REPOSITORY / "scripts" / "bootstrap", scripts / "bootstrap")
    (scripts / "bootstrap").write_text("#!/bin/sh\n", encoding="utf-8")
    (project / ".venv").symlink_to(Path(sys.executable).parent.parent)
    tier3 = project / "services" / "shop" / "scripts" / "ci" / "run-tests.sh"
    tier3.parent.mkdir(parents=True)
    tier3.write_text(
        f'#!/bin/sh\ncd "{project}" && exec {sys.executable} -m testbay run shop -- "$@"\n', encoding="utf-8"
    )
    tier3.chmod(0o755)


if __name__ == "__main__":
    main()
