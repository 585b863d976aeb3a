"""`testbay check` as it is typed, against a deployment that is broken in every way at once, and then repaired."""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.samples.reports import verdicts
from tests.system.conftest import Bay
from tests.system.fakes.boxes import HEALTHCHECK, boxes, docker, health_is
from tests.system.fakes.deployment import Deployment, deployed
from tests.system.fakes.fake_github import FakeGitHub
from tests.system.fakes.pages import files, follow, page, write

from testbay.fixtures import eventually
from testbay.manifest.load import load_manifest
from testbay.production.checks.report import Report, from_json
from testbay.production.history import entries
from testbay.production.history.entries import Entry, Outcome

MANIFEST = """
[target.production]
base_url = "http://127.0.0.1:${PORT}"
live = { url = "/api/version", expect = "json.commit == expected_sha", every = "50ms", give_up = "100ms" }
[target.readonly]
base_url = "http://127.0.0.1:${PORT}"

[[check]]
id = "health"
kind = "http"
get = "/api/health"
attempts = 1
expect = ["status == 200", "json.status == 'healthy'", "json.db.pool.used / json.db.pool.size < 0.8"]
[[check]]
id = "page"
kind = "http"
get = "/page"
attempts = 1
expect = ["json.queue_depth < 5"]
[[check]]
id = "fast"
kind = "http"
get = "/slow"
attempts = 1
expect = ["status == 200"]
latency = { probes = 3, hard_ms = 300 }
[[check]]
id = "stream"
kind = "websocket"
url = "/ws"
attempts = 1
steps = [
    { send = { type = "ping", id = "{run.id}" } },
    { recv = "300ms", expect = ["json.type == 'pong'", "json.id == run.id"] },
]
[[check]]
id = "variables"
kind = "env"
phases = ["pre-deploy", "post-deploy"]
source = ".env.production"
required = ["ENVIRONMENT", "DATABASE_HOST"]
forbid = ["localhost"]
"""
HANGING = """
[target.writable]
base_url = "http://127.0.0.1:${PORT}"
writes = true
[[check]]
id = "hangs"
kind = "journey"
writes = true
[[check.step]]
post = "/things"
expect = ["status == 201"]
capture = { thing = "json.id" }
[[check.step]]
get = "/things/hang"
expect = ["status == 200"]
[[check.cleanup]]
delete = "/things/{thing}"
expect = ["status == 200"]
"""
CONTAINER = """
[[check]]
id = "container"
kind = "container"
phases = ["post-deploy"]
attempts = 1
containers = ["NAME"]
"""
ALL = {"live", "health", "page", "fast", "fast/latency", "stream", "variables"}
BROKEN = dict.fromkeys(ALL, "fail") | {"live": "stale", "fast": "stale"}


