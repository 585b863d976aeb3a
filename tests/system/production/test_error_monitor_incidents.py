"""Patterns become issues: `testbay incidents` on what `error-monitor report` says, against GitHub's own description."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.system.conftest import REPOSITORY
from tests.system.fakes.fake_github import FakeGitHub

SECRETS = {"password": "C4naryPassw0rd", "github": "ghp_" + "c4n4ryc4n4ryc4n4ryc4n4ryc4n4ry0123456"}
LOG = f"""Traceback (most recent call last):
  File "/srv/shop/pay.py", line 7, in pay
    connect("{SECRETS["github"]}")
KeyError: 'password={SECRETS["password"]}'
CRITICAL no space left on device, token {SECRETS["github"]}
WARNING left out, as it is low
"""
STEPS = """error-monitor import {log} && error-monitor report --severity critical --severity medium > {bad}
error-monitor report --severity critical --severity medium --quiet-after-s 0 > {good}"""


def of_monitor(folder: Path) -> tuple[Path, Path]:
    """The report while the patterns are seen, and the one when they have been quiet long enough."""
    log, bad, good = folder / "shop.log", folder / "bad.json", folder / "good.json"
    log.write_text(LOG, encoding="utf-8")
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TESTBAY_ENGINE": "embedded"}
    env |= {"TESTBAY_CACHE_DIR": str(folder / "cache"), "ERROR_MONITOR_TOKEN": "only-for-tests-0123456789"}
    argv = [sys.executable, "-m", "testbay", "exec", "error_monitor", "--", "sh", "-c"]
    subprocess.run([*argv, STEPS.format(log=log, bad=bad, good=good)], cwd=REPOSITORY, env=env, check=True)
    return bad, good


def reconcile(report: Path, github: FakeGitHub, run: int) -> None:
    """`testbay incidents`, in a run of the workflow of its own."""
    github.pass_time(minutes=30)
    argv = [sys.executable, "-m", "testbay", "incidents", str(report)]
    env = {"PATH": "/usr/bin:/bin", "GITHUB_RUN_ID": str(run), **github.environ}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_pattern_is_one_issue_until_it_is_quiet(tmp_path: Path, github: FakeGitHub) -> None:
    """Two runs open one issue for each pattern that is asked for, without a secret; quiet runs close them."""
    bad, good = of_monitor(tmp_path)
    states = []
    for run, report in enumerate((bad, bad, good, good)):
        reconcile(report, github, 1000 + run)
        states.append(sorted(issue["state"] for issue in github.issues.values()))

    told = json.dumps([github.issues, github.comments])
    assert (states[1], states[-1]) == (["open", "open"], ["closed", "closed"])
    assert ("KeyError" in told, [name for name, secret in SECRETS.items() if secret in told]) == (True, [])
