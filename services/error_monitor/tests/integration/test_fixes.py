"""Fixes from the log line to the draft pull request: the real jail, a model and a GitHub on loopback."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from harness import shop
from harness.git_host import GitHost
from harness.instance import Instance, Make
from harness.logfiles import LogFolder
from harness.messages_api import MessagesApi, call
from harness.waiting import eventually

pytestmark = pytest.mark.xdist_group("model")  # one worker loads its client, which takes a second
ENDED = {"refused", "interrupted", "dry", "opened"}


@pytest.fixture
def model() -> Iterator[MessagesApi]:
    with MessagesApi() as server:
        yield server
        assert server.violations == []


@pytest.fixture
def github() -> Iterator[GitHost]:
    with GitHost() as server:
        yield server


@pytest.fixture
def told(model: MessagesApi, github: GitHost, tmp_path: Path) -> Mapping[str, str]:
    """What a monitor is told that may fix the shop."""
    github.add_commit(shop.clone(tmp_path / "clone"))
    return {**model.environ, **github.environ, **shop.SETTINGS, "ERROR_MONITOR_FIX_CLONE": str(tmp_path / "clone")}


def generate(instance: Instance, logs: LogFolder) -> dict[str, Any]:
    """Scan the log, ask for a fix of its pattern, and wait for the end."""
    (logs.path / "shop.log").write_text(shop.LOG * 3, encoding="utf-8")
    instance.scan()
    asked = instance.client.post("/fixes/generate", json={"fingerprint": instance.patterns()[0]["fingerprint"]})
    assert asked.status_code in (200, 202), asked.text
    found = ended(instance, asked.json()["fix_id"])
    if earlier := re.fullmatch(r"fix (\d+) is being worked on", found["reason"]):  # the scan had asked for it already
        found = ended(instance, int(earlier[1]))
    return found


def ended(instance: Instance, fix_id: int) -> dict[str, Any]:
    """A fix, when it is over."""
    eventually(lambda: instance.get(f"/fixes/{fix_id}")["state"] in ENDED, "the fix to end", 800)
    found: dict[str, Any] = instance.get(f"/fixes/{fix_id}")
    return found


@pytest.fixture
def jail() -> None:
    """Skip, unless REQUIRE_JAIL is 1: its six runs of the harness take as long as all else here."""
    if os.environ.get("REQUIRE_JAIL") != "1":
        pytest.skip("REQUIRE_JAIL=1 proves a fix in the jail of bubblewrap; .ci/run does")
    assert shutil.which("bwrap"), "bubblewrap is not installed (scripts/dev/programs.sh fetches it)"


def test_without_a_jail_there_is_no_fix(monitor: Make, logs: LogFolder, told: Mapping[str, str]) -> None:
    """The reason says so; the model is not asked."""
    one = monitor(**told, AUTO_FIX_ENABLED="true", ERROR_MONITOR_FIX_JAIL="container")
    generate(one, logs)

    # The monitor may have begun by itself before it was asked: then there are two.
    fixes: list[dict[str, Any]] = []

    def are_over() -> bool:
        fixes[:] = one.get("/fixes/generated")["fixes"]
        return all(fix["state"] in ENDED for fix in fixes)

    eventually(are_over, "the fixes to end")
    assert {fix["state"] for fix in fixes} == {"refused"}
    assert any("this machine has no jail, so there is no fix" in fix["reason"] for fix in fixes)


@pytest.mark.usefixtures("jail")
@pytest.mark.timeout(900)  # six runs of the harness in a jail, each with a PostgreSQL of its own
def test_a_proven_fix_is_one_draft_pull_request(
    monitor: Make, logs: LogFolder, model: MessagesApi, github: GitHost, told: Mapping[str, str]
) -> None:
    """The pull request carries the runs."""
    model.replies = [[call("read_file", {"path": "src/shop/orders.py"})], [call("submit", shop.answer(), 2)]]
    fix = generate(monitor(**told, AUTO_FIX_ENABLED="true"), logs)

    assert (fix["reason"], fix["state"], [step["rung"] for step in fix["steps"]]) == ("", "opened", [1, 2, 3, 4, 5, 6])
    (pull,) = github.pulls
    assert (pull["draft"], pull["labels"], pull["base"]) == (True, ["auto"], "main")
    assert github.files(pull["head"]["ref"]) == {
        "src/shop/orders.py": shop.FIXED,
        "tests/test_lines_without_count.py": shop.NEW_TEST,
    }
    assert "new test on the base" in pull["body"]