@pytest.fixture
def deployment(bay: Bay) -> Iterator[Deployment]:
    """One that is healthy, and a manifest that says what that is."""
    with (bay.service / "testbay.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(MANIFEST)
    with deployed() as made:
        repair_all(bay, made)
        bay.environ["PORT"] = str(made.port)
        yield made


def report_of(bay: Bay) -> Report:
    """The newest one on disk."""
    return from_json(bay.report().read_bytes())


CALL = ("check", "shop", "--phase", "post-deploy", "--target", "production", "--commit", "new")


def break_all(bay: Bay, deployment: Deployment) -> None:
    """Six faults at once."""
    deployment.wrong = {"health", "stale", "page", "slow", "stream"}
    (bay.service / ".env.production").write_text("ENVIRONMENT=production\nDATABASE_HOST=\n", encoding="utf-8")


def repair_all(bay: Bay, deployment: Deployment) -> None:
    """None of them."""
    deployment.wrong = set()
    (bay.service / ".env.production").write_text("ENVIRONMENT=production\nDATABASE_HOST=db\n", encoding="utf-8")


def test_every_fault_of_a_deployment_is_found_and_gone_after_its_repair(bay: Bay, deployment: Deployment) -> None:
    """A health route that is not there, an old build, an empty variable, a dead stream, slowness, a proxy's page."""
    break_all(bay, deployment)
    broken = bay.run(*CALL)
    found = verdicts(report_of(bay))
    repair_all(bay, deployment)
    repaired = bay.run(*CALL)

    assert (broken.code, found) == (20, BROKEN)
    assert "FAIL  health: status == 200: 404 is not == 200" in broken.out
    assert "<html>" in broken.out
    assert (repaired.code, verdicts(report_of(bay))) == (0, dict.fromkeys(ALL, "pass"))
    assert "Checks: 7 passed" in repaired.out


def test_an_old_build_alone_has_an_exit_code_of_its_own(bay: Bay, deployment: Deployment) -> None:
    """Stale is neither broken nor green; the report names both commits, and the checks that were not asked."""
    deployment.wrong = {"stale"}
    done = bay.run(*CALL, "--id", "health")

    report = report_of(bay)
    assert (done.code, verdicts(report)) == (21, {"live": "stale", "health": "stale"})
    assert (report.commit, report.expected_commit) == ("old", "new")
    assert set(report.known) >= ALL - {"fast/latency"}


def test_what_cannot_be_asked_has_an_exit_code_of_its_own(bay: Bay, deployment: Deployment) -> None:
    """Here the file is missing."""
    (bay.service / ".env.production").unlink()
    done = bay.run("check", "--phase", "pre-deploy")

    assert (done.code, verdicts(report_of(bay))) == (22, {"variables": "error"})


def test_json_is_all_there_is_on_standard_output(bay: Bay, deployment: Deployment) -> None:
    """For a pipe; the lines for people go to standard error."""
    call = shlex.join([sys.executable, "-m", "testbay", *CALL, "--json"])
    done = bay.type(f"{call} 2>/dev/null")

    assert done.code == 0
    assert from_json(done.out) == report_of(bay)
    assert json.loads(done.out)["exit_code"] == 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "which phase?"),
        (["--phase", "post-deply"], "--phase: 'post-deply' is not a phase (did you mean 'post-deploy'?)"),
        (["--phase", "post-deploy"], "which target?"),
        (
            ["--phase", "post-deploy", "--target", "prod"],
            "--target: unknown target 'prod'",
        ),
        (["--phase", "pre-deploy", "--id", "healt"], "--id: unknown check 'healt' (did you mean 'health'?)"),
        (["--phase", "pre-deploy", "--id", "health"], "none of these checks is for the phase pre-deploy"),
        (
            ["--phase", "pre-merge", "--target", "production"],
            "--target: before a merge the service on a lease is asked",
        ),
        (["--phase", "pre-merge", "--history", "kept"], "--history: a service on a lease has no history"),
        (
            ["--phase", "post-deploy", "--history", "kept", "--branch", "kept"],
            "a history is in a folder or on a branch",
        ),
        (["--phase", "post-deploy", "--within", "never"], "--within: 'never' is not a duration"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused(
    bay: Bay, deployment: Deployment, arguments: list[str], what: str
) -> None:
    """Before anything is asked."""
    done = bay.run("check", "shop", *arguments)

    assert (done.code, done.lines[0]) == (10, f"error: {what}")


def remembered(folder: Path, name: str) -> None:
    """A history in which a check was answered at once, until it took a second in five runs."""
    now = datetime.now(UTC)
    for run, median_ms in enumerate([0.01] * 28 + [1000] * 5):
        started = (now - timedelta(hours=40 - run)).isoformat()
        found = Outcome(check=name, verdict="pass", median_ms=median_ms, probes=10)
        made = Entry(service="shop", phase="scheduled", target="production", started=started, outcomes=(found,))
        entries.append(folder, [made], now)


def test_who_has_become_slower_than_before_fails(bay: Bay, deployment: Deployment) -> None:
    """With a history; without one it passes, and is well below its limit."""
    remembered(bay.project / "kept", "fast")
    alone, compared = bay.run(*CALL), bay.run(*CALL, "--history", "kept")

    assert (alone.code, compared.code) == (0, 20), compared.out
    assert re.search(r"FAIL  fast/latency: slower: the last 6 runs are \d+% slower than the 28 before", compared.out)
    assert "    each run: testbay latency fast --history kept\n" in compared.out
    assert verdicts(report_of(bay)) == dict.fromkeys(ALL, "pass") | {"fast/latency": "fail"}


def test_a_history_that_nothing_is_compared_with_is_said_so(bay: Bay, deployment: Deployment) -> None:
    """Else who named it would believe that slowness is watched."""
    done = bay.run(*CALL, "--id", "health", "--history", "kept")
    assert (done.code, "    not compared with kept: none of these checks says `latency`\n" in done.out) == (0, True)


@pytest.mark.parametrize("place", [("--history", "kept"), ("--branch", "testbay-history")])
def test_a_history_that_cannot_be_read_is_no_green_and_costs_no_other_verdict(
    bay: Bay, deployment: Deployment, place: tuple[str, str]
) -> None:
    """A file where a folder should be, a clone that is none: everything else is told as ever."""
    (bay.project / "kept").write_text("a file\n", encoding="utf-8")
    done = bay.run(*CALL, *place)

    assert (done.code, verdicts(report_of(bay))) == (22, dict.fromkeys(ALL, "pass") | {"fast/latency": "error"})
    assert re.search(
        r"ERROR fast/latency: median of 3 probes is [\d.]+ ms; history: .+(cannot be used|failed)", done.out
    )


def test_an_interrupted_journey_cleans_up(bay: Bay, deployment: Deployment) -> None:
    """SIGTERM in the middle of a step: what was made before is ended first."""
    with (bay.service / "testbay.toml").open("a", encoding="utf-8") as manifest:
        manifest.write(HANGING)
    child = bay.start("check", "--phase", "post-deploy", "--target", "writable", "--id", "hangs")
    eventually(lambda: "GET /things/hang" in deployment.asked)
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=30)

    assert (child.returncode, out.splitlines()[0]) == (130, "error: interrupted by SIGTERM")
    assert deployment.asked == ["POST /things", "GET /things/hang", "DELETE /things/7"]


