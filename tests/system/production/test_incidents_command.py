"""`testbay incidents` as a workflow calls it."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import WARM, Done
from tests.system.fakes.fake_github import TOKEN, FakeGitHub, Fault
from tests.system.fakes.fake_slack import KEY, FakeSlack
from tests.system.fakes.monitor import report, result

from testbay.errors import IncidentsError
from testbay.production.checks.report import Report
from testbay.production.remote.github import Api, GitHubAccess, Patience

BAD = result("health", "fail", "status is 404")
SECRETS = """
service = "shop"
tests = "."
secrets = { API_KEY = "/shop/key", "DB_*" = "/shop/db/*" }
"""
API_KEY, DB_MAIN = "sk-canary-0123456789abcdef", "postgres://shop:canary-9f8e7d@db.invalid/shop"


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as running:
        yield running
    assert running.violations == []


def call(github: FakeGitHub, found: Report | str, *options: str, cwd: Path | None = None, **environ: str) -> Done:
    """With the report on its standard input."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "TESTBAY_", "SLACK_"))
    }
    done = WARM.run(
        ["incidents", "-", *options],
        cwd=cwd or Path.cwd(),
        environ={**clean, **github.environ, **environ},
        said=found if isinstance(found, str) else found.as_json(),
        apart=True,
    )
    return Done(done.returncode, done.stdout + done.stderr)


def test_a_workflow_opens_updates_and_closes(github: FakeGitHub, tmp_path: Path) -> None:
    """A file or standard input, a line for each issue, and code 0 when the issues say what the report does."""
    file = tmp_path / "report.json"
    file.write_text(report(github.now, BAD).as_json())
    first = WARM.run(
        ["incidents", str(file), "--last-good", "a" * 40],
        cwd=tmp_path,
        environ={**os.environ, **github.environ, "GITHUB_RUN_ID": "1"},
        apart=True,
    )
    github.pass_time(hours=6)
    second = call(github, report(github.now, result("health", "pass")), "--close-after", "1", GITHUB_RUN_ID="2")

    opened, closed = first.stdout.splitlines(), second.out.splitlines()
    says = "the issues match the report"
    assert (first.returncode, opened) == (0, ["opened #1 shop on production: health fails", f"{says}: 1 open"])
    assert (second.code, closed) == (0, ["closed #1 shop on production: health fails", f"{says}: none open"])


def test_a_github_that_is_down_is_code_24(github: FakeGitHub) -> None:
    """Never a silent green: the error says which call, and shows the answer without the token."""
    github.faults.append(Fault(pattern="", status=404, body=f"{TOKEN} is unknown"))

    done = call(github, report(github.now, BAD), GITHUB_ACTIONS="true")

    assert (done.code, TOKEN in done.out, "*** is unknown" in done.out) == (24, False, True)
    assert "::error title=IncidentsError::GitHub: GET /repos/acme/shop/issues: status 404" in done.out


def test_no_report_gets_a_secret_out(github: FakeGitHub, tmp_path: Path) -> None:
    """Who wrote it may not have masked: what the manifest names and the environment has, in any form, is in no text."""
    (tmp_path / "testbay.toml").write_text(SECRETS)
    told = [API_KEY, DB_MAIN, TOKEN, KEY, API_KEY[:12], base64.b64encode(DB_MAIN.encode()).decode().rstrip("=")]
    found = [result(text, "fail", text, evidence=(text,), instance=text) for text in told]
    unmasked = report(github.now, *found, commit=API_KEY, run_url=DB_MAIN)
    with FakeSlack() as slack:
        environ = {"API_KEY": API_KEY, "DB_MAIN": DB_MAIN, "SLACK_WEBHOOK_URL": slack.url}
        done = call(github, unmasked, cwd=tmp_path, **environ)

    everything = done.out + json.dumps([github.issues, github.comments, slack.payloads])
    assert (done.code, [text for text in told if text in everything], len(slack.told)) == (0, [], 1)
    assert done.out.splitlines() == [
        "opened #1 shop on production: *** fails",
        "the issues match the report: 1 open",
        "notified Slack of #1: Opened",
    ]