def test_the_same_checks_guard_a_pull_request(bay: Bay) -> None:
    """Before a merge each is a test, on a service of its own, and the report is the same."""
    with (bay.service / "testbay.toml").open("r+", encoding="utf-8") as manifest:
        text = manifest.read()
        manifest.seek(0)
        manifest.write('start = "python -m http.server {port} --bind 127.0.0.1"\n' + text)
        for name, status in (("is-there", 200), ("is-not-there", 404)):
            lines = f'[[check]]\nid = "{name}"\nkind = "http"\nget = "/"\nexpect = ["status == {status}"]\n'
            manifest.write(lines)
    done = bay.run("check", "--phase", "pre-merge")
    call = shlex.join([sys.executable, "-m", "testbay", "check", "--phase", "pre-merge", "--json", "--id", "is-there"])
    green = bay.type(f"{call} 2>/dev/null")

    assert (done.code, "FAILED testbay.toml::is-not-there" in done.out) == (20, True)
    assert "Tests: 1 passed, 1 failed" in done.out
    assert (green.code, verdicts(from_json(green.out))) == (0, {"is-there": "pass"})


def test_a_check_whose_service_does_not_start_could_not_be_asked(bay: Bay) -> None:
    """The report says so; the exit code is that of a check that could not run."""
    manifest = bay.service / "testbay.toml"
    check = '[[check]]\nid = "health"\nkind = "http"\nget = "/"\nexpect = ["status == 200"]\n'
    manifest.write_text(f'start = "false {{port}}"\n{manifest.read_text()}\n{check}')
    done = bay.run("check", "--phase", "pre-merge")

    [found] = report_of(bay).results
    assert (done.code, found.check, found.verdict) == (22, "health", "error")
    assert found.said == "shop ended with exit code 1 before it answered"


def test_a_report_that_cannot_be_kept_is_refused_at_once(bay: Bay, deployment: Deployment) -> None:
    """Nobody is asked for nothing."""
    (bay.project / ".testbay").mkdir()
    (bay.project / ".testbay/checks").write_text("a file\n")
    done = bay.run(*CALL)

    assert (done.code, done.lines[0].endswith(".testbay/checks: cannot keep the report here")) == (11, True)