def test_a_slack_that_was_not_told_is_code_26(github: FakeGitHub) -> None:
    """After the issues were put right, and without the address in the output."""
    with FakeSlack() as slack:
        slack.faults.append(Fault(pattern="", status=404, body="no_service"))
        done = call(github, report(github.now, BAD), SLACK_WEBHOOK_URL=slack.url, GITHUB_ACTIONS="true")

    assert (done.code, github.open_numbers(), KEY in done.out) == (26, [1], False)
    assert "::error title=NotDeliveredError::Slack: status 404 instead of its ok" in done.out


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_TOKEN": "two\nlines"}, "GITHUB_TOKEN is not set"),
        ({"GITHUB_REPOSITORY": "shop"}, "GITHUB_REPOSITORY: 'shop' is not owner/name"),
        ({"GITHUB_REPOSITORY": "acme/.."}, "GITHUB_REPOSITORY: 'acme/..' is not owner/name"),
        ({"GITHUB_API_URL": "http://api.github.com"}, "GITHUB_API_URL: 'http://api.github.com' is not https"),
        ({"GITHUB_API_URL": "https://[x"}, "GITHUB_API_URL: 'https://[x' is not https"),
    ],
)
def test_without_access_nothing_is_asked(github: FakeGitHub, environ: dict[str, str], message: str) -> None:
    """What is missing is named; the token is never sent where others can read it."""
    with pytest.raises(IncidentsError) as refused:
        GitHubAccess.of({**github.environ, **environ})

    assert refused.value.what == message


@pytest.mark.parametrize(
    ("found", "options", "message"),
    [
        ("{}", [], "error: this is not a report of checks"),
        (None, ["--last-good", "main"], "error: --last-good: 'main' is not a commit"),
        (None, ["--close-after", "0"], "error: --close-after: 0 is not a count of runs"),
        (None, ["--label", "prod,incident"], "error: --label: 'prod,incident' is not a label"),
        (None, ["--label", " "], "error: --label: ' ' is not a label"),
        (None, ["--reopen-within", "soon"], "error: --reopen-within: 'soon' is not a duration"),
    ],
)
def test_what_cannot_be_used_is_code_10(
    github: FakeGitHub, found: str | None, options: list[str], message: str
) -> None:
    """A report or an option that makes no sense is refused before GitHub is asked."""
    done = call(github, found or report(github.now, BAD), *options)

    assert (done.code, done.lines[0], github.requests) == (10, message, [])


def test_a_file_that_is_not_there_is_code_10(github: FakeGitHub, tmp_path: Path) -> None:
    """It is named, with what the system says."""
    done = subprocess.run(
        [sys.executable, "-m", "testbay", "incidents", tmp_path / "none.json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.splitlines()[0]) == (10, f"error: {tmp_path}/none.json: cannot be read")


def test_nobody_at_home_is_tried_again_and_then_told(github: FakeGitHub) -> None:
    """A connection that is refused was never made, so even a new issue is tried again while there is time."""
    waits: list[float] = []
    clock = Patience(5, clock=lambda: sum(waits), sleep=waits.append)
    access = GitHubAccess(api_url="http://127.0.0.1:9", repository="acme/shop", token=TOKEN)

    api = Api(access, clock)
    with pytest.raises(IncidentsError, match="no connection") as refused:
        api.call("POST", "issues", {"title": "x"})

    assert (type(refused.value), len(waits) > 2, sum(waits) < 5) == (IncidentsError, True, True)


def test_the_token_is_in_no_repr(github: FakeGitHub) -> None:
    """Whatever prints these objects, a log does not get it."""
    access = GitHubAccess.of(github.environ)
    api = Api(access, Patience())
    assert TOKEN not in f"{access!r} {api!r}"


def test_an_interrupt_ends_it_in_a_line(github: FakeGitHub) -> None:
    """SIGTERM while GitHub does not answer: 130, no traceback; the next run does what is missing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {**os.environ, **github.environ, "GITHUB_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with subprocess.Popen(
            [sys.executable, "-m", "testbay", "incidents", "-"],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            assert child.stdin
            child.stdin.write(report(github.now, BAD).as_json())
            child.stdin.close()
            with silent.accept()[0]:
                child.send_signal(signal.SIGTERM)
                said = child.stdout.read() if child.stdout else ""

    assert (child.returncode, said.splitlines()[0]) == (130, "error: interrupted by SIGTERM")
    assert "Traceback" not in said