@pytest.fixture
def stranger(bay: Bay, free_port: int) -> Iterator[Bay]:
    """Somebody else's app: the files of docs/checks.md in a folder of their own, served as the page says."""
    root = bay.project.parent / "elsewhere"
    for name, text in files(page("checks.md")).items():
        write(root / name, text)
    write(root / "bin/testbay", f'#!/bin/sh\nexec "{sys.executable}" -m testbay "$@"\n', executable=True)
    argv = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(free_port)]
    with subprocess.Popen(
        argv, cwd=root, env=bay.environ | {"GIT_COMMIT": "4f2a91c"}, stderr=subprocess.DEVNULL
    ) as app:
        bay.environ |= {"BASE_URL": f"http://127.0.0.1:{free_port}", "PATH": f"{root}/bin:{bay.environ['PATH']}"}
        bay.project = root
        yield bay
        app.terminate()


@pytest.fixture
def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_the_page_on_checks_can_be_typed(stranger: Bay) -> None:
    """From zero to a green check; the gate waits until the app answers at all."""
    follow(stranger.type, page("checks.md"))


def test_every_manifest_of_the_page_on_checks_can_be_read(tmp_path: Path) -> None:
    """The pieces, too."""
    (tmp_path / "tests/integration").mkdir(parents=True)
    blocks = re.findall(r"(?ms)^```toml\n(.*?)^```", page("checks.md") + page("reference/manifest.md"))
    for text in blocks:
        service = "" if text.startswith("service") else 'service = "shop"\n'
        write(tmp_path / "testbay.toml", service + text)
        manifest = load_manifest(tmp_path)
        assert manifest.check or manifest.target

    assert len(blocks) == 7


def check_and_tell(bay: Bay, github: FakeGitHub, number: int) -> tuple[int, list[int], int]:
    """A run of the workflow: the checks' exit code, the issues that are open then, and all comments so far."""
    code = bay.run(*CALL).code
    told = bay.run("incidents", str(bay.report()), GITHUB_RUN_ID=str(number), **github.environ)
    assert (told.code, github.violations) == (0, []), told.out
    return code, github.open_numbers(), sum(map(len, github.comments.values()))


def test_every_fault_is_one_issue_and_closed_after_its_repair(bay: Bay, deployment: Deployment) -> None:
    """Six faults, six issues, no comment in the second run; two good runs close all; a dead host is one issue."""
    with FakeGitHub() as github:
        break_all(bay, deployment)
        broken = [check_and_tell(bay, github, number) for number in (1, 2)]
        repair_all(bay, deployment)
        repaired = [check_and_tell(bay, github, number) for number in (3, 4)]
        bay.environ["PORT"] = "9"
        dead = check_and_tell(bay, github, 5)

    assert broken == [(20, [1, 2, 3, 4, 5, 6], 0)] * 2
    assert (repaired[-1], dead) == ((0, [], 6), (20, [7], 6))


@pytest.mark.compose
def test_an_unhealthy_container_is_one_issue_more(bay: Bay, deployment: Deployment) -> None:
    """The seventh fault, beside all the others: seven issues, of which one is its own, and none after the repair."""
    with boxes() as made, FakeGitHub() as github:
        api = made.start("api", "exec sleep 600", "--health-cmd=test -e /tmp/well", *HEALTHCHECK)
        with (bay.service / "testbay.toml").open("a", encoding="utf-8") as manifest:
            manifest.write(CONTAINER.replace("NAME", api))
        break_all(bay, deployment)
        made.wait(api, health_is("unhealthy"))
        broken = check_and_tell(bay, github, 1)
        found = verdicts(report_of(bay))
        repair_all(bay, deployment)
        docker("exec", api, "touch", "/tmp/well")
        made.wait(api, health_is("healthy"))
        repaired = [check_and_tell(bay, github, number) for number in (2, 3)]

    assert (broken, found) == ((20, [1, 2, 3, 4, 5, 6, 7], 0), BROKEN | {"container": "fail"})
    assert [issue["title"] for issue in github.issues.values() if "container" in issue["title"]] == [
        "shop on production: container fails"
    ]
    assert repaired[-1] == (0, [], 7)
